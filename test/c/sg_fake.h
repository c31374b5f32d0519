/* A stand-in for the kernel's sg driver, for machines without a SCSI device: the other end of a socket pair
 * that takes sg_io_hdr by write and gives it back by read, as /dev/sgN does, and runs the commands on an
 * emulated device. So the whole sg transport but its opener is exercised.
 *
 * Like the driver it takes at most 16 commands at a time, may answer in another order than it was asked, and
 * answers DID_TIME_OUT when a command is held longer than its timeout. */
#ifndef SG_FAKE_H
#define SG_FAKE_H

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "device/device.h"
#include "transport/sg_header.h"

enum { SG_FAKE_QUEUE = 16, SG_FAKE_NODES = 64 };

typedef struct sg_fake_host sg_fake_host;

/* One open node. */
typedef struct sg_fake {
  sg_fake_host *host;
  int fd, nexus;
  pthread_t thread;
  unsigned held;
  sg_io_hdr_t headers[SG_FAKE_QUEUE];
  uint64_t since_ms[SG_FAKE_QUEUE];
} sg_fake;

struct sg_fake_host {
  gt_device *device;
  atomic_bool frozen, removed;
  atomic_uint complaints; /* what the driver would not have taken */
  int nodes;
  unsigned depth; /* commands that it is to be given at a time; 0: SG_FAKE_QUEUE */
  sg_fake fakes[SG_FAKE_NODES];
};

static inline void expect(sg_fake_host *host, bool fine) {
  if (!fine) atomic_fetch_add(&host->complaints, 1);
}

static inline uint64_t sg_fake_now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static inline void sg_fake_execute(sg_fake *fake, sg_io_hdr_t *header) {
  gt_io io = {.cdb_len = header->cmd_len, .data = header->dxferp, .data_len = header->dxfer_len};
  io.dir = header->dxfer_direction == SG_DXFER_NONE       ? GT_DIR_NONE
           : header->dxfer_direction == SG_DXFER_FROM_DEV ? GT_DIR_IN
                                                          : GT_DIR_OUT;
  memcpy(io.cdb, header->cmdp, header->cmd_len);
  gt_device_execute(fake->host->device, fake->nexus, &io);
  header->host_status = io.outcome == GT_DELIVERED ? 0 : 7 /* DID_ERROR */;
  header->status = io.status;
  header->sb_len_wr = io.sense_len < header->mx_sb_len ? io.sense_len : header->mx_sb_len;
  memcpy(header->sbp, io.sense, header->sb_len_wr);
  header->driver_status = header->sb_len_wr ? 8 /* DRIVER_SENSE */ : 0;
  header->resid = io.resid < 0 ? 0 : io.resid; /* the driver does not tell of an overflow */
}

static inline void sg_fake_answer(sg_fake *fake, unsigned index) {
  expect(fake->host, send(fake->fd, &fake->headers[index], sizeof(sg_io_hdr_t), MSG_NOSIGNAL) > 0);
  fake->held--;
  memmove(fake->headers + index, fake->headers + index + 1, (fake->held - index) * sizeof *fake->headers);
  memmove(fake->since_ms + index, fake->since_ms + index + 1, (fake->held - index) * sizeof *fake->since_ms);
}

/* Executes in order, answers the newest first. */
static inline void sg_fake_work(sg_fake *fake) {
  if (atomic_load(&fake->host->frozen)) {
    for (unsigned i = 0; i < fake->held; i++) {
      if (sg_fake_now_ms() - fake->since_ms[i] <= fake->headers[i].timeout) continue;
      fake->headers[i].host_status = 3 /* DID_TIME_OUT */;
      sg_fake_answer(fake, i--);
    }
    return;
  }
  for (unsigned i = 0; i < fake->held; i++)
    sg_fake_execute(fake, &fake->headers[i]);
  while (fake->held)
    sg_fake_answer(fake, fake->held - 1);
}

static inline void *sg_fake_run(void *argument) {
  sg_fake *fake = argument;
  for (;;) {
    struct pollfd wait = {.fd = fake->fd, .events = POLLIN};
    poll(&wait, 1, fake->held ? 5 : 50);
    if (atomic_load(&fake->host->removed)) break;
    sg_io_hdr_t header;
    ssize_t got;
    while ((got = recv(fake->fd, &header, sizeof header, MSG_DONTWAIT)) == (ssize_t)sizeof header) {
      expect(fake->host,
             fake->held < (fake->host->depth ? fake->host->depth : SG_FAKE_QUEUE) && header.interface_id == 'S');
      expect(fake->host, header.flags & 0x10 /* SG_FLAG_Q_AT_TAIL */);
      if (fake->held == SG_FAKE_QUEUE) break;
      fake->since_ms[fake->held] = sg_fake_now_ms();
      fake->headers[fake->held++] = header;
    }
    if (got == 0) break; /* closed: what is outstanding is dropped */
    sg_fake_work(fake);
  }
  gt_device_detach(fake->host->device, fake->nexus);
  close(fake->fd);
  return NULL;
}

static inline gt_lu *sg_fake_open(sg_fake_host *host) {
  int ends[2];
  if (host->nodes == SG_FAKE_NODES || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends))
    return NULL;
  sg_fake *fake = &host->fakes[host->nodes];
  *fake = (sg_fake){.host = host, .fd = ends[1], .nexus = gt_device_attach(host->device)};
  gt_lu_limits limits = {.max_transfer = 1 << 20, .max_queue = host->depth ? host->depth : SG_FAKE_QUEUE};
  gt_lu *lu = NULL;
  if (fake->nexus < 0 || gt_sg_attach(ends[0], &limits, false, &lu)) return NULL;
  pthread_create(&fake->thread, NULL, sg_fake_run, fake);
  host->nodes++;
  return lu;
}

/* After every LU was closed. */
static inline void sg_fake_end(sg_fake_host *host) {
  for (int i = 0; i < host->nodes; i++)
    pthread_join(host->fakes[i].thread, NULL);
  CHECK_EQ(atomic_load(&host->complaints), 0);
}

#endif
