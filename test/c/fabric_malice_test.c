/* A peer that means harm: every byte may be the last one, every length may lie, before the login and behind it. After
 * all of it the target serves as before and holds nothing. */
#include "fabric_client.h"

enum { BLOCK = 512, BLOCKS = 4096, ROOM = 65536 };

#define KEYS "InitialR2T=No\0MaxRecvDataSegmentLength=4096\0MaxBurstLength=16384\0FirstBurstLength=8192"
#define DIGESTS KEYS "\0HeaderDigest=CRC32C\0DataDigest=CRC32C"

static uint8_t pattern[8192];
static client good, bad;

/* A conversation in bytes, as a peer without digests would send it in one go. */
typedef struct talk {
  uint8_t bytes[ROOM];
  size_t length, logged_in; /* so many are the login's */
  uint32_t cmdsn, itt;
} talk;

static void say(talk *t, uint8_t *bhs, const void *data, uint32_t length) {
  gt_store_be24(bhs + 5, length);
  memcpy(t->bytes + t->length, bhs, 48);
  if (length) memcpy(t->bytes + t->length + 48, data, length);
  t->length += 48 + length + gt_pdu_padding(length);
}

static void say_login(talk *t) {
  uint8_t bhs[48] = {0x43, 0x87};
  gt_store_be32(bhs + 24, t->cmdsn = 1);
  say(t, bhs, KEYS, sizeof KEYS);
  t->logged_in = t->length;
}

static void say_command(talk *t, uint8_t flags, uint8_t opcode, uint8_t blocks, const void *data, uint32_t length) {
  uint8_t bhs[48] = {GT_PDU_SCSI_COMMAND, flags};
  gt_store_be32(bhs + 16, ++t->itt);
  gt_store_be32(bhs + 20, blocks * BLOCK);
  gt_store_be32(bhs + 24, t->cmdsn++);
  bhs[32] = opcode;
  bhs[40] = blocks;
  say(t, bhs, data, length);
}

static void say_small(talk *t, uint8_t opcode, uint8_t flags, const char *data) {
  uint8_t bhs[48] = {opcode, flags};
  gt_store_be32(bhs + 16, ++t->itt);
  gt_store_be32(bhs + 20, GT_PDU_NO_TAG);
  gt_store_be32(bhs + 24, t->cmdsn);
  if (!(opcode & 0x40) && opcode != GT_PDU_DATA_OUT) t->cmdsn++;
  say(t, bhs, data, (uint32_t)strlen(data));
}

static void converse(talk *t) {
  *t = (talk){0};
  say_login(t);
  say_command(t, 0x81, GT_TEST_UNIT_READY, 0, NULL, 0);
  say_command(t, WRITES, GT_WRITE_10, 1, pattern, 512);
  say_command(t, WRITES_MORE, GT_WRITE_10, 2, pattern, 512);
  uint8_t bhs[48] = {GT_PDU_DATA_OUT, 0x80};
  gt_store_be32(bhs + 16, t->itt);
  gt_store_be32(bhs + 20, GT_PDU_NO_TAG);
  gt_store_be32(bhs + 40, 512);
  say(t, bhs, pattern, 512);
  say_command(t, READS, GT_READ_10, 2, NULL, 0);
  say_small(t, 0x40, 0x80, "ping!");
  say_small(t, GT_PDU_TEXT_REQUEST, 0x80, "SendTargets=All");
  say_small(t, 0x40 | GT_PDU_TASK_REQUEST, 0x80 | GT_TMF_ABORT_TASK_SET, "");
  say_small(t, GT_PDU_LOGOUT_REQUEST, 0x80, "");
}

/* Everything that the target has to say, until it closes. */
static size_t hear_out(client *c) {
  size_t heard = 0;
  ssize_t n;
  shutdown(c->fd, SHUT_WR);
  while ((n = recv(c->fd, c->data, sizeof c->data, 0)) > 0)
    heard += (size_t)n;
  close(c->fd);
  return heard;
}

static void serves(supervisor *s) {
  client_login(&good, s->port, KEYS, sizeof KEYS);
  client_settle(&good);
  uint32_t itt = client_command(&good, WRITES, GT_WRITE_10, 64, 8, 4096, pattern, 4096, 0);
  client_expect_good(&good, itt);
  client_command(&good, READS, GT_READ_10, 64, 8, 4096, NULL, 0, 0);
  CHECK_EQ(client_receive(&good), GT_PDU_DATA_IN);
  CHECK(good.data_len == 4096 && memcmp(good.data, pattern, 4096) == 0);
  close(good.fd);
}

