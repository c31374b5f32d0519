/* The iSCSI target, PDU by PDU (RFC 7143): what is right is carried out, what is wrong is told or ends the connection.
 */
#include "fabric_client.h"
#include "fabric/buffers.h"

enum { BLOCK = 512, BLOCKS = 32768, FIRST = 8192, BURST = 16384, SEGMENT = 8192 };

#define KEYS(text) text, sizeof(text)
#define PLAIN                                                                                                          \
  "InitialR2T=No\0MaxRecvDataSegmentLength=4096\0MaxBurstLength=16384\0FirstBurstLength=8192\0MaxOutstandingR2T=2"
#define DIGESTS PLAIN "\0HeaderDigest=CRC32C\0DataDigest=CRC32C"

static uint8_t pattern[1 << 20];
static client one, two;

static void open_one(supervisor *s, gt_target_options options, bool inline_ok) {
  *s = supervisor_defaults();
  s->first_burst = FIRST;
  s->max_burst = BURST;
  s->max_recv = SEGMENT;
  supervisor_open(s, options, plane_rows, sizeof plane_rows / sizeof *plane_rows, fabric_disk(BLOCKS, BLOCK), inline_ok,
                  0);
}

static void reads_back(client *c, uint32_t lba, uint16_t blocks, const uint8_t *want) {
  uint32_t bytes = blocks * BLOCK, got = 0, datasn = 0;
  uint32_t itt = client_command(c, READS, GT_READ_10, lba, blocks, bytes, NULL, 0, 0);
  while (got < bytes) {
    CHECK_EQ(client_receive(c), GT_PDU_DATA_IN);
    if ((c->bhs[0] & 0x3F) != GT_PDU_DATA_IN) return;
    CHECK_EQ(gt_load_be32(c->bhs + 16), itt);
    CHECK_EQ(gt_load_be32(c->bhs + 36), datasn++);
    CHECK_EQ(gt_load_be32(c->bhs + 40), got);
    CHECK(c->data_len <= 4096 && memcmp(c->data, want + got, c->data_len) == 0);
    got += c->data_len;
    CHECK_EQ(c->bhs[1] >> 7, got == bytes || got % BURST == 0);
    CHECK_EQ(c->bhs[1] & 1, got == bytes); /* the status comes with the last one */
  }
}

static void test_moves_data(supervisor *s) {
  TEST("immediate, unsolicited and solicited data arrive whole, in order, in bursts as negotiated");
  client *c = &one;
  client_login(c, s->port, KEYS(PLAIN));
  client_settle(c);
  uint32_t itt = client_command(c, WRITES, GT_WRITE_10, 0, 8, 4096, pattern, 4096, 0);
  client_expect_good(c, itt);
  /* 40,960 bytes: 4096 immediate, 4096 unsolicited, then R2Ts of 16,384 and 16,384. */
  itt = client_command(c, WRITES_MORE, GT_WRITE_10, 100, 80, 40960, pattern, 4096, 0);
  client_data(c, itt, GT_PDU_NO_TAG, 0, 4096, true, pattern + 4096, 4096, 0);
  uint32_t ttts[2];
  for (uint32_t i = 0; i < 2; i++) {
    CHECK_EQ(client_receive(c), GT_PDU_R2T);
    CHECK_EQ(gt_load_be32(c->bhs + 36), i);
    CHECK_EQ(gt_load_be32(c->bhs + 40), FIRST + i * BURST);
    CHECK_EQ(gt_load_be32(c->bhs + 44), BURST);
    ttts[i] = gt_load_be32(c->bhs + 20);
  }
  CHECK(ttts[0] != ttts[1]);
  for (uint32_t i = 0; i < 4; i++) {
    uint32_t offset = FIRST + i * 8192;
    client_data(c, itt, ttts[i / 2], i % 2, offset, i % 2, pattern + offset, 8192, 0);
  }
  client_expect_good(c, itt);
  reads_back(c, 100, 80, pattern);
  reads_back(c, 0, 8, pattern);
}

