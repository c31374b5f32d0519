/* Many sessions at once: window, memory and threads are shared, and nobody goes short because of another. */
#include "fabric_client.h"
#include "fake_lu.h"

enum { BLOCK = 512, BLOCKS = 32768, MANY = 300, MIB = 1 << 20 };

#define KEYS(text) text, sizeof(text)
#define PLAIN KEYS("InitialR2T=No\0MaxRecvDataSegmentLength=4096")
#define LARGE KEYS("InitialR2T=Yes\0MaxBurstLength=1048576\0MaxRecvDataSegmentLength=65536")
#define ROWS plane_rows, sizeof plane_rows / sizeof *plane_rows

static uint8_t pattern[MIB];

static gt_target_stats stats_of(supervisor *s) {
  gt_target_stats stats;
  gt_target_stat(s->target, &stats);
  return stats;
}

static void until_connections(supervisor *s, uint32_t count) {
  while (stats_of(s).connections != count)
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static client *new_clients(unsigned count) { return calloc(count, sizeof(client)); }

static void test_many(bool inline_ok, uint32_t reactors) {
  TEST("three hundred sessions at once, each with data of its own");
  supervisor s = supervisor_defaults();
  client *c = new_clients(MANY);
  gt_target_options options = {.reactors = reactors, .connections = MANY, .queue_depth = 32, .pool_bytes = 16 << 20};
  uint8_t block[BLOCK];
  supervisor_open(&s, options, ROWS, fabric_disk(BLOCKS, BLOCK), inline_ok, 0);
  for (uint32_t i = 0; i < MANY; i++) {
    client_login(&c[i], s.port, PLAIN);
    client_settle(&c[i]);
  }
  CHECK_EQ(stats_of(&s).sessions, MANY);
  for (uint32_t i = 0; i < MANY; i++) {
    memset(block, (int)i, sizeof block);
    gt_store_be32(block, i);
    client_command(&c[i], WRITES, GT_WRITE_10, i, 1, BLOCK, block, BLOCK, 0);
  }
  for (uint32_t i = 0; i < MANY; i++)
    client_expect_good(&c[i], c[i].itt);
  for (uint32_t i = 0; i < MANY; i++)
    client_command(&c[i], READS, GT_READ_10, (i + 1) % MANY, 1, BLOCK, NULL, 0, 0);
  for (uint32_t i = 0; i < MANY; i++) {
    CHECK_EQ(client_receive(&c[i]), GT_PDU_DATA_IN);
    CHECK(c[i].data_len == BLOCK && gt_load_be32(c[i].data) == (i + 1) % MANY);
  }
  TEST("one connection more than there is room for is closed, and nobody else notices");
  client *more = new_clients(1);
  client_connect(more, s.port);
  client_closed(more);
  client_command(&c[7], READS, GT_READ_10, 0, 1, BLOCK, NULL, 0, 0);
  CHECK_EQ(client_receive(&c[7]), GT_PDU_DATA_IN);
  for (uint32_t i = 0; i < MANY; i++)
    close(c[i].fd);
  until_connections(&s, 0);
  client_login(more, s.port, PLAIN);
  client_settle(more);
  close(more->fd);
  free(more);
  free(c);
  supervisor_close(&s);
}

static bool answers_all(fake *f, gt_io *io) {
  (void)f;
  fake_good(io, 0);
  return true;
}

/* A target before a device that answers nothing more until it is let go. */
static fake *open_held(supervisor *s, gt_target_options options) {
  fake *held = fake_disk(BLOCK, 64, 1);
  held->script = answers_all;
  *s = supervisor_defaults();
  s->has_unit = true;
  supervisor_open(s, options, ROWS, NULL, false, 0);
  if (gt_plane_add_lu(s->plane, 0, &held->lu, 0, 0)) die("unit");
  pthread_mutex_lock(&s->lock); /* the supervisor's thread sees it from here on */
  pthread_mutex_unlock(&s->lock);
  return held;
}

static void hold(client *c, fake *held) {
  client_settle(c);
  client_command(c, 0x81, GT_TEST_UNIT_READY, 0, 0, 0, NULL, 0, 0);
  client_expect_good(c, c->itt);
  held->hold_from = 1;
}

static void let_go(fake *held) {
  held->hold_from = 0;
  gt_lu_wake(&held->lu);
}

static uint32_t read_one(client *c) { return client_command(c, READS, GT_READ_10, 0, 1, BLOCK, NULL, 0, 0); }

/* The numbers that an answer carries: how many commands more may be sent. */
static uint32_t ping_window(client *c) {
  uint8_t nop[48] = {0x40, 0x80};
  gt_store_be32(nop + 16, ++c->itt);
  gt_store_be32(nop + 20, GT_PDU_NO_TAG);
  gt_store_be32(nop + 24, c->cmdsn);
  client_send(c, nop, NULL, 0, 0);
  CHECK_EQ(client_receive(c), GT_PDU_NOP_IN);
  return gt_load_be32(c->bhs + 32) - gt_load_be32(c->bhs + 28) + 1;
}

static void test_window(void) {
  TEST("the CmdSN window closes as commands run and opens as they are answered; beyond it they are ignored");
  supervisor s;
  client *c = new_clients(1);
  fake *held = open_held(&s, (gt_target_options){.queue_depth = 8});
  client_login(c, s.port, PLAIN);
  hold(c, held);
  CHECK_EQ(ping_window(c), 8);
  uint32_t first = c->itt + 1;
  for (int i = 0; i < 8; i++)
    read_one(c);
  CHECK_EQ(ping_window(c), 0);
  read_one(c);
  c->cmdsn--;
  CHECK_EQ(ping_window(c), 0);
  TEST("immediate commands pass the closed window, but only so many at a time");
  uint8_t bhs[48] = {0x40 | GT_PDU_SCSI_COMMAND, READS};
  gt_store_be32(bhs + 20, BLOCK);
  gt_store_be32(bhs + 24, c->cmdsn);
  memcpy(bhs + 32, (uint8_t[]){GT_READ_10, 0, 0, 0, 0, 0, 0, 0, 1}, 9);
  for (int i = 0; i < 17; i++) {
    gt_store_be32(bhs + 16, 0x1000 + (uint32_t)i);
    client_send(c, bhs, NULL, 0, 0);
  }
  CHECK_EQ(client_receive(c), GT_PDU_REJECT);
  CHECK_EQ(c->bhs[2], GT_REJECT_IMMEDIATE);
  CHECK_EQ(gt_load_be32(c->data + 16), 0x1010);
  let_go(held);
  uint32_t seen = 0, last = 0;
  for (int i = 0; i < 24; i++) {
    CHECK_EQ(client_receive(c), GT_PDU_DATA_IN);
    uint32_t itt = gt_load_be32(c->bhs + 16);
    seen += itt >= first && itt < first + 8;
    last = gt_load_be32(c->bhs + 32) - gt_load_be32(c->bhs + 28) + 1;
  }
  CHECK_EQ(seen, 8);
  CHECK_EQ(last, 8);
  close(c->fd);
  free(c);
  supervisor_close(&s);
}

static void test_aborts(void) {
  TEST("what is aborted while it runs is not answered; what is not, is");
  supervisor s;
  client *c = new_clients(2), *d = c + 1;
  uint32_t itts[8];
  fake *held = open_held(&s, (gt_target_options){0});
  client_login(c, s.port, PLAIN);
  client_login(d, s.port, PLAIN);
  client_settle(d);
  hold(c, held);
  for (int i = 0; i < 8; i++)
    itts[i] = read_one(c);
  CHECK_EQ(client_task_management(c, GT_TMF_ABORT_TASK, 0, itts[3]), GT_TMF_COMPLETE);
  CHECK_EQ(client_task_management(c, GT_TMF_ABORT_TASK, 1, itts[4]), GT_TMF_NO_TASK); /* another LUN's */
  uint32_t other = read_one(d);
  CHECK_EQ(client_task_management(c, GT_TMF_ABORT_TASK_SET, 0, 0), GT_TMF_COMPLETE);
  let_go(held);
  CHECK_EQ(client_receive(d), GT_PDU_DATA_IN);
  CHECK_EQ(gt_load_be32(d->bhs + 16), other);
  uint32_t next = read_one(c);
  CHECK_EQ(client_receive(c), GT_PDU_DATA_IN);
  CHECK_EQ(gt_load_be32(c->bhs + 16), next);
  TEST("a reset does not wait for the data of another session; that one is told, and its late data passes");
  uint32_t itt = client_command(d, WRITES, GT_WRITE_10, 0, 8, 4096, NULL, 0, 0);
  CHECK_EQ(client_receive(d), GT_PDU_R2T);
  uint32_t ttt = gt_load_be32(d->bhs + 20);
  CHECK_EQ(client_task_management(c, GT_TMF_LUN_RESET, 0, 0), GT_TMF_COMPLETE);
  client_data(d, itt, ttt, 0, 0, true, pattern, 4096, 0);
  read_one(d);
  int opcode = client_receive(d);
  if (opcode == GT_PDU_NOP_IN) opcode = client_receive(d); /* the window moved without an answer */
  CHECK_EQ(opcode, GT_PDU_SCSI_RESPONSE);
  CHECK_EQ(gt_load_be32(d->bhs + 16), d->itt);
  CHECK_EQ(d->bhs[3], GT_STATUS_CHECK_CONDITION);
  close(c->fd);
  close(d->fd);
  free(c);
  supervisor_close(&s);
}

static void test_close_while_running(void) {
  TEST("a session whose connection breaks while commands run ends, and the next one finds everything free");
  supervisor s;
  client *c = new_clients(1);
  fake *held = open_held(&s, (gt_target_options){.connections = 2, .queue_depth = 16});
  client_login(c, s.port, PLAIN);
  hold(c, held);
  for (int round = 0; round < 20; round++) {
    for (int i = 0; i < 16; i++)
      read_one(c);
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &(struct linger){round & 1, 0}, sizeof(struct linger));
    close(c->fd);
    until_connections(&s, 0);
    client_login(c, s.port, PLAIN);
    client_settle(c);
  }
  let_go(held);
  read_one(c);
  CHECK_EQ(client_receive(c), GT_PDU_DATA_IN);
  close(c->fd);
  free(c);
  supervisor_close(&s);
}

