/* The interface is spelled out here, since the headers of the machine that builds may be older than the kernel that
 * runs: include/uapi/linux/io_uring.h and include/uapi/linux/bsg.h. */
#include "bsg.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef __NR_io_uring_setup
#define __NR_io_uring_setup 425
#define __NR_io_uring_enter 426
#endif

enum {
  SETUP_SQE128 = 1 << 10, /* IORING_SETUP_SQE128, since 5.19 */
  SETUP_CQE32 = 1 << 11,  /* IORING_SETUP_CQE32 */
  OP_URING_CMD = 46,      /* IORING_OP_URING_CMD */
  ENTER_GETEVENTS = 1,    /* IORING_ENTER_GETEVENTS */
  SQE_BYTES = 128,
  SQE_COMMAND_AT = 48, /* struct io_uring_sqe, cmd */
};
#define OFF_SQ_RING 0ull
#define OFF_CQ_RING 0x8000000ull
#define OFF_SQES 0x10000000ull

typedef struct ring_params { /* struct io_uring_params */
  uint32_t sq_entries, cq_entries, flags, sq_thread_cpu, sq_thread_idle, features, wq_fd, reserved[3];
  struct {
    uint32_t head, tail, ring_mask, ring_entries, flags, dropped, array, reserved;
    uint64_t user_addr;
  } sq;
  struct {
    uint32_t head, tail, ring_mask, ring_entries, overflow, cqes, flags, reserved;
    uint64_t user_addr;
  } cq;
} ring_params;

typedef struct map {
  uint8_t *at;
  size_t bytes;
} map;

static map map_part(int ring, size_t bytes, uint64_t offset) {
  void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, (off_t)offset);
  return (map){at == MAP_FAILED ? NULL : at, bytes};
}

static void unmap(map part) {
  if (part.at) munmap(part.at, part.bytes);
}

static uint32_t *word(map part, uint32_t at) { return (uint32_t *)(void *)(part.at + at); }

/* A command of a protocol that there is none of: who knows the interface at all says EINVAL, and nothing is sent. */
static int ask(int ring, const ring_params *params, map sq, map cq, map sqes, int fd) {
  memset(sqes.at, 0, SQE_BYTES);
  sqes.at[0] = OP_URING_CMD;
  memcpy(sqes.at + 4, &fd, sizeof fd);
  uint32_t no_protocol = UINT32_MAX;
  memcpy(sqes.at + SQE_COMMAND_AT + 12, &no_protocol, sizeof no_protocol); /* struct bsg_uring_cmd, protocol */
  *word(sq, params->sq.array) = 0;
  __atomic_store_n(word(sq, params->sq.tail), 1, __ATOMIC_RELEASE);
  if (syscall(__NR_io_uring_enter, ring, 1, 1, ENTER_GETEVENTS, NULL, 0) < 0) return -errno;
  if (__atomic_load_n(word(cq, params->cq.tail), __ATOMIC_ACQUIRE) == 0) return -EIO;
  int32_t result;
  memcpy(&result, cq.at + params->cq.cqes + 8, sizeof result); /* struct io_uring_cqe, res */
  return result == -EINVAL ? 0 : result >= 0 ? -EPROTO : result;
}

static int with_ring(int ring, const ring_params *params, int fd) {
  map sq = map_part(ring, params->sq.array + params->sq_entries * sizeof(uint32_t), OFF_SQ_RING);
  map cq = map_part(ring, params->cq.cqes + params->cq_entries * 32, OFF_CQ_RING);
  map sqes = map_part(ring, params->sq_entries * SQE_BYTES, OFF_SQES);
  int result = sq.at && cq.at && sqes.at ? ask(ring, params, sq, cq, sqes, fd) : -ENOMEM;
  unmap(sq);
  unmap(cq);
  unmap(sqes);
  return result;
}

int gt_bsg_probe(const char *path) {
  int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return -errno;
  ring_params params = {.flags = SETUP_SQE128 | SETUP_CQE32};
  int ring = (int)syscall(__NR_io_uring_setup, 1, &params);
  int result = ring < 0 ? -errno : with_ring(ring, &params, fd);
  if (ring >= 0) close(ring);
  close(fd);
  /* A kernel before 5.19 does not know the flags. */
  return ring < 0 && result == -EINVAL ? -ENOSYS : result;
}
