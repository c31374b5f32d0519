/* Rings that come and go: what a predecessor left, rings that say what cannot be, devices that vanish. */
#include "lio_rig.h"

#include "lio/ring.h"

enum { RING = 8192, DATA = 1 << 20 };

static struct tcmu_cmd_entry *entry_at(fake *k, uint32_t at) { return (void *)(fake_ring(k) + at); }

static void left_behind(void) {
  bench b;
  fake k;
  bench_open(&b, true, (gt_lio_options){0});
  fake_open(&k, RING, DATA);
  uint32_t ring = bench_attach(&b, &k, 0);
  bench_quiet(&k);
  memset(fake_data(&k, 0), 0x11, 512);
  CHECK_EQ(fake_run(&k, 1, WRITE_1, 0, 512)->status, GT_STATUS_GOOD);
  gt_lio_detach(b.lio, ring);
  CHECK_EQ(bench_event(&b).kind, GT_LIO_DETACHED);
  memset(fake_data(&k, 4096), 0x22, 512);
  memset(fake_data(&k, 8192), 0x33, 512);
  uint32_t begun_write = fake_one(&k, 2, WRITE_1, 4096, 512);
  uint32_t begun_read = fake_one(&k, 3, READ_1, 12288, 512);
  uint32_t lent = fake_one(&k, 4, READ_1, 16384, 512);
  fake_one(&k, 5, "8a 00 00 00 00 00 00 00 00 10 00 00 00 01 00 00", 8192, 512);
  fake_one(&k, 6, WRITE_1, 4096, 512);
  fake_tmr(&k, TCMU_TMR_ABORT_TASK, (uint16_t[]){6}, 1);
  entry_at(&k, begun_write)->hdr.uflags = GT_TCMU_BEGUN;
  entry_at(&k, begun_read)->hdr.uflags = GT_TCMU_BEGUN;
  entry_at(&k, lent)->hdr.uflags = GT_TCMU_BEGUN | GT_TCMU_LENT;
  bench_attach(&b, &k, 0);
  TEST("a write that a predecessor had begun is not carried out again: the initiator is told that nobody knows");
  CHECK(fake_fails(fake_wait(&k, 2), GT_KEY_ABORTED_COMMAND, GT_ASC_COMMUNICATION_FAILURE));
  TEST("a read that it had begun runs again, one whose entry is another's does not");
  CHECK_EQ(fake_wait(&k, 3)->status, GT_STATUS_GOOD);
  CHECK(fake_data(&k, 12288)[0] == 0x11 && fake_data(&k, 12288)[511] == 0x11);
  CHECK(fake_fails(fake_wait(&k, 4), GT_KEY_ABORTED_COMMAND, GT_ASC_COMMUNICATION_FAILURE));
  TEST("what nobody had begun is carried out, but what was aborted meanwhile");
  CHECK_EQ(fake_wait(&k, 5)->status, GT_STATUS_GOOD);
  CHECK_EQ(fake_wait(&k, 6)->status, GT_STATUS_TASK_ABORTED);
  CHECK_EQ(fake_run(&k, 7, "88 00 00 00 00 00 00 00 00 10 00 00 00 01 00 00", 0, 512)->status, GT_STATUS_GOOD);
  CHECK_EQ(*fake_data(&k, 0), 0x33);
  CHECK_EQ(fake_run(&k, 8, READ_1, 0, 512)->status, GT_STATUS_GOOD);
  CHECK_EQ(*fake_data(&k, 0), 0x11);
  bench_close(&b);
  fake_close(&k);
}

static void tapes_left_behind(void) {
  bench b;
  fake k;
  bench_open(&b, true, (gt_lio_options){0});
  fake_open(&k, RING, DATA);
  entry_at(&k, fake_one(&k, 1, "08 00 00 01 00 00", 0, 256))->hdr.uflags = GT_TCMU_BEGUN;
  bench_attach(&b, &k, 1);
  TEST("a read of a tape, which moves it, does not run again");
  CHECK(fake_fails(fake_wait(&k, 1), GT_KEY_ABORTED_COMMAND, GT_ASC_COMMUNICATION_FAILURE));
  bench_close(&b);
  fake_close(&k);
}

/* What a process leaves that is killed while a command runs and others ended before it: the memory as it is then. */
static void copy_of(const fake *k, fake *out) {
  fake_open(out, k->size, k->bytes - fake_data_at(k));
  memcpy(out->base, k->base, k->bytes);
  memcpy(out->answers, k->answers, sizeof k->answers);
  out->cleaned = k->cleaned;
}