static void test_residuals(void) {
  TEST("residuals are exact: less than expected is underflow, more is overflow");
  client *c = &one;
  uint32_t itt = client_command(c, READS, GT_READ_10, 0, 1, 1000, NULL, 0, 0);
  CHECK_EQ(client_receive(c), GT_PDU_DATA_IN);
  CHECK_EQ(gt_load_be32(c->bhs + 16), itt);
  CHECK_EQ(c->bhs[1] & 0x07, 0x03);
  CHECK_EQ(gt_load_be32(c->bhs + 44), 488);
  CHECK_EQ(c->data_len, 512);
  client_command(c, READS, GT_READ_10, 0, 1, 100, NULL, 0, 0);
  CHECK_EQ(client_receive(c), GT_PDU_DATA_IN);
  CHECK_EQ(c->bhs[1] & 0x07, 0x05);
  CHECK_EQ(gt_load_be32(c->bhs + 44), 412);
  CHECK_EQ(c->data_len, 100);
  client_command(c, READS, GT_READ_10, BLOCKS, 1, 512, NULL, 0, 0);
  client_expect_sense(c, c->itt, GT_KEY_ILLEGAL_REQUEST, GT_ASC_LBA_OUT_OF_RANGE);
  CHECK_EQ(c->bhs[1] & 0x06, 0x02);
  CHECK_EQ(gt_load_be32(c->bhs + 44), 512);
}

static void test_wrong_data(void) {
  TEST("data that is too much, too little, out of sequence or not asked for ends its command, not the session");
  client *c = &one;
  uint32_t itt = client_command(c, WRITES_MORE, GT_WRITE_10, 0, 80, 40960, pattern, 4096, 0);
  client_data(c, itt, GT_PDU_NO_TAG, 5, 4096, true, pattern, 4096, 0);
  client_expect_sense(c, itt, GT_KEY_ABORTED_COMMAND, 0x4705);
  itt = client_command(c, WRITES_MORE, GT_WRITE_10, 0, 80, 40960, pattern, 4096, 0);
  client_data(c, itt, GT_PDU_NO_TAG, 0, 4096, true, pattern, 2048, 0);
  client_expect_sense(c, itt, GT_KEY_ABORTED_COMMAND, 0x0C0D);
  itt = client_command(c, WRITES_MORE, GT_WRITE_10, 0, 80, 40960, pattern, 4096, 0);
  client_data(c, itt, GT_PDU_NO_TAG, 0, 4096, true, pattern, 4100, 0);
  client_expect_sense(c, itt, GT_KEY_ABORTED_COMMAND, 0x0C0D);
  itt = client_command(c, WRITES_MORE, GT_WRITE_10, 0, 80, 40960, pattern, 4096, 0);
  client_data(c, itt, GT_PDU_NO_TAG, 0, UINT32_MAX - 3, true, pattern, 4096, 0);
  client_expect_sense(c, itt, GT_KEY_ABORTED_COMMAND, 0x0C0D);
  itt = client_command(c, WRITES, GT_WRITE_10, 0, 8, 1024, pattern, 4096, 0);
  client_expect_sense(c, itt, GT_KEY_ABORTED_COMMAND, 0x0C0D);
  /* Nobody's data passes. */
  client_data(c, 0x4444, 0x1234, 0, 0, true, pattern, 512, 0);
  client_data(c, 0x4444, GT_PDU_NO_TAG, 0, 0, true, pattern, 512, 0);
  /* A short burst. */
  itt = client_command(c, 0xA1, GT_WRITE_10, 0, 8, 4096, NULL, 0, 0);
  CHECK_EQ(client_receive(c), GT_PDU_R2T);
  client_data(c, itt, gt_load_be32(c->bhs + 20), 0, 0, true, pattern, 2048, 0);
  client_expect_sense(c, itt, GT_KEY_ABORTED_COMMAND, 0x0C0D);
  itt = client_command(c, 0xE1, GT_READ_10, 0, 1, 512, NULL, 0, 0);
  client_expect_sense(c, itt, GT_KEY_ILLEGAL_REQUEST, 0x0E03);
  reads_back(c, 0, 8, pattern);
}

