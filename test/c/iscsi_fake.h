/* An iSCSI target that answers as it is told, for what no decent target does: every status, response code
 * and residual, answers that come early, late, or never (RFC 7143 11). Byte 1 of the CDB says what
 * to do, whatever the opcode. Everything else about it is as small as libiscsi allows. */
#ifndef ISCSI_FAKE_H
#define ISCSI_FAKE_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "core/bytes.h"

enum fake_order {
  FAKE_ANSWER = 1, /* SCSI Response: [2] status, [3] response, [4] flags O and U, [5..8] residual, [9] sense bytes */
  FAKE_DATA,       /* Data-In with status: [2] status, [4] flags, [5..8] residual, [9..12] data bytes */
  FAKE_HOLD,       /* no answer; ABORT TASK is answered with [2] */
  FAKE_HANG_UP,
  FAKE_HALF_PDU,     /* half a header, then the end of the connection */
  FAKE_REJECT,       /* Reject PDU with reason [2] */
  FAKE_STRANGE,      /* a PDU with an opcode that does not exist */
  FAKE_PAUSE_ANSWER, /* as FAKE_ANSWER, and reads nothing more until `resume` */
};

typedef struct iscsi_fake {
  int listener;
  char portal[32];
  const char *keys; /* text of the Login Response, each key ended by NUL, all by an empty one */
  uint16_t login_status;
  bool silent;  /* accepts and says nothing */
  bool trickle; /* sends byte by byte */
  pthread_t thread;
  atomic_bool resume, stop;
  atomic_uint commands, tmfs, nops, logouts, complaints;
  atomic_ullong data_out, wrong_data; /* bytes, and how many of them were not 5Ah */
  uint32_t stat_sn;
  uint32_t held_itt;
  uint8_t tmf_answer;
} iscsi_fake;

static inline bool fake_read(int fd, void *data, size_t size) {
  for (size_t at = 0; at < size;) {
    ssize_t got = recv(fd, (char *)data + at, size - at, 0);
    if (got <= 0) return false;
    at += (size_t)got;
  }
  return true;
}

static inline void fake_trickle(int fd, const uint8_t *data, size_t size, useconds_t pause) {
  for (size_t i = 0; i < size; i++) {
    usleep(pause);
    (void)!send(fd, data + i, 1, MSG_NOSIGNAL);
  }
}

static inline void fake_send(iscsi_fake *fake, int fd, uint8_t *bhs, const void *data, uint32_t size) {
  static const uint8_t padding[4];
  gt_store_be32(bhs + 4, size); /* TotalAHSLength is 0 */
  gt_store_be32(bhs + 24, fake->stat_sn++);
  if (fake->trickle) {
    fake_trickle(fd, bhs, 48, 500);
    fake_trickle(fd, data, size, 500);
    fake_trickle(fd, padding, (4 - size % 4) % 4, 10000);
    return;
  }
  if (send(fd, bhs, 48, MSG_NOSIGNAL | (size ? MSG_MORE : 0)) < 0 || !size) return;
  if (send(fd, data, size, MSG_NOSIGNAL) >= 0 && size % 4) (void)!send(fd, padding, 4 - size % 4, MSG_NOSIGNAL);
}

/* A header that answers `request`: opcode, Initiator Task Tag, and the command window. */
static inline void fake_reply(const uint8_t *request, uint8_t opcode, uint8_t bhs[48]) {
  memset(bhs, 0, 48);
  bhs[0] = opcode;
  bhs[1] = 0x80;
  memcpy(bhs + 16, request + 16, 4);
  uint32_t next = gt_load_be32(request + 24) + (request[0] & 0x40 ? 0 : 1);
  gt_store_be32(bhs + 28, next);
  gt_store_be32(bhs + 32, next + 63);
}

static inline void fake_login(iscsi_fake *fake, int fd, const uint8_t *request) {
  uint8_t bhs[48];
  fake_reply(request, 0x23, bhs);
  bhs[1] = request[1];
  memcpy(bhs + 8, request + 8, 8); /* ISID, TSIH */
  bhs[36] = (uint8_t)(fake->login_status >> 8);
  bhs[37] = (uint8_t)fake->login_status;
  size_t size = 0;
  while (fake->keys && fake->keys[size])
    size += strlen(fake->keys + size) + 1;
  fake_send(fake, fd, bhs, fake->keys, (uint32_t)size);
}

static inline void fake_answer(iscsi_fake *fake, int fd, const uint8_t *request) {
  const uint8_t *cdb = request + 32;
  uint8_t bhs[48], sense[2 + 255] = {0, cdb[9], 0xF0, 0, 0x20, 1, 2, 3, 4, 10};
  fake_reply(request, 0x21, bhs);
  bhs[1] |= cdb[4];
  bhs[2] = cdb[3];
  bhs[3] = cdb[2];
  memcpy(bhs + 44, cdb + 5, 4);
  for (int i = 10; i < cdb[9]; i++)
    sense[2 + i] = (uint8_t)i;
  fake_send(fake, fd, bhs, sense, cdb[9] ? cdb[9] + 2u : 0);
}

static inline void fake_data(iscsi_fake *fake, int fd, const uint8_t *request) {
  static uint8_t data[65536];
  const uint8_t *cdb = request + 32;
  uint8_t bhs[48];
  fake_reply(request, 0x25, bhs);
  bhs[1] |= 0x01 | cdb[4]; /* S: the status is in here */
  bhs[3] = cdb[2];
  gt_store_be32(bhs + 20, 0xFFFFFFFF);
  memcpy(bhs + 44, cdb + 5, 4);
  memset(data, 0xA5, sizeof data);
  fake_send(fake, fd, bhs, data, gt_load_be32(cdb + 9));
}