static void killed(void) {
  bench b;
  fake k, after, torn, alone;
  bench_open(&b, false, (gt_lio_options){0});
  fake_open(&k, RING, DATA);
  bench_attach(&b, &k, 0);
  bench_quiet(&k);
  bench_slow(b.disk, GT_WRITE_16, 500);
  fake_one(&k, 1, WRITE_1, 0, 512);
  fake_one(&k, 2, READ_1, 4096, 512);
  fake_none(&k, 3, TUR);
  fake_call(&k);
  fake_wait(&k, 2);
  fake_wait(&k, 3);
  CHECK_EQ(k.answers[1].times, 0);
  copy_of(&k, &after);
  CHECK_EQ(fake_wait(&k, 1)->status, GT_STATUS_GOOD);
  TEST("what ran at a kill, and had lost its entry to others, is answered once by the successor");
  bench_attach(&b, &after, 0);
  CHECK(fake_fails(fake_wait(&after, 1), GT_KEY_ABORTED_COMMAND, GT_ASC_COMMUNICATION_FAILURE));
  TEST("what ran at a kill with its entry still its own is not carried out again");
  bench_slow(b.disk, GT_WRITE_16, 500);
  fake_one(&k, 10, WRITE_1, 0, 512);
  fake_call(&k);
  nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
  copy_of(&k, &alone);
  CHECK_EQ(fake_wait(&k, 10)->status, GT_STATUS_GOOD);
  bench_attach(&b, &alone, 0);
  CHECK(fake_fails(fake_wait(&alone, 10), GT_KEY_ABORTED_COMMAND, GT_ASC_COMMUNICATION_FAILURE));
  TEST("a kill in the middle of an answer leaves bytes that nobody takes for a command");
  struct tcmu_cmd_entry *half = entry_at(&alone, fake_one(&alone, 11, READ_1, 0, 512));
  half->hdr.uflags = GT_TCMU_BEGUN | GT_TCMU_ANSWERED;
  half->req.iov_cnt = UINT32_MAX;
  half->req.cdb_off = 0;
  fake_call(&alone);
  CHECK(fake_fails(fake_wait(&alone, 11), GT_KEY_ABORTED_COMMAND, GT_ASC_COMMUNICATION_FAILURE));
  TEST("a kill between the two steps of moving an entry leaves nobody out and nobody twice");
  fake_open(&torn, RING, DATA);
  uint32_t front = fake_one(&torn, 21, WRITE_1, 0, 512), back = fake_one(&torn, 22, WRITE_1, 0, 512);
  gt_tcmu_ring shared;
  CHECK_EQ(gt_tcmu_open(&shared, torn.base, torn.bytes, NULL, 0), 0);
  gt_tcmu_begin(&shared, front);
  gt_tcmu_begin(&shared, back);
  gt_tcmu_lend(&shared, back, 22, 21);
  bench_attach(&b, &torn, 0);
  CHECK(fake_fails(fake_wait(&torn, 21), GT_KEY_ABORTED_COMMAND, GT_ASC_COMMUNICATION_FAILURE));
  CHECK(fake_fails(fake_wait(&torn, 22), GT_KEY_ABORTED_COMMAND, GT_ASC_COMMUNICATION_FAILURE));
  bench_close(&b);
  fake_close(&torn);
  fake_close(&alone);
  fake_close(&after);
  fake_close(&k);
}

typedef struct wrong {
  const char *what;
  uint32_t at, value; /* of a 32-bit word in the first entry; or in the mailbox, from 1 << 20 on */
} wrong;
enum { MAILBOX = 1 << 20 };