static void test_numbers(void) {
  TEST("commands outside of the window, or seen before, are ignored; a tag in use is rejected");
  client *c = &one;
  uint32_t right = c->cmdsn;
  c->cmdsn = right + 5000;
  client_command(c, READS, GT_READ_10, 0, 1, 512, NULL, 0, 0);
  c->cmdsn = right - 1;
  client_command(c, READS, GT_READ_10, 0, 1, 512, NULL, 0, 0);
  c->cmdsn = right;
  reads_back(c, 0, 8, pattern);
  uint32_t itt = client_command(c, WRITES, GT_WRITE_10, 0, 8, 4096, NULL, 0, 0);
  CHECK_EQ(client_receive(c), GT_PDU_R2T);
  uint32_t ttt = gt_load_be32(c->bhs + 20);
  c->itt--;
  client_command(c, READS, GT_READ_10, 0, 1, 512, NULL, 0, 0);
  CHECK_EQ(client_receive(c), GT_PDU_REJECT);
  CHECK_EQ(c->bhs[2], GT_REJECT_TASK_IN_PROGRESS);
  CHECK_EQ(c->data_len, 48);
  client_data(c, itt, ttt, 0, 0, true, pattern, 4096, 0);
  client_expect_good(c, itt);
}

static void test_small_requests(supervisor *s) {
  TEST("NOP-Out comes back with its data; a Text Request goes to the supervisor; SNACK is rejected");
  client *c = &one;
  uint8_t nop[48] = {0x40, 0x80}, text[48] = {0x04, 0x80}, snack[48] = {0x50, 0x80};
  gt_store_be32(nop + 16, 9);
  gt_store_be32(nop + 20, GT_PDU_NO_TAG);
  gt_store_be32(nop + 24, c->cmdsn);
  client_send(c, nop, "ping!", 5, 0);
  CHECK_EQ(client_receive(c), GT_PDU_NOP_IN);
  CHECK(c->data_len == 5 && memcmp(c->data, "ping!", 5) == 0);
  uint32_t statsn = gt_load_be32(c->bhs + 24);
  gt_store_be32(text + 16, 10);
  gt_store_be32(text + 24, c->cmdsn++);
  client_send(c, text, "SendTargets=All", 16, 0);
  CHECK_EQ(client_receive(c), GT_PDU_TEXT_RESPONSE);
  CHECK_EQ(gt_load_be32(c->bhs + 24), statsn + 1);
  CHECK_EQ(gt_load_be32(c->bhs + 28), c->cmdsn);
  CHECK_EQ(c->data_len, 16);
  CHECK_EQ(s->texts, 1);
  client_send(c, snack, NULL, 0, 0);
  CHECK_EQ(client_receive(c), GT_PDU_REJECT);
}