static void until_empty(supervisor *s) {
  gt_target_stats stats;
  do {
    gt_target_stat(s->target, &stats);
    if (stats.connections) nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
  } while (stats.connections);
}

static void test_truncated(supervisor *s) {
  TEST("a conversation that ends behind any byte, whether it comes whole or in two pieces");
  talk *t = malloc(sizeof *t);
  converse(t);
  client_connect(&bad, s->port);
  client_put(&bad, t->bytes, t->logged_in);
  CHECK(client_get(&bad, bad.data, 48)); /* so the rest is said to a session */
  client_put(&bad, t->bytes + t->logged_in, t->length - t->logged_in);
  CHECK(hear_out(&bad) > 48);
  for (size_t cut = 0; cut <= t->length; cut += cut % 512 < 96 || cut % 48 < 4 ? 1 : 7) {
    client_connect(&bad, s->port);
    client_put(&bad, t->bytes, cut < t->logged_in ? cut : t->logged_in);
    if (cut > t->logged_in) {
      size_t half = (cut - t->logged_in) / 2;
      CHECK_EQ(client_receive(&bad), GT_PDU_LOGIN_RESPONSE);
      client_put(&bad, t->bytes + t->logged_in, half);
      client_put(&bad, t->bytes + t->logged_in + half, cut - t->logged_in - half);
    }
    if (cut & 1)
      hear_out(&bad);
    else
      close(bad.fd);
  }
  free(t);
  until_empty(s);
  serves(s);
}

static void lie(supervisor *s, unsigned opcode, unsigned at, uint8_t value, const char *keys, size_t keys_len) {
  uint8_t bhs[48] = {(uint8_t)opcode, 0x80};
  bool first = opcode & 0x80;
  bhs[0] &= 0x7F;
  if (first)
    client_connect(&bad, s->port);
  else
    client_login(&bad, s->port, keys, keys_len);
  gt_store_be32(bhs + 16, 7);
  gt_store_be32(bhs + 20, GT_PDU_NO_TAG);
  gt_store_be32(bhs + 24, bad.cmdsn);
  bhs[at] = value;
  client_put(&bad, bhs, 48);
  uint8_t digest[4];
  gt_store_le32(digest, gt_crc32c(0, bhs, 48));
  if (bad.header_digest && !first) client_put(&bad, digest, 4);
  client_put(&bad, pattern, 1024);
  size_t heard = hear_out(&bad);
  if (first && (opcode & 0x3F) != GT_PDU_LOGIN_REQUEST) CHECK_EQ(heard, 0); /* nobody is answered before a login */
}

static void test_lies(supervisor *s) {
  TEST("every opcode with every byte of its lengths lying: to a session, to one with digests, and before a login");
  static const uint8_t values[] = {1, 0x80, 0xFF};
  for (unsigned opcode = 0; opcode < 0x80; opcode += opcode < 8 || opcode > 0x3F ? 1 : 5) {
    for (unsigned at = 4; at < 8; at++) {
      for (unsigned i = 0; i < sizeof values; i++) {
        lie(s, opcode, at, values[i], KEYS, sizeof KEYS);
        lie(s, opcode | 0x80, at, values[i], NULL, 0);
      }
      lie(s, opcode, at, 0xFF, DIGESTS, sizeof DIGESTS);
    }
  }
  until_empty(s);
  serves(s);
}

static void test_many_half_open(supervisor *s) {
  TEST("connections that say nothing, or half a login, take the places that there are, and give them back");
  int fds[64];
  for (int i = 0; i < 64; i++) {
    client_connect(&bad, s->port);
    client_put(&bad, pattern, (size_t)i % 48);
    fds[i] = bad.fd;
  }
  until_empty(s); /* all of them ran into the time that a login may take */
  gt_target_stats stats;
  gt_target_stat(s->target, &stats);
  CHECK(stats.refused >= 32);
  for (int i = 0; i < 64; i++)
    close(fds[i]);
  serves(s);
}

int main(void) {
  supervisor s = supervisor_defaults();
  for (size_t i = 0; i < sizeof pattern; i++)
    pattern[i] = (uint8_t)(i * 7 + i / 251 + 1);
  gt_target_options options = {.connections = 32, .pool_bytes = 16 << 20, .login_timeout_ms = 1000};
  supervisor_open(&s, options, plane_rows, sizeof plane_rows / sizeof *plane_rows, fabric_disk(BLOCKS, BLOCK), true, 0);
  test_truncated(&s);
  test_lies(&s);
  test_many_half_open(&s);
  supervisor_close(&s);
  return check_end();
}