/* Serves R2Ts until so many answers have come. */
static void finish_writes(client *c, uint32_t count) {
  while (count > 0) {
    int opcode = client_receive(c);
    if (opcode == GT_PDU_SCSI_RESPONSE) {
      CHECK_EQ(c->bhs[3], 0);
      count--;
    } else if (opcode == GT_PDU_R2T) {
      client_data(c, gt_load_be32(c->bhs + 16), gt_load_be32(c->bhs + 20), 0, 0, true, pattern, MIB, 0);
    } else {
      CHECK_EQ(opcode, GT_PDU_R2T);
      return;
    }
  }
}

static void write_large(client *c, uint32_t count) {
  for (uint32_t i = 0; i < count; i++)
    client_command(c, WRITES, GT_WRITE_10, i % 8 * 2048, 2048, MIB, NULL, 0, 0);
}

static void test_greedy(void) {
  TEST("one that takes all the memory that it gets, and neither sends nor reads, leaves enough for the others");
  supervisor s = supervisor_defaults();
  client *greedy = new_clients(4), *mute = greedy + 1, *c = greedy + 2, *d = greedy + 3;
  supervisor_open(&s, (gt_target_options){.pool_bytes = 16 << 20}, ROWS, fabric_disk(BLOCKS, BLOCK), true, 0);
  for (int i = 0; i < 4; i++) {
    client_login(&greedy[i], s.port, LARGE);
    client_settle(&greedy[i]);
  }
  write_large(greedy, 40);
  CHECK_EQ(client_receive(greedy), GT_PDU_R2T); /* it has what it will get */
  for (uint32_t i = 0; i < 40; i++)
    client_command(mute, READS, GT_READ_10, 0, 2048, MIB, NULL, 0, 0);
  nanosleep(&(struct timespec){.tv_nsec = 900000000}, NULL); /* it goes hungry for more than is thought bearable */
  write_large(c, 20);
  write_large(d, 20);
  finish_writes(c, 20);
  finish_writes(d, 20);
  for (int i = 0; i < 4; i++)
    close(greedy[i].fd);
  free(greedy);
  supervisor_close(&s);
}