static void test_task_management(supervisor *s) {
  TEST("task management ends what it names, tells what it does not find, and late data of the dead passes");
  client *c = &one;
  CHECK_EQ(client_task_management(c, GT_TMF_ABORT_TASK, 0, 0x9999), GT_TMF_NO_TASK);
  uint32_t itt = client_command(c, WRITES, GT_WRITE_10, 0, 8, 4096, NULL, 0, 0);
  CHECK_EQ(client_receive(c), GT_PDU_R2T);
  uint32_t ttt = gt_load_be32(c->bhs + 20);
  CHECK_EQ(client_task_management(c, GT_TMF_ABORT_TASK, 0, itt), GT_TMF_COMPLETE);
  client_data(c, itt, ttt, 0, 0, true, pattern + 100, 4096, 0);
  client_command(c, WRITES, GT_WRITE_10, 0, 8, 4096, NULL, 0, 0);
  CHECK_EQ(client_receive(c), GT_PDU_R2T);
  CHECK_EQ(client_task_management(c, GT_TMF_ABORT_TASK_SET, 0, 0), GT_TMF_COMPLETE);
  CHECK_EQ(client_task_management(c, GT_TMF_CLEAR_TASK_SET, 0, 0), GT_TMF_COMPLETE);
  CHECK_EQ(client_task_management(c, GT_TMF_LUN_RESET, 0, 0), GT_TMF_COMPLETE);
  CHECK_EQ(client_task_management(c, GT_TMF_LUN_RESET, 7, 0), GT_TMF_NO_LUN);
  CHECK_EQ(client_task_management(c, GT_TMF_REASSIGN, 0, 0), GT_TMF_NO_REASSIGN);
  CHECK_EQ(client_task_management(c, GT_TMF_CLEAR_ACA, 0, 0), GT_TMF_UNSUPPORTED);
  client_login(&two, s->port, KEYS(PLAIN));
  client_settle(&two);
  CHECK_EQ(client_task_management(&two, GT_TMF_WARM_RESET, 0, 0), GT_TMF_COMPLETE);
  itt = client_command(c, 0x81, GT_TEST_UNIT_READY, 0, 0, 0, NULL, 0, 0);
  CHECK_EQ(client_receive(c), GT_PDU_SCSI_RESPONSE);
  CHECK_EQ(c->bhs[3], GT_STATUS_CHECK_CONDITION); /* the other one reset the unit */
  CHECK_EQ(client_task_management(&two, GT_TMF_COLD_RESET, 0, 0), GT_TMF_COMPLETE);
  client_closed(&two);
  client_command(c, 0x81, GT_TEST_UNIT_READY, 0, 0, 0, NULL, 0, 0);
  CHECK_EQ(client_receive(c), GT_PDU_SCSI_RESPONSE);
  reads_back(c, 0, 8, pattern); /* nothing of the aborted writes has arrived */
}

static void test_ends(supervisor *s) {
  TEST("logout is answered, then the connection closes; an asynchronous message precedes a session that is closed");
  uint8_t bhs[48] = {0x46, 0x80};
  gt_store_be32(bhs + 16, 5);
  gt_store_be32(bhs + 24, one.cmdsn);
  client_send(&one, bhs, NULL, 0, 0);
  CHECK_EQ(client_receive(&one), GT_PDU_LOGOUT_RESPONSE);
  CHECK_EQ(one.bhs[2], 0);
  client_closed(&one);
  client_login(&one, s->port, KEYS(PLAIN));
  gt_target_close_nexus(s->target, s->last_nexus, 1);
  CHECK_EQ(client_receive(&one), GT_PDU_ASYNC);
  CHECK_EQ(one.bhs[36], 1);
  client_closed(&one);
}

static void test_digests(supervisor *s) {
  TEST("with digests: a wrong data digest ends the command, a wrong header digest the connection");
  client *c = &one;
  client_login(c, s->port, KEYS(DIGESTS));
  client_settle(c);
  uint32_t itt = client_command(c, WRITES, GT_WRITE_10, 300, 8, 4096, pattern, 4096, 0);
  client_expect_good(c, itt);
  itt = client_command(c, WRITES, GT_WRITE_10, 300, 8, 4096, pattern + 512, 4096, 2);
  CHECK_EQ(client_receive(c), GT_PDU_REJECT);
  CHECK_EQ(c->bhs[2], GT_REJECT_DATA_DIGEST);
  client_expect_sense(c, itt, GT_KEY_ABORTED_COMMAND, 0x4705);
  itt = client_command(c, WRITES, GT_WRITE_10, 300, 8, 4096, NULL, 0, 0);
  CHECK_EQ(client_receive(c), GT_PDU_R2T);
  client_data(c, itt, gt_load_be32(c->bhs + 20), 0, 0, true, pattern + 512, 4096, 2);
  CHECK_EQ(client_receive(c), GT_PDU_REJECT);
  client_expect_sense(c, itt, GT_KEY_ABORTED_COMMAND, 0x4705);
  reads_back(c, 300, 8, pattern);
  client_command(c, READS, GT_READ_10, 0, 1, 512, NULL, 0, 1);
  client_closed(c);
}

