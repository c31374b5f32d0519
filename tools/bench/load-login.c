/* Login and the first commands of a session (RFC 7143 6 and 11.12), with a socket that still blocks. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/bytes.h"
#include "load.h"

enum { ANSWER_MAX = 65536, READY_TRIES = 64 };

static int connect_to(const load_options *o) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV}, *to;
  int error = getaddrinfo(o->host, o->port, &hints, &to), one = 1;
  if (error) load_die("%s:%s: %s", o->host, o->port, gai_strerror(error));
  int fd = socket(to->ai_family, to->ai_socktype | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, to->ai_addr, to->ai_addrlen)) load_die("%s:%s: %s", o->host, o->port, strerror(errno));
  freeaddrinfo(to);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

static void put(int fd, const void *data, size_t len) {
  for (size_t at = 0; at < len;) {
    ssize_t n = send(fd, (const uint8_t *)data + at, len - at, MSG_NOSIGNAL);
    if (n <= 0) load_die("the target closed the connection while it was sent to");
    at += (size_t)n;
  }
}

static void get(int fd, void *data, size_t len) {
  for (size_t at = 0; at < len;) {
    ssize_t n = recv(fd, (uint8_t *)data + at, len - at, 0);
    if (n <= 0) load_die("the target closed the connection before the load began");
    at += (size_t)n;
  }
}

/* The next PDU: header, and data of at most ANSWER_MAX bytes; returns how many. */
static uint32_t get_pdu(load_session *s, uint8_t bhs[LOAD_BHS], uint8_t data[ANSWER_MAX]) {
  get(s->fd, bhs, LOAD_BHS);
  uint32_t len = gt_load_be24(bhs + 5), padded = (len + 3) & ~UINT32_C(3);
  if (bhs[4] || padded > ANSWER_MAX) load_die("a PDU of opcode %02xh is too long before the load begins", bhs[0]);
  get(s->fd, data, padded);
  s->max_cmdsn = gt_load_be32(bhs + 32);
  return len;
}

/* A number or the first letter of a word; fallback when the target did not say. */
static uint32_t answered(const uint8_t *data, uint32_t len, const char *key, uint32_t fallback) {
  size_t width = strlen(key);
  for (uint32_t at = 0; at < len; at += (uint32_t)strnlen((const char *)data + at, len - at) + 1) {
    if (len - at <= width + 1 || memcmp(data + at, key, width) || data[at + width] != '=') continue;
    const char *value = (const char *)data + at + width + 1;
    return *value >= '0' && *value <= '9' ? (uint32_t)strtoul(value, NULL, 10) : (uint8_t)*value;
  }
  return fallback;
}

static int login_keys(const load_session *s, char *keys, size_t room) {
  const load_options *o = &s->load->options;
  return snprintf(keys, room,
                  "InitiatorName=%s%cTargetName=%s%cSessionType=Normal%cHeaderDigest=None%cDataDigest=None%c"
                  "MaxConnections=1%cInitialR2T=No%cImmediateData=Yes%cMaxRecvDataSegmentLength=262144%c"
                  "MaxBurstLength=16776192%cFirstBurstLength=262144%cDefaultTime2Wait=2%cDefaultTime2Retain=0%c"
                  "MaxOutstandingR2T=1%cDataPDUInOrder=Yes%cDataSequenceInOrder=Yes%cErrorRecoveryLevel=0%c",
                  o->initiator, 0, o->target, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
}

static void send_login(load_session *s) {
  char keys[2048];
  static const uint8_t zeros[4];
  uint8_t bhs[LOAD_BHS] = {0x43, 0x87}; /* transit from operational negotiation to the full-feature phase */
  int len = login_keys(s, keys, sizeof keys);
  if (len < 0 || (size_t)len >= sizeof keys) load_die("the names are too long");
  gt_store_be24(bhs + 5, (uint32_t)len);
  bhs[8] = 0x80; /* a random ISID (11.12.5), of which each session has its own */
  gt_store_be16(bhs + 9, (uint16_t)getpid());
  gt_store_be16(bhs + 12, (uint16_t)s->index);
  gt_store_be32(bhs + 24, s->cmdsn);
  put(s->fd, bhs, LOAD_BHS);
  put(s->fd, keys, (size_t)len);
  put(s->fd, zeros, -(unsigned)len & 3);
}

void load_login(load_session *s) {
  uint8_t bhs[LOAD_BHS], data[ANSWER_MAX];
  s->fd = connect_to(&s->load->options);
  s->cmdsn = 1;
  send_login(s);
  uint32_t len = get_pdu(s, bhs, data);
  if (bhs[0] != 0x23 || bhs[36]) load_die("login refused: status %02x%02xh", bhs[36], bhs[37]);
  if ((bhs[1] & 0x83) != 0x83) load_die("the target wants to negotiate more than was offered");
  s->exp_statsn = gt_load_be32(bhs + 24) + 1;
  s->target_recv = answered(data, len, "MaxRecvDataSegmentLength", 8192);
  s->first_burst = answered(data, len, "FirstBurstLength", 65536);
  s->initial_r2t = answered(data, len, "InitialR2T", 'Y') == 'Y';
  s->immediate = answered(data, len, "ImmediateData", 'Y') == 'Y';
}

/* A command that reads at most `room` bytes; returns its status. */
static uint8_t read_command(load_session *s, const uint8_t cdb[16], uint8_t *out, uint32_t room) {
  uint8_t bhs[LOAD_BHS] = {0x01, room ? 0xC1 : 0x81}, data[ANSWER_MAX];
  bhs[9] = (uint8_t)s->load->options.lun;
  gt_store_be32(bhs + 16, 7);
  gt_store_be32(bhs + 20, room);
  gt_store_be32(bhs + 24, s->cmdsn++);
  gt_store_be32(bhs + 28, s->exp_statsn);
  memcpy(bhs + 32, cdb, 16);
  put(s->fd, bhs, LOAD_BHS);
  for (;;) {
    uint32_t len = get_pdu(s, bhs, data);
    if (bhs[0] == 0x25 && len <= room) memcpy(out, data, len);
    if (bhs[0] != 0x21 && !(bhs[0] == 0x25 && bhs[1] & 1)) continue;
    s->exp_statsn = gt_load_be32(bhs + 24) + 1;
    return bhs[3];
  }
}

uint64_t load_capacity(load_session *s) {
  static const uint8_t ready[16] = {0}, capacity[16] = {0x25};
  uint8_t data[8] = {0};
  int tries = 0;
  while (read_command(s, ready, data, 0) != 0)
    if (++tries == READY_TRIES) load_die("the disk does not become ready");
  if (read_command(s, capacity, data, sizeof data)) load_die("READ CAPACITY(10) failed");
  s->load->block_bytes = gt_load_be32(data + 4);
  return ((uint64_t)gt_load_be32(data) + 1) * s->load->block_bytes;
}