static inline bool fake_command(iscsi_fake *fake, int fd, const uint8_t *request) {
  const uint8_t *cdb = request + 32;
  uint8_t bhs[48];
  atomic_fetch_add(&fake->commands, 1);
  switch (cdb[1]) {
  case FAKE_DATA: fake_data(fake, fd, request); return true;
  case FAKE_HOLD:
    fake->tmf_answer = cdb[2];
    fake->held_itt = gt_load_be32(request + 16);
    return true;
  case FAKE_HANG_UP: return false;
  case FAKE_HALF_PDU:
    fake_reply(request, 0x21, bhs);
    (void)!send(fd, bhs, 24, MSG_NOSIGNAL);
    return false;
  case FAKE_REJECT:
    fake_reply(request, 0x3F, bhs);
    bhs[2] = cdb[2];
    gt_store_be32(bhs + 16, 0xFFFFFFFF);
    fake_send(fake, fd, bhs, request, 48);
    return true;
  case FAKE_STRANGE:
    fake_reply(request, 0x3A, bhs);
    fake_send(fake, fd, bhs, NULL, 0);
    return true;
  case FAKE_PAUSE_ANSWER:
    fake_answer(fake, fd, request);
    while (!atomic_load(&fake->resume) && !atomic_load(&fake->stop))
      usleep(1000);
    return true;
  default: fake_answer(fake, fd, request); return true;
  }
}

static inline void fake_take_data(iscsi_fake *fake, const uint8_t *data, uint32_t size) {
  unsigned long long wrong = 0;
  for (uint32_t i = 0; i < size; i++)
    wrong += data[i] != 0x5A;
  atomic_fetch_add(&fake->wrong_data, wrong);
  atomic_fetch_add(&fake->data_out, size);
}

static inline bool fake_pdu(iscsi_fake *fake, int fd, const uint8_t *request) {
  uint8_t bhs[48];
  switch (request[0] & 0x3F) {
  case 0x00: /* NOP-Out */
    atomic_fetch_add(&fake->nops, 1);
    fake_reply(request, 0x20, bhs);
    gt_store_be32(bhs + 20, 0xFFFFFFFF);
    fake_send(fake, fd, bhs, NULL, 0);
    return true;
  case 0x01: return fake_command(fake, fd, request);
  case 0x02: /* task management: ABORT TASK of the command that is held, and nothing else */
    atomic_fetch_add(&fake->tmfs, 1);
    if (request[1] != 0x81 || gt_load_be32(request + 20) != fake->held_itt || gt_load_be16(request + 8) != 3)
      atomic_fetch_add(&fake->complaints, 1);
    fake_reply(request, 0x22, bhs);
    bhs[2] = fake->tmf_answer;
    if (fake->tmf_answer != 0xEE) fake_send(fake, fd, bhs, NULL, 0);
    return true;
  case 0x03: fake_login(fake, fd, request); return true;
  case 0x05: return true; /* Data-Out */
  case 0x06:              /* Logout */
    atomic_fetch_add(&fake->logouts, 1);
    fake_reply(request, 0x26, bhs);
    fake_send(fake, fd, bhs, NULL, 0);
    return true;
  default: return false;
  }
}

static inline void fake_serve(iscsi_fake *fake, int fd) {
  static uint8_t data[1 << 20];
  uint8_t request[48];
  while (fake_read(fd, request, sizeof request)) {
    uint32_t size = gt_load_be24(request + 5), padded = (size + 3) & ~3u;
    if (padded > sizeof data) return;
    /* Immediate data of a command comes after the command was acted upon: early answers are the point. */
    bool command = (request[0] & 0x3F) == 0x01;
    if (command && !fake_pdu(fake, fd, request)) return;
    if (padded && !fake_read(fd, data, padded)) return;
    if (command || (request[0] & 0x3F) == 0x05) fake_take_data(fake, data, size);
    if (!command && !fake_pdu(fake, fd, request)) return;
  }
}

static inline void *fake_run(void *argument) {
  iscsi_fake *fake = argument;
  while (!atomic_load(&fake->stop)) {
    int fd = accept(fake->listener, NULL, NULL);
    if (fd < 0) break;
    while (fake->silent && !atomic_load(&fake->stop))
      usleep(1000);
    fake->stat_sn = 1;
    if (!atomic_load(&fake->stop)) fake_serve(fake, fd);
    close(fd);
  }
  return NULL;
}

static inline void fake_start(iscsi_fake *fake) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  fake->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK_EQ(bind(fake->listener, (struct sockaddr *)&address, length), 0);
  CHECK_EQ(listen(fake->listener, 8), 0);
  getsockname(fake->listener, (struct sockaddr *)&address, &length);
  snprintf(fake->portal, sizeof fake->portal, "127.0.0.1:%u", ntohs(address.sin_port));
  int yes = 1; /* inherited by accepted connections */
  setsockopt(fake->listener, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  pthread_create(&fake->thread, NULL, fake_run, fake);
}

/* After every session with it was closed. */
static inline void fake_end(iscsi_fake *fake) {
  atomic_store(&fake->stop, true);
  shutdown(fake->listener, SHUT_RDWR);
  pthread_join(fake->thread, NULL);
  close(fake->listener);
  CHECK_EQ(atomic_load(&fake->complaints), 0); /* a task management function for another task, or LUN */
}

#endif