/* Sends a header as it is, with a length that lies, and whatever is behind it: the connection must end. */
static void lie(supervisor *s, const uint8_t *bhs, size_t more) {
  client *c = &one;
  int opcode;
  client_login(c, s->port, KEYS(PLAIN));
  uint8_t copy[48];
  memcpy(copy, bhs, 48);
  gt_store_be32(copy + 24, c->cmdsn);
  client_put(c, copy, 48);
  client_put(c, pattern, more);
  shutdown(c->fd, SHUT_WR);
  while ((opcode = client_receive(c)) >= 0)
    CHECK_EQ(opcode, GT_PDU_REJECT);
  close(c->fd);
}

static void test_liars(supervisor *s) {
  TEST("lengths that lie, and PDUs that may not come, end the connection and nothing else");
  uint8_t long_data[48] = {0x01, WRITES, 0, 0, 0, 0xFF, 0xFF, 0xFF}, bad_ahs[48] = {0x01, READS, 0, 0, 2};
  uint8_t data_of_read[48] = {0x01, READS, 0, 0, 0, 0, 2, 0}, login_again[48] = {0x43, 0x87};
  uint8_t early[48] = {0x01, READS};
  lie(s, long_data, 100000);
  lie(s, bad_ahs, 8);
  lie(s, data_of_read, 512);
  lie(s, login_again, 0);
  client_login(&one, s->port, KEYS(PLAIN));
  one.cmdsn += 2; /* a number is left out */
  client_command(&one, READS, GT_READ_10, 0, 1, 512, NULL, 0, 0);
  CHECK_EQ(client_receive(&one), GT_PDU_REJECT);
  client_closed(&one);
  client_connect(&one, s->port); /* no login at all */
  client_put(&one, early, 48);
  client_closed(&one);
  client_login(&one, s->port, KEYS(PLAIN));
  client_settle(&one);
  reads_back(&one, 300, 8, pattern);
  close(one.fd);
}

static void test_no_unsolicited(void) {
  TEST("with InitialR2T and without ImmediateData nothing may come unasked");
  supervisor s = supervisor_defaults();
  s.initial_r2t = s.no_immediate = true;
  supervisor_open(&s, (gt_target_options){0}, plane_rows, sizeof plane_rows / sizeof *plane_rows,
                  fabric_disk(BLOCKS, BLOCK), false, 0);
  client_login(&one, s.port, KEYS(PLAIN));
  client_settle(&one);
  uint32_t itt = client_command(&one, WRITES, GT_WRITE_10, 0, 8, 4096, pattern, 4096, 0);
  client_expect_sense(&one, itt, GT_KEY_ABORTED_COMMAND, 0x0C0C);
  itt = client_command(&one, WRITES_MORE, GT_WRITE_10, 0, 8, 4096, NULL, 0, 0);
  client_data(&one, itt, GT_PDU_NO_TAG, 0, 0, true, pattern, 4096, 0);
  client_expect_sense(&one, itt, GT_KEY_ABORTED_COMMAND, 0x0C0C);
  reads_back(&one, 0, 8, (uint8_t[4096]){0});
  close(one.fd);
  supervisor_close(&s);
}

static void test_times(void) {
  TEST("a silent peer is pinged and then dropped; half a PDU and data that never comes do not hold a connection");
  supervisor s;
  open_one(&s, (gt_target_options){.ping_after_ms = 100, .ping_timeout_ms = 300, .stall_timeout_ms = 300}, false);
  client_login(&one, s.port, KEYS(PLAIN));
  CHECK_EQ(client_receive(&one), GT_PDU_NOP_IN);
  CHECK_EQ(gt_load_be32(one.bhs + 16), GT_PDU_NO_TAG);
  client_closed(&one);
  client_connect(&one, s.port);
  supervisor_close(&s);
  client_closed(&one);
  open_one(&s, (gt_target_options){.stall_timeout_ms = 200, .login_timeout_ms = 400, .data_timeout_ms = 200}, false);
  client_login(&one, s.port, KEYS(PLAIN));
  client_put(&one, pattern, 20);
  client_closed(&one);
  client_connect(&one, s.port);
  client_put(&one, pattern, 20);
  client_closed(&one);
  client_login(&one, s.port, KEYS(PLAIN));
  client_settle(&one);
  client_command(&one, WRITES, GT_WRITE_10, 0, 8, 4096, NULL, 0, 0);
  CHECK_EQ(client_receive(&one), GT_PDU_R2T);
  client_closed(&one);
  supervisor_close(&s);
}