static void malformed(void) {
  static const wrong cases[] = {
      {"an entry of no length", 0, TCMU_OP_CMD},
      {"an entry that ends behind the head", 0, 4096 | TCMU_OP_CMD},
      {"an entry that ends behind the ring", 0, 1 << 20 | TCMU_OP_CMD},
      {"an operation that there is not", 0, 128 | 5},
      {"more pieces than its entry has room for", 8, 1000},
      {"a CDB in another place", 24, 4},
      {"a CDB behind its entry", 24, 100000},
      {"a piece before the data area", 48, 8},
      {"a piece behind the data area", 48, 0x7FFFFFFF},
      {"a piece longer than the data area", 56, 0x7FFFFFFF},
      {"a head that is not aligned", MAILBOX + 12, 3},
      {"a head behind the ring", MAILBOX + 12, RING + 64},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    bench b;
    fake k;
    bench_open(&b, true, (gt_lio_options){0});
    fake_open(&k, RING, DATA);
    fake_one(&k, 1, READ_1, 0, 512);
    bool mailbox = cases[i].at >= MAILBOX;
    memcpy((mailbox ? k.base : fake_ring(&k)) + cases[i].at % MAILBOX, &cases[i].value, 4);
    printf("a ring with %s is not served, and the supervisor is told\n", cases[i].what);
    uint32_t ring = bench_attach(&b, &k, 0);
    gt_lio_event event = bench_event(&b);
    CHECK(event.kind == GT_LIO_BROKEN && event.ring == ring);
    gt_lio_detach(b.lio, ring);
    CHECK_EQ(bench_event(&b).kind, GT_LIO_DETACHED);
    bench_close(&b);
    fake_close(&k);
  }
}

static void no_ring(void) {
  bench b;
  fake k;
  uint32_t ring;
  char sentence[256];
  bench_open(&b, true, (gt_lio_options){0});
  fake_open(&k, RING, DATA);
  gt_lio_ends ends = fake_ends(&k);
  TEST("what is no ring of ours is refused in words");
  fake_mailbox(&k)->version = 1;
  CHECK_EQ(gt_lio_attach(b.lio, b.nexus, 0, false, &ends, &ring, sentence, sizeof sentence), -EPROTO);
  CHECK(strstr(sentence, "version") != NULL);
  fake_mailbox(&k)->version = 2;
  fake_mailbox(&k)->flags = 0;
  CHECK_EQ(gt_lio_attach(b.lio, b.nexus, 0, false, &ends, &ring, sentence, sizeof sentence), -EPROTO);
  fake_mailbox(&k)->flags = 3;
  fake_mailbox(&k)->cmdr_size = UINT32_MAX - 7;
  CHECK_EQ(gt_lio_attach(b.lio, b.nexus, 0, false, &ends, &ring, sentence, sizeof sentence), -EPROTO);
  CHECK_EQ(gt_lio_attach_node(b.lio, b.nexus, 0, false, "/dev/null/uio", 4096, &ring, sentence, sizeof sentence),
           -ENOTDIR);
  bench_close(&b);
  fake_close(&k);
}

static void going(void) {
  bench b;
  fake k, other;
  bench_open(&b, false, (gt_lio_options){0});
  fake_open(&k, RING, DATA);
  fake_open(&other, RING, DATA);
  uint32_t ring = bench_attach(&b, &k, 0);
  bench_quiet(&k);
  TEST("a device that the kernel takes away is told of");
  close(k.events[1]);
  k.events[1] = -1;
  gt_lio_event event = bench_event(&b);
  CHECK(event.kind == GT_LIO_GONE && event.ring == ring);
  gt_lio_detach(b.lio, ring);
  CHECK_EQ(bench_event(&b).kind, GT_LIO_DETACHED);
  TEST("a ring that is detached answers what runs, and its nexus ends with its rings");
  ring = bench_attach(&b, &other, 0);
  bench_slow(b.disk, GT_WRITE_16, 300);
  fake_one(&other, 1, WRITE_1, 0, 512);
  fake_call(&other);
  nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
  gt_lio_close_nexus(b.lio, b.nexus);
  CHECK(fake_fails(fake_wait(&other, 1), GT_KEY_ABORTED_COMMAND, GT_ASC_COMMUNICATION_FAILURE));
  event = bench_event(&b);
  CHECK(event.kind == GT_LIO_DETACHED && event.ring == ring);
  CHECK_EQ(plane_note(b.plane, GT_NOTE_NEXUS_CLOSED).nexus, b.nexus);
  TEST("a ring of a nexus that is no more is given back");
  gt_lio_ends ends = fake_ends(&other);
  CHECK_EQ(gt_lio_attach(b.lio, b.nexus, 0, false, &ends, &ring, NULL, 0), 0);
  event = bench_event(&b);
  CHECK(event.kind == GT_LIO_DETACHED && event.ring == ring);
  bench_close(&b);
  fake_close(&k);
  fake_close(&other);
}

int main(void) {
  rig_begin();
  left_behind();
  tapes_left_behind();
  killed();
  malformed();
  no_ring();
  going();
  return rig_end();
}