static void test_never_reads(void) {
  TEST("a peer that never reads its answers is dropped, whatever it asked for");
  supervisor s = supervisor_defaults();
  client *c = new_clients(1);
  uint8_t nop[48] = {0x40, 0x80};
  supervisor_open(&s, (gt_target_options){.stall_timeout_ms = 300}, ROWS, fabric_disk(BLOCKS, BLOCK), true, 0);
  gt_store_be32(nop + 20, GT_PDU_NO_TAG);
  for (int kind = 0; kind < 2; kind++) {
    uint64_t before = stats_of(&s).timeouts;
    client_login(c, s.port, LARGE);
    client_settle(c);
    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &(struct timeval){.tv_sec = 60}, sizeof(struct timeval));
    for (uint32_t i = 0; i < (kind ? 20000 : 64); i++) {
      gt_store_be32(nop + 16, i);
      gt_store_be32(nop + 24, c->cmdsn);
      if (kind)
        client_send(c, nop, pattern, 60000, 0);
      else
        client_command(c, READS, GT_READ_10, 0, 2048, MIB, NULL, 0, 0);
      if (stats_of(&s).timeouts != before) break;
    }
    until_connections(&s, 0);
    CHECK_EQ(stats_of(&s).timeouts, before + 1);
    close(c->fd);
  }
  free(c);
  supervisor_close(&s);
}

int main(void) {
  for (size_t i = 0; i < sizeof pattern; i++)
    pattern[i] = (uint8_t)(i * 7 + i / 251);
  test_many(true, 1);
  test_many(false, 2);
  test_window();
  test_aborts();
  test_close_while_running();
  test_greedy();
  test_never_reads();
  return check_end();
}
