/* An initiator that sends what the test says, byte for byte, right or wrong. */
#ifndef FABRIC_CLIENT_H
#define FABRIC_CLIENT_H

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "check.h"
#include "core/crc32c.h"
#include "fabric_rig.h"

/* A disk whose file is gone as soon as it is open. */
static inline gt_device *fabric_disk(uint64_t blocks, uint32_t block_bytes) {
  char path[] = "/tmp/gantry-fabric-XXXXXX", err[256] = "";
  gt_device *device = NULL;
  int fd = mkstemp(path);
  if (fd < 0) die("mkstemp");
  close(fd);
  if (gt_disk_open(&(gt_disk_options){.path = path, .blocks = blocks, .block_bytes = block_bytes}, &device, err,
                   sizeof err))
    die(err);
  unlink(path);
  return device;
}

typedef struct client {
  int fd;
  bool header_digest, data_digest;
  uint32_t cmdsn, exp_statsn, itt;
  uint8_t bhs[48]; /* of the PDU received last */
  uint8_t data[1 << 20];
  uint32_t data_len;
} client;

enum { READS = 0xC1, WRITES = 0xA1, WRITES_MORE = 0x21 };

static inline void client_connect(client *c, int port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  memset(c, 0, offsetof(client, data));
  c->cmdsn = 1;
  c->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(c->fd, (struct sockaddr *)&to, sizeof to)) die("connect");
}

static inline void client_put(client *c, const void *data, size_t length) {
  for (size_t at = 0; at < length;) {
    ssize_t n = send(c->fd, (const uint8_t *)data + at, length - at, MSG_NOSIGNAL);
    if (n <= 0) return; /* the test sees that the target has closed */
    at += (size_t)n;
  }
}

static inline bool client_get(client *c, void *data, size_t length) {
  for (size_t at = 0; at < length;) {
    ssize_t n = recv(c->fd, (uint8_t *)data + at, length - at, 0);
    if (n <= 0) return false;
    at += (size_t)n;
  }
  return true;
}

/* One PDU; spoil: 1 a wrong header digest, 2 a wrong data digest. bhs[5..7] is filled in. */
static inline void client_send(client *c, uint8_t *bhs, const void *data, uint32_t length, int spoil) {
  static const uint8_t zeros[4];
  uint8_t digest[4];
  gt_store_be24(bhs + 5, length);
  client_put(c, bhs, 48);
  gt_store_le32(digest, gt_crc32c(0, bhs, 48) + (spoil == 1));
  if (c->header_digest) client_put(c, digest, 4);
  client_put(c, data, length);
  client_put(c, zeros, gt_pdu_padding(length));
  uint32_t crc = gt_crc32c(gt_crc32c(0, data, length), zeros, gt_pdu_padding(length));
  gt_store_le32(digest, crc + (spoil == 2));
  if (c->data_digest && length) client_put(c, digest, 4);
}

/* The next PDU; its opcode, or -1: the target has closed. */
static inline int client_receive(client *c) {
  uint8_t digest[4];
  if (!client_get(c, c->bhs, 48)) return -1;
  if (c->header_digest) {
    if (!client_get(c, digest, 4)) return -1;
    CHECK_EQ(gt_load_le32(digest), gt_crc32c(0, c->bhs, 48));
  }
  c->data_len = gt_load_be24(c->bhs + 5);
  uint32_t padded = c->data_len + gt_pdu_padding(c->data_len);
  if (padded > sizeof c->data || !client_get(c, c->data, padded)) return -1;
  if (c->data_digest && padded) {
    if (!client_get(c, digest, 4)) return -1;
    CHECK_EQ(gt_load_le32(digest), gt_crc32c(0, c->data, padded));
  }
  return c->bhs[0] & 0x3F;
}

