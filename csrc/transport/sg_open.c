/* Opening /dev/sgN: is it one, does a device answer, how much can one command move. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../core/scsi.h"
#include "sg_header.h"

enum { SG_VERSION_MIN = 30000, RESERVED_DEFAULT = 1 << 20, PAGE_BYTES = 4096, QUEUE_MAX = 16 };

static int fail(int error, char *err, size_t err_len, const char *format, ...) __attribute__((format(printf, 4, 5)));
static int fail(int error, char *err, size_t err_len, const char *format, ...) {
  if (err && err_len) {
    va_list args;
    va_start(args, format);
    vsnprintf(err, err_len, format, args);
    va_end(args);
  }
  return -error;
}

static const char *advice(int error) {
  switch (error) {
  case ENOENT: return "there is no such node; `lsscsi -g` lists those that exist";
  case EACCES:
  case EPERM: return "permission denied; the mover's user needs read and write access to the node";
  case ENXIO:
  case ENODEV: return "no device is behind it; rescan, or look for another node with `lsscsi -g`";
  case EBUSY: return "another program holds it exclusively; stop that program first";
  case EROFS: return "it cannot be opened for writing";
  default: return strerror(error);
  }
}

/* A command that every device answers, whatever its state (SPC-4 6.4.1), run to its end by SG_IO. */
static int ask_inquiry(int fd, uint8_t *type) {
  uint8_t data[36] = {0};
  gt_io io = {.cdb = {0x12, 0, 0, 0, sizeof data}, .cdb_len = 6, .dir = GT_DIR_IN, .timeout_ms = 10000};
  io.data = data;
  io.data_len = sizeof data;
  sg_io_hdr_t header;
  gt_sg_request(&io, false, &header);
  if (ioctl(fd, SG_IO, &header) < 0) return errno;
  gt_sg_answer(&header, &io);
  *type = data[0] & 0x1F;
  return io.outcome == GT_TIMED_OUT ? ETIMEDOUT : io.outcome != GT_DELIVERED || io.status ? EIO : 0;
}

/* Bytes that one command may move: what the queue takes and what the kernel set aside; with direct I/O also
 * what the adapter's scatter list holds when every page of the caller's buffer is an element of its own. */
static uint32_t transfer_limit(int fd, uint32_t wanted, bool direct_io) {
  int reserve = wanted > INT32_MAX ? INT32_MAX : (int)wanted;
  int got = 0, queue_bytes = 0, table = 0;
  uint32_t limit = wanted;
  ioctl(fd, SG_SET_RESERVED_SIZE, &reserve); /* gives what it can: the next line asks how much that is */
  if (ioctl(fd, SG_GET_RESERVED_SIZE, &got) == 0 && got > 0 && (uint32_t)got < limit) limit = (uint32_t)got;
  /* On an sg node this is in bytes, not in sectors. */
  if (ioctl(fd, BLKSECTGET, &queue_bytes) == 0 && queue_bytes > 0 && (uint32_t)queue_bytes < limit)
    limit = (uint32_t)queue_bytes;
  if (direct_io && ioctl(fd, SG_GET_SG_TABLESIZE, &table) == 0 && table > 0 && (uint64_t)table * PAGE_BYTES < limit)
    limit = (uint32_t)table * PAGE_BYTES;
  return limit;
}

int gt_sg_open(const char *path, uint32_t reserved_bytes, bool direct_io, gt_lu **out, char *err, size_t err_len) {
  int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return fail(errno, err, err_len, "cannot open %s: %s", path, advice(errno));
  int version = 0, result = 0;
  uint8_t type = 0;
  if (ioctl(fd, SG_GET_VERSION_NUM, &version) < 0)
    result = fail(ENOTTY, err, err_len, "%s is not a SCSI generic node; give /dev/sgN (`lsscsi -g` lists them)", path);
  else if (version < SG_VERSION_MIN)
    result =
        fail(ENOTSUP, err, err_len, "the sg driver behind %s has version %d; 30000 or later is needed", path, version);
  else {
    int error = ask_inquiry(fd, &type);
    if (error)
      result = fail(error, err, err_len, "the device behind %s does not answer INQUIRY: %s", path, advice(error));
  }
  if (result == 0) {
    gt_lu_limits limits = {.max_transfer =
                               transfer_limit(fd, reserved_bytes ? reserved_bytes : RESERVED_DEFAULT, direct_io),
                           .max_queue = type == GT_TYPE_DISK ? QUEUE_MAX : 1};
    result = gt_sg_attach(fd, &limits, direct_io, out);
    if (result) fail(-result, err, err_len, "cannot use %s: %s", path, strerror(-result));
  }
  if (result) close(fd);
  return result;
}