/* 40 writes of 1 MiB through a pool of 16 MiB, all sent before any data is asked for. */
static void test_hunger(bool inline_ok) {
  TEST("commands that find no memory wait for it and are carried out all the same");
  supervisor s = supervisor_defaults();
  supervisor_open(&s, (gt_target_options){.pool_bytes = 16 << 20}, plane_rows, sizeof plane_rows / sizeof *plane_rows,
                  fabric_disk(BLOCKS, BLOCK), inline_ok, 0);
  client *c = &one;
  uint32_t good = 0, first = 0;
  client_login(c, s.port, KEYS("InitialR2T=Yes\0MaxBurstLength=1048576\0MaxRecvDataSegmentLength=65536"));
  client_settle(c);
  for (int i = 0; i < 40; i++) {
    uint32_t itt = client_command(c, WRITES, GT_WRITE_10, (uint32_t)(i % 8) * 2048, 2048, 1 << 20, NULL, 0, 0);
    if (!first) first = itt;
  }
  while (good < 40) {
    int opcode = client_receive(c);
    if (opcode == GT_PDU_SCSI_RESPONSE) {
      CHECK_EQ(c->bhs[3], 0);
      good++;
    } else if (opcode == GT_PDU_R2T) {
      client_data(c, gt_load_be32(c->bhs + 16), gt_load_be32(c->bhs + 20), 0, 0, true, pattern, 1 << 20, 0);
    } else {
      CHECK_EQ(opcode, GT_PDU_R2T);
      break;
    }
  }
  CHECK_EQ(good, 40);
  close(c->fd);
  supervisor_close(&s);
}

static void test_buffers(void) {
  TEST("blocks of the pool never overlap, and all of it comes back whole");
  gt_buffers pool;
  struct {
    uint8_t *at;
    size_t length;
    uint8_t mark;
  } held[64] = {0};
  uint32_t random = 12345;
  CHECK_EQ(gt_buffers_open(&pool, 32 << 20), 0);
  CHECK(gt_buffers_take(&pool, (16 << 20) + 1) == NULL);
  for (int i = 0; i < 4000; i++) {
    random = random * 1664525 + 1013904223;
    unsigned slot = random >> 8 & 63;
    if (held[slot].at) {
      CHECK(held[slot].at[0] == held[slot].mark && held[slot].at[held[slot].length - 1] == held[slot].mark);
      gt_buffers_give(&pool, held[slot].at);
      held[slot].at = NULL;
      continue;
    }
    held[slot].length = (random >> 14) % (1u << (12 + (random >> 3) % 10)) + 1;
    held[slot].mark = (uint8_t)i;
    held[slot].at = gt_buffers_take(&pool, held[slot].length);
    if (held[slot].at) memset(held[slot].at, held[slot].mark, held[slot].length);
  }
  for (unsigned slot = 0; slot < 64; slot++) {
    if (held[slot].at) gt_buffers_give(&pool, held[slot].at);
  }
  CHECK_EQ(pool.taken, 0);
  void *a = gt_buffers_take(&pool, 16 << 20), *b = gt_buffers_take(&pool, 16 << 20);
  CHECK(a && b && a != b && !gt_buffers_take(&pool, 1));
  gt_buffers_close(&pool);
}

static void test_whole(bool inline_ok) {
  supervisor s;
  open_one(&s, (gt_target_options){0}, inline_ok);
  test_moves_data(&s);
  test_residuals();
  test_wrong_data();
  test_numbers();
  test_small_requests(&s);
  test_task_management(&s);
  test_ends(&s);
  test_digests(&s);
  test_liars(&s);
  supervisor_close(&s);
}

int main(void) {
  for (size_t i = 0; i < sizeof pattern; i++)
    pattern[i] = (uint8_t)(i * 7 + i / 251);
  test_buffers();
  test_whole(true);
  test_whole(false);
  test_no_unsolicited();
  test_times();
  test_hunger(true);
  test_hunger(false);
  return check_end();
}