static inline void client_login(client *c, int port, const char *keys, size_t keys_len) {
  uint8_t bhs[48] = {0x43, 0x87};
  client_connect(c, port);
  gt_store_be32(bhs + 16, 77);
  gt_store_be32(bhs + 24, c->cmdsn);
  client_send(c, bhs, keys, (uint32_t)keys_len, 0);
  CHECK_EQ(client_receive(c), GT_PDU_LOGIN_RESPONSE);
  CHECK_EQ(c->bhs[36], 0);
  c->exp_statsn = gt_load_be32(c->bhs + 24) + 1;
  c->header_digest = memmem(keys, keys_len, "HeaderDigest=CRC32C", 19) != NULL;
  c->data_digest = memmem(keys, keys_len, "DataDigest=CRC32C", 17) != NULL;
}

/* A SCSI Command with a CDB of 10 bytes; numbers itself. */
static inline uint32_t client_command(client *c, uint8_t flags, uint8_t opcode, uint32_t lba, uint16_t blocks,
                                      uint32_t edtl, const void *data, uint32_t length, int spoil) {
  uint8_t bhs[48] = {GT_PDU_SCSI_COMMAND, flags};
  gt_store_be32(bhs + 16, ++c->itt);
  gt_store_be32(bhs + 20, edtl);
  gt_store_be32(bhs + 24, c->cmdsn++);
  bhs[32] = opcode;
  gt_store_be32(bhs + 34, lba);
  gt_store_be16(bhs + 39, blocks);
  client_send(c, bhs, data, length, spoil);
  return c->itt;
}

static inline void client_data(client *c, uint32_t itt, uint32_t ttt, uint32_t datasn, uint32_t offset, bool final,
                               const void *data, uint32_t length, int spoil) {
  uint8_t bhs[48] = {GT_PDU_DATA_OUT, final ? 0x80 : 0};
  gt_store_be32(bhs + 16, itt);
  gt_store_be32(bhs + 20, ttt);
  gt_store_be32(bhs + 36, datasn);
  gt_store_be32(bhs + 40, offset);
  client_send(c, bhs, data, length, spoil);
}

/* The next PDU is a SCSI Response for itt with CHECK CONDITION of this key and code. */
static inline void client_expect_sense(client *c, uint32_t itt, uint8_t key, uint16_t asc) {
  gt_sense sense;
  CHECK_EQ(client_receive(c), GT_PDU_SCSI_RESPONSE);
  CHECK_EQ(gt_load_be32(c->bhs + 16), itt);
  CHECK_EQ(c->bhs[3], GT_STATUS_CHECK_CONDITION);
  CHECK(c->data_len > 2 && gt_sense_parse(c->data + 2, c->data_len - 2, &sense));
  CHECK_EQ(sense.key, key);
  CHECK_EQ(sense.asc, asc);
}

static inline void client_expect_good(client *c, uint32_t itt) {
  CHECK_EQ(client_receive(c), GT_PDU_SCSI_RESPONSE);
  CHECK_EQ(gt_load_be32(c->bhs + 16), itt);
  CHECK_EQ(c->bhs[2] << 8 | c->bhs[3], 0);
}

/* The unit attention of a new path goes to a first command. */
static inline void client_settle(client *c) {
  uint32_t itt = client_command(c, 0x81, GT_TEST_UNIT_READY, 0, 0, 0, NULL, 0, 0);
  client_expect_sense(c, itt, GT_KEY_UNIT_ATTENTION, GT_ASC_POWER_ON_OR_RESET);
}

static inline void client_closed(client *c) {
  CHECK_EQ(client_receive(c), -1);
  close(c->fd);
}

static inline uint8_t client_task_management(client *c, uint8_t function, uint8_t lun, uint32_t referenced) {
  uint8_t bhs[48] = {0x40 | GT_PDU_TASK_REQUEST, 0x80 | function};
  bhs[9] = lun;
  gt_store_be32(bhs + 16, ++c->itt);
  gt_store_be32(bhs + 20, referenced);
  gt_store_be32(bhs + 24, c->cmdsn);
  client_send(c, bhs, NULL, 0, 0);
  CHECK_EQ(client_receive(c), GT_PDU_TASK_RESPONSE);
  CHECK_EQ(gt_load_be32(c->bhs + 16), c->itt);
  return c->bhs[2];
}

#endif
