/* The cases of the transport conformance suite: what every transport owes to whoever speaks to a gt_lu
 * (transport/lu.h), whatever carries the commands. Each case gets a nexus of its own, just opened. */
#ifndef TRANSPORT_CASES_H
#define TRANSPORT_CASES_H

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "check.h"
#include "core/bytes.h"
#include "core/scsi.h"
#include "core/sense.h"
#include "transport/lu.h"
#include "transport/trace.h"

enum { DISK = 1, TAPE = 2, BOTH = 3 };

/* What is known about the logical unit under test. */
typedef struct subject subject;
struct subject {
  const char *name;
  int kind; /* DISK or TAPE */
  gt_lu *(*open)(subject *s);
  /* Stops and restarts the device server, so that commands stay outstanding; NULL: there is no way. */
  void (*freeze)(subject *s);
  void (*thaw)(subject *s);
  void (*kill)(subject *s); /* ends the device server for good; NULL: there is no way */
  bool attention;           /* a new nexus finds a unit attention */
  bool tells_overflow;      /* reports data for which there was no room */
  bool times_out;           /* a command that is held longer than its timeout ends as GT_TIMED_OUT */
  bool fills_room; /* the kernel's sg without direct I/O: the whole room is written, with what did not come as zeros */
  /* Known faults of the device server (not of the transport), by name. */
  bool no_residual_of_refusal;        /* scsi_debug: of a READ that is refused it says that all bytes moved */
  bool no_residual_of_illegal_opcode; /* tgtd: says that all bytes moved */
  bool junk_at_tape_mark;             /* tgtd: moves bytes from somewhere at a filemark and at the end of data */
  bool nothing_of_a_longer_block;     /* tgtd: moves no byte of a tape block that is longer than the room */
  bool end_of_data_with_eom;          /* tgtd: EOM bit far from the end of the medium */
  uint32_t block_bytes;
  uint64_t blocks;
  uint32_t largest; /* bytes of the largest transfer that the device takes */
  void *context;
};

static inline gt_io command(const uint8_t *cdb, uint8_t cdb_len, gt_dir dir, void *data, uint32_t data_len) {
  gt_io io = {.cdb_len = cdb_len, .dir = (uint8_t)dir, .timeout_ms = 30000, .data_len = data_len, .data = data};
  memcpy(io.cdb, cdb, cdb_len);
  return io;
}
#define CDB(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})

static inline gt_io test_unit_ready(void) {
  return command(CDB(GT_TEST_UNIT_READY, 0, 0, 0, 0, 0), GT_DIR_NONE, NULL, 0);
}

static inline gt_io inquiry(uint8_t allocation, void *data, uint32_t data_len) {
  return command(CDB(GT_INQUIRY, 0, 0, 0, allocation, 0), GT_DIR_IN, data, data_len);
}

static inline gt_io disk_io(const subject *s, gt_dir dir, uint64_t lba, void *data, uint32_t blocks) {
  uint8_t cdb[16] = {dir == GT_DIR_IN ? GT_READ_16 : GT_WRITE_16};
  gt_store_be64(cdb + 2, lba);
  gt_store_be32(cdb + 10, blocks);
  return command(cdb, sizeof cdb, dir, data, blocks * s->block_bytes);
}

/* READ(6) and WRITE(6) of one block in variable mode, SSC-4 6.5 and 6.12 */
static inline gt_io tape_io(gt_dir dir, void *data, uint32_t bytes) {
  uint8_t cdb[6] = {dir == GT_DIR_IN ? GT_READ_6 : GT_WRITE_6};
  gt_store_be24(cdb + 2, bytes);
  gt_io io = command(cdb, sizeof cdb, dir, data, bytes);
  io.timeout_ms = 60000;
  return io;
}

static inline gt_io filemarks(uint8_t count) {
  return command(CDB(GT_WRITE_FILEMARKS_6, 0, 0, 0, count, 0), GT_DIR_NONE, NULL, 0);
}

static inline gt_io rewind_tape(void) { return command(CDB(GT_REWIND, 0, 0, 0, 0, 0), GT_DIR_NONE, NULL, 0); }

static inline int run(gt_lu *lu, gt_io *io) {
  int result = gt_lu_execute(lu, io);
  CHECK_EQ(result, 0);
  return result;
}

static inline int run_good(gt_lu *lu, gt_io io) {
  run(lu, &io);
  CHECK_EQ(io.outcome, GT_DELIVERED);
  CHECK_EQ(io.status, GT_STATUS_GOOD);
  CHECK_EQ(io.resid, 0);
  return io.outcome != GT_DELIVERED || io.status;
}

/* SPC-4 4.5: sense key and additional sense code of either format, as key << 16 | asc; -1: no sense. */
static inline int sense_code(const gt_io *io) {
  if (io->outcome != GT_DELIVERED || io->status != GT_STATUS_CHECK_CONDITION || io->sense_len < 8) return -1;
  if ((io->sense[0] & 0x7e) == 0x72) return (io->sense[1] & 0x0f) << 16 | gt_load_be16(io->sense + 2);
  if ((io->sense[0] & 0x7e) != 0x70) return -1;
  return (io->sense[2] & 0x0f) << 16 | (io->sense_len >= 14 ? gt_load_be16(io->sense + 12) : 0);
}

static inline void settle(gt_lu *lu) {
  for (int i = 0; i < 8; i++) {
    gt_io io = test_unit_ready();
    if (run(lu, &io) || io.outcome != GT_DELIVERED || io.status == GT_STATUS_GOOD) return;
  }
}

static inline void fill(uint8_t *data, size_t size, uint64_t seed) {
  uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;
  for (size_t i = 0; i < size; i++) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    data[i] = (uint8_t)x;
  }
}

/* One of several outstanding commands. */
typedef struct op {
  gt_io io;
  int done;
  gt_lu *lu;
  uint32_t again; /* how many times more it submits itself */
} op;

static inline void op_done(gt_io *io) {
  op *o = io->owner;
  o->done++;
  if (!o->again) return;
  o->again--;
  CHECK_EQ(gt_lu_submit(o->lu, io), 0);
}

static inline void op_submit(gt_lu *lu, op *o, gt_io io) {
  *o = (op){.io = io, .lu = lu, .again = o->again};
  o->io.done = op_done;
  o->io.owner = o;
  CHECK_EQ(gt_lu_submit(lu, &o->io), 0);
  CHECK_EQ(o->done, 0); /* never inside submit */
}

static inline int ops_done(const op *ops, int count) {
  int done = 0;
  for (int i = 0; i < count; i++)
    done += ops[i].done;
  return done;
}

static inline void finish_ops(gt_lu *lu, const op *ops, int count) {
  while (ops_done(ops, count) < count)
    CHECK(gt_lu_poll(lu, -1) >= 0);
  CHECK_EQ(gt_lu_poll(lu, 0), 0);
  for (int i = 0; i < count; i++)
    CHECK_EQ(ops[i].done, 1);
}

/* --- cases: both kinds --- */

static inline void case_attention(subject *s, gt_lu *lu) {
  (void)s;
  gt_io io = test_unit_ready();
  run(lu, &io);
  CHECK_EQ(sense_code(&io) >> 8, GT_KEY_UNIT_ATTENTION << 8 | 0x29);
  CHECK_EQ(io.resid, 0);
  settle(lu);
  run_good(lu, test_unit_ready());
}

static inline void case_inquiry(subject *s, gt_lu *lu) {
  uint8_t data[256];
  memset(data, 0xEE, sizeof data);
  gt_io io = inquiry(255, data, 255);
  run(lu, &io);
  CHECK_EQ(io.outcome, GT_DELIVERED);
  CHECK_EQ(io.status, GT_STATUS_GOOD);
  CHECK_EQ(data[0] & 0x1f, s->kind == TAPE ? GT_TYPE_TAPE : GT_TYPE_DISK);
  CHECK_EQ(255 - io.resid, data[4] + 5);                    /* SPC-4 6.4.2: ADDITIONAL LENGTH counts from byte 5 on */
  if (!s->fills_room) CHECK_EQ(data[255 - io.resid], 0xEE); /* not a byte past what was moved */
}

static inline void case_inquiry_of_nothing(subject *s, gt_lu *lu) {
  (void)s;
  gt_io io = inquiry(0, NULL, 0);
  run(lu, &io);
  CHECK_EQ(io.outcome, GT_DELIVERED);
  CHECK_EQ(io.status, GT_STATUS_GOOD);
  CHECK_EQ(io.resid, 0);
}

static inline void case_overflow(subject *s, gt_lu *lu) {
  uint8_t data[64];
  memset(data, 0xEE, sizeof data);
  gt_io io = inquiry(36, data, 20); /* the device server has 36 bytes for 20 bytes of room */
  run(lu, &io);
  CHECK_EQ(io.outcome, GT_DELIVERED);
  CHECK_EQ(io.status, GT_STATUS_GOOD);
  CHECK_EQ(io.resid, -16);
  CHECK_EQ(data[0] & 0x1f, s->kind == TAPE ? GT_TYPE_TAPE : GT_TYPE_DISK);
  CHECK_EQ(data[20], 0xEE);
}

static inline void case_illegal_opcode(subject *s, gt_lu *lu) {
  settle(lu);
  uint8_t data[64];
  gt_io io = command(CDB(0x1F, 0, 0, 0, 0, 0), GT_DIR_NONE, NULL, 0);
  run(lu, &io);
  CHECK_EQ(sense_code(&io), GT_KEY_ILLEGAL_REQUEST << 16 | GT_ASC_INVALID_OPCODE);
  CHECK_EQ(io.resid, 0);
  io = command(CDB(0xBF, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0), GT_DIR_IN, data, sizeof data);
  run(lu, &io);
  CHECK_EQ(sense_code(&io), GT_KEY_ILLEGAL_REQUEST << 16 | GT_ASC_INVALID_OPCODE);
  if (!s->no_residual_of_illegal_opcode) CHECK_EQ(io.resid, 64); /* no byte moved */
  memset(data, 0, sizeof data);
  io = command(CDB(0xBF, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0), GT_DIR_OUT, data, sizeof data);
  run(lu, &io);
  CHECK_EQ(sense_code(&io), GT_KEY_ILLEGAL_REQUEST << 16 | GT_ASC_INVALID_OPCODE);
  run_good(lu, test_unit_ready());
}

static inline void case_refuses_bad_requests(subject *s, gt_lu *lu) {
  (void)s;
  uint8_t data[8];
  gt_io io = test_unit_ready();
  io.cdb_len = 0;
  CHECK_EQ(gt_lu_submit(lu, &io), -EINVAL);
  io = test_unit_ready();
  io.cdb_len = GT_CDB_MAX + 1;
  CHECK_EQ(gt_lu_submit(lu, &io), -EINVAL);
  io = inquiry(8, NULL, 8);
  CHECK_EQ(gt_lu_submit(lu, &io), -EINVAL);
  if (lu->limits.max_transfer < UINT32_MAX) {
    io = inquiry(8, data, lu->limits.max_transfer + 1);
    CHECK_EQ(gt_lu_submit(lu, &io), -EINVAL);
  }
  CHECK_EQ(gt_lu_poll(lu, 0), 0);
}

static inline void case_limits(subject *s, gt_lu *lu) {
  (void)s;
  CHECK(lu->ops->name && *lu->ops->name);
  CHECK(lu->limits.max_transfer >= 65536);
  CHECK(lu->limits.max_queue >= 1);
}

static inline void case_poll_of_nothing(subject *s, gt_lu *lu) {
  (void)s;
  CHECK_EQ(gt_lu_poll(lu, -1), 0);
  CHECK_EQ(gt_lu_poll(lu, 1000000), 0);
  gt_lu_wake(lu);
  CHECK_EQ(gt_lu_poll(lu, -1), 0);
}

static inline void case_done_may_submit(subject *s, gt_lu *lu) {
  (void)s;
  settle(lu);
  enum { CHAINS = 4, LINKS = 250 };
  op ops[CHAINS] = {0};
  for (int i = 0; i < CHAINS; i++) {
    ops[i].again = LINKS - 1;
    op_submit(lu, &ops[i], test_unit_ready());
  }
  while (ops_done(ops, CHAINS) < CHAINS * LINKS)
    CHECK(gt_lu_poll(lu, -1) >= 0);
  CHECK_EQ(gt_lu_poll(lu, -1), 0);
  for (int i = 0; i < CHAINS; i++) {
    CHECK_EQ(ops[i].done, LINKS);
    CHECK_EQ(ops[i].io.outcome, GT_DELIVERED);
    CHECK_EQ(ops[i].io.status, GT_STATUS_GOOD);
  }
}

static inline void *wake_later(void *lu) {
  usleep(50000);
  gt_lu_wake(lu);
  return NULL;
}

static inline void case_wake(subject *s, gt_lu *lu) {
  settle(lu);
  op o = {0};
  s->freeze(s);
  op_submit(lu, &o, test_unit_ready());
  pthread_t waker;
  pthread_create(&waker, NULL, wake_later, lu);
  CHECK_EQ(gt_lu_poll(lu, -1), 0); /* hangs if wake does not reach it */
  pthread_join(waker, NULL);
  gt_lu_wake(lu);
  CHECK_EQ(gt_lu_poll(lu, -1), 0); /* a wake before poll counts for the next one */
  CHECK_EQ(gt_lu_poll(lu, 0), 0);
  CHECK_EQ(o.done, 0);
  s->thaw(s);
  finish_ops(lu, &o, 1);
  CHECK_EQ(o.io.outcome, GT_DELIVERED);
}

static inline void case_abort(subject *s, gt_lu *lu) {
  settle(lu);
  enum { OPS = 6 };
  op ops[OPS] = {0};
  gt_io stranger = test_unit_ready();
  if (s->freeze) s->freeze(s);
  for (int i = 0; i < OPS; i++)
    op_submit(lu, &ops[i], test_unit_ready());
  CHECK_EQ(gt_lu_poll(lu, 0), 0 + ops_done(ops, OPS));
  CHECK(gt_lu_abort(lu, &stranger) < 0);
  if (!ops[2].done) gt_lu_abort(lu, &ops[2].io);
  if (s->thaw) s->thaw(s);
  finish_ops(lu, ops, OPS);
  for (int i = 0; i < OPS; i++) {
    bool aborted = i == 2 && ops[i].io.outcome == GT_ABORTED;
    CHECK(aborted || (ops[i].io.outcome == GT_DELIVERED && ops[i].io.status == GT_STATUS_GOOD));
  }
  CHECK(gt_lu_abort(lu, &ops[2].io) < 0); /* it has ended */
  run_good(lu, test_unit_ready());
}

static inline void case_close_ends_everything(subject *s, gt_lu *lu) {
  (void)lu;
  enum { OPS = 40 };
  static op ops[OPS];
  memset(ops, 0, sizeof ops);
  gt_lu *own = s->open(s);
  CHECK(own != NULL);
  if (!own) return;
  settle(own);
  s->freeze(s);
  for (int i = 0; i < OPS; i++)
    op_submit(own, &ops[i], test_unit_ready());
  CHECK_EQ(gt_lu_poll(own, 0), ops_done(ops, OPS));
  int before = ops_done(ops, OPS);
  gt_lu_close(own);
  for (int i = 0; i < OPS; i++) {
    CHECK_EQ(ops[i].done, 1);
    CHECK(i < before || ops[i].io.outcome == GT_ABORTED);
  }
  s->thaw(s);
}

static inline void case_timeout(subject *s, gt_lu *lu) {
  settle(lu);
  op ops[2] = {0};
  s->freeze(s);
  gt_io io = test_unit_ready();
  io.timeout_ms = 150;
  op_submit(lu, &ops[0], io);
  op_submit(lu, &ops[1], test_unit_ready());
  while (!ops[0].done)
    CHECK(gt_lu_poll(lu, -1) >= 0);
  s->thaw(s);
  finish_ops(lu, ops, 2);
  CHECK_EQ(ops[0].io.outcome, GT_TIMED_OUT);
  CHECK(ops[1].io.outcome != GT_TIMED_OUT);
}

static inline void case_killed(subject *s, gt_lu *lu) {
  settle(lu);
  enum { OPS = 40 };
  static op ops[OPS];
  static uint8_t data[OPS][4096];
  memset(ops, 0, sizeof ops);
  s->freeze(s);
  for (int i = 0; i < OPS; i++)
    op_submit(lu, &ops[i],
              s->kind == DISK ? disk_io(s, GT_DIR_IN, 0, data[i], 4096 / s->block_bytes) : test_unit_ready());
  gt_lu_poll(lu, 0);
  int before = ops_done(ops, OPS);
  s->kill(s);
  finish_ops(lu, ops, OPS);
  for (int i = before; i < OPS; i++)
    CHECK_EQ(ops[i].io.outcome, GT_TRANSPORT);
  gt_io io = test_unit_ready();
  op o = {0};
  o.io = io;
  o.io.done = op_done;
  o.io.owner = &o;
  CHECK(gt_lu_submit(lu, &o.io) < 0); /* a lost link stays lost */
}

static inline size_t take_tapped(gt_tap *tap, gt_trace_record *records, size_t max) {
  uint64_t lost = UINT64_MAX;
  size_t count = gt_tap_take(tap, records, max, &lost);
  CHECK_EQ(lost, 0);
  return count;
}

static inline void case_tap(subject *s, gt_lu *lu) {
  (void)lu;
  gt_trace_record records[4];
  uint8_t data[96] = {0};
  gt_tap *tap = NULL;
  gt_lu *own = s->open(s);
  CHECK(own != NULL);
  CHECK_EQ(gt_tap_new(&tap), 0);
  if (!own || !tap) return;
  own->tap = gt_tap_ref(tap);
  own->tag = 7;
  settle(own);
  CHECK_EQ(take_tapped(tap, records, 4), 0);
  CHECK_EQ(gt_tap_set(tap, (const uint32_t[]){3, 7}, 2), 0);
  run_good(own, test_unit_ready());
  gt_io io = command(CDB(GT_INQUIRY, 0, 0, 0, 96, 0), GT_DIR_IN, data, 96);
  run(own, &io);
  CHECK_EQ(gt_tap_set(tap, (const uint32_t[]){3}, 1), 0);
  run_good(own, test_unit_ready());
  CHECK_EQ(take_tapped(tap, records, 4), 2);
  CHECK_EQ(records[0].cdb[0], GT_TEST_UNIT_READY);
  CHECK_EQ(records[0].dir, GT_DIR_NONE);
  CHECK_EQ(records[1].cdb[0], GT_INQUIRY);
  CHECK_EQ(records[1].cdb_len, 6);
  CHECK_EQ(records[1].dir, GT_DIR_IN);
  CHECK_EQ(records[1].data_len, 96);
  CHECK_EQ(records[1].resid, io.resid);
  for (int i = 0; i < 2; i++) {
    CHECK_EQ(records[i].unit, 7);
    CHECK_EQ(records[i].nexus, UINT32_MAX);
    CHECK_EQ(records[i].outcome, GT_DELIVERED);
    CHECK_EQ(records[i].status, GT_STATUS_GOOD);
    CHECK(records[i].began_ns != 0 && records[i].ended_ns >= records[i].began_ns);
  }
  /* Whoever takes goes first: the unit has its own share. */
  gt_tap_unref(tap);
  gt_lu_close(own);
}

/* --- cases: disk --- */

static inline void case_lba_out_of_range(subject *s, gt_lu *lu) {
  settle(lu);
  uint8_t *data = calloc(1, 256 * 1024);
  gt_io io = disk_io(s, GT_DIR_IN, s->blocks, data, 1);
  run(lu, &io);
  CHECK_EQ(sense_code(&io), GT_KEY_ILLEGAL_REQUEST << 16 | GT_ASC_LBA_OUT_OF_RANGE);
  if (!s->no_residual_of_refusal) CHECK_EQ(io.resid, s->block_bytes);
  io = disk_io(s, GT_DIR_OUT, s->blocks - 1, data, 256 * 1024 / s->block_bytes);
  run(lu, &io); /* a long one: it is refused while data is still on its way */
  CHECK_EQ(sense_code(&io), GT_KEY_ILLEGAL_REQUEST << 16 | GT_ASC_LBA_OUT_OF_RANGE);
  run_good(lu, disk_io(s, GT_DIR_IN, s->blocks - 1, data, 1));
  free(data);
}

static inline void write_and_read_back(const subject *s, gt_lu *lu, uint64_t lba, uint32_t bytes) {
  uint8_t *wrote = malloc(bytes), *read = malloc(bytes);
  fill(wrote, bytes, lba + bytes);
  memset(read, 0, bytes);
  run_good(lu, disk_io(s, GT_DIR_OUT, lba, wrote, bytes / s->block_bytes));
  run_good(lu, disk_io(s, GT_DIR_IN, lba, read, bytes / s->block_bytes));
  CHECK(memcmp(wrote, read, bytes) == 0);
  free(wrote);
  free(read);
}

static inline void case_write_and_read_back(subject *s, gt_lu *lu) {
  settle(lu);
  uint32_t most = lu->limits.max_transfer < s->largest ? lu->limits.max_transfer : s->largest;
  const uint32_t sizes[] = {s->block_bytes, 7 * s->block_bytes, 65536, 262144 + s->block_bytes, 1 << 20, most};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    if (sizes[i] <= most) write_and_read_back(s, lu, 3 + i, sizes[i] / s->block_bytes * s->block_bytes);
}

static inline void case_many_outstanding(subject *s, gt_lu *lu) {
  settle(lu);
  enum { OPS = 300, BYTES = 8192 };
  op *ops = calloc(OPS, sizeof *ops);
  uint8_t *data = malloc((size_t)OPS * BYTES), *read = calloc(OPS, BYTES);
  uint32_t blocks = BYTES / s->block_bytes;
  for (int i = 0; i < OPS; i++) {
    fill(data + (size_t)i * BYTES, BYTES, (uint64_t)i + 77);
    op_submit(lu, &ops[i], disk_io(s, GT_DIR_OUT, (uint64_t)i * blocks, data + (size_t)i * BYTES, blocks));
  }
  finish_ops(lu, ops, OPS);
  for (int i = 0; i < OPS; i++) {
    CHECK(ops[i].io.outcome == GT_DELIVERED && ops[i].io.status == GT_STATUS_GOOD && ops[i].io.resid == 0);
    op_submit(lu, &ops[i], disk_io(s, GT_DIR_IN, (uint64_t)i * blocks, read + (size_t)i * BYTES, blocks));
  }
  finish_ops(lu, ops, OPS);
  CHECK(memcmp(data, read, (size_t)OPS * BYTES) == 0);
  free(ops);
  free(data);
  free(read);
}

/* Abort in the middle of long writes: whatever comes of them, each ends once, and the session is of use. */
static inline void case_abort_of_writes(subject *s, gt_lu *lu) {
  settle(lu);
  enum { OPS = 16 };
  uint32_t bytes = lu->limits.max_transfer < 1u << 20 ? lu->limits.max_transfer : 1u << 20;
  op ops[OPS] = {0};
  uint8_t *data = malloc(bytes);
  fill(data, bytes, 5);
  for (int i = 0; i < OPS; i++)
    op_submit(lu, &ops[i], disk_io(s, GT_DIR_OUT, 0, data, bytes / s->block_bytes));
  gt_lu_poll(lu, 0);
  for (int i = 0; i < OPS; i += 3)
    if (!ops[i].done) gt_lu_abort(lu, &ops[i].io);
  finish_ops(lu, ops, OPS);
  for (int i = 0; i < OPS; i++) {
    bool good = ops[i].io.outcome == GT_DELIVERED && ops[i].io.status == GT_STATUS_GOOD;
    CHECK(good || (i % 3 == 0 && ops[i].io.outcome == GT_ABORTED));
  }
  write_and_read_back(s, lu, 0, bytes);
  free(data);
}

/* --- cases: tape --- */

static inline void case_tape_blocks(subject *s, gt_lu *lu) {
  settle(lu);
  uint32_t most = lu->limits.max_transfer < s->largest ? lu->limits.max_transfer : s->largest;
  const uint32_t sizes[] = {512, 65536, 1 << 20, 10240, 4 << 20, most};
  enum { COUNT = sizeof sizes / sizeof *sizes };
  uint8_t *wrote = malloc(most), *read = malloc(most);
  run_good(lu, rewind_tape());
  for (int i = 0; i < COUNT; i++) {
    if (sizes[i] > most) continue;
    fill(wrote, sizes[i], (uint64_t)i);
    run_good(lu, tape_io(GT_DIR_OUT, wrote, sizes[i]));
  }
  run_good(lu, filemarks(1));
  run_good(lu, rewind_tape());
  for (int i = 0; i < COUNT; i++) {
    if (sizes[i] > most) continue;
    fill(wrote, sizes[i], (uint64_t)i);
    memset(read, 0, sizes[i]);
    run_good(lu, tape_io(GT_DIR_IN, read, sizes[i]));
    CHECK(memcmp(wrote, read, sizes[i]) == 0);
  }
  free(wrote);
  free(read);
}

/* Bytes [from, to) are still the 0xEE that they were made before. */
static inline bool untouched(const uint8_t *data, size_t from, size_t to) {
  while (from < to && data[from] == 0xEE)
    from++;
  return from == to;
}

/* SSC-4 6.5.2 and 4.2.13: filemark, end of data, and blocks of another length than was asked for. */
static inline void case_tape_sense(subject *s, gt_lu *lu) {
  settle(lu);
  static uint8_t data[8192], read[8192];
  fill(data, sizeof data, 9);
  run_good(lu, rewind_tape());
  run_good(lu, tape_io(GT_DIR_OUT, data, 4096));
  run_good(lu, tape_io(GT_DIR_OUT, data, 4096));
  run_good(lu, filemarks(1));
  run_good(lu, rewind_tape());

  gt_io io = tape_io(GT_DIR_IN, read, 8192); /* more than the block has */
  memset(read, 0xEE, sizeof read);
  run(lu, &io);
  CHECK_EQ(sense_code(&io), 0);
  CHECK_EQ(io.sense[2] & 0xe0, 0x20); /* ILI */
  CHECK_EQ((int32_t)gt_load_be32(io.sense + 3), 4096);
  CHECK_EQ(io.resid, 4096);
  CHECK(memcmp(data, read, 4096) == 0);
  if (!s->fills_room) CHECK(untouched(read, 4096, sizeof read));

  io = tape_io(GT_DIR_IN, read, 1024); /* less than the block has */
  memset(read, 0xEE, sizeof read);
  run(lu, &io);
  CHECK_EQ(sense_code(&io), 0);
  CHECK_EQ(io.sense[2] & 0xe0, 0x20);
  CHECK_EQ((int32_t)gt_load_be32(io.sense + 3), 1024 - 4096);
  uint32_t moved = s->nothing_of_a_longer_block ? 0 : 1024;
  CHECK_EQ(io.resid, 1024 - moved);
  CHECK(memcmp(data, read, moved) == 0);
  if (!s->fills_room) CHECK(untouched(read, moved, sizeof read));

  io = tape_io(GT_DIR_IN, read, 4096); /* the filemark */
  run(lu, &io);
  CHECK_EQ(sense_code(&io) >> 16, 0);
  CHECK_EQ(io.sense[2] & 0xe0, 0x80);
  if (!s->junk_at_tape_mark) CHECK_EQ(io.resid, 4096);

  io = tape_io(GT_DIR_IN, read, 4096); /* end of data */
  run(lu, &io);
  CHECK_EQ(sense_code(&io) >> 16, GT_KEY_BLANK_CHECK);
  if (!s->end_of_data_with_eom) CHECK_EQ(io.sense[2] & 0x40, 0);
  if (s->junk_at_tape_mark) return;
  CHECK_EQ(io.resid, 4096);
  if (!s->fills_room) CHECK(untouched(read, moved, sizeof read));
}

/* Blocks that are sent ahead must reach the tape in the order of submit. */
static inline void case_tape_order(subject *s, gt_lu *lu) {
  (void)s;
  settle(lu);
  enum { OPS = 100, BYTES = 16384 };
  op *ops = calloc(OPS, sizeof *ops);
  uint8_t *data = malloc((size_t)OPS * BYTES), *read = malloc(BYTES);
  run_good(lu, rewind_tape());
  for (int i = 0; i < OPS; i++) {
    fill(data + (size_t)i * BYTES, BYTES, (uint64_t)i + 1000);
    op_submit(lu, &ops[i], tape_io(GT_DIR_OUT, data + (size_t)i * BYTES, BYTES));
  }
  finish_ops(lu, ops, OPS);
  run_good(lu, filemarks(1));
  run_good(lu, rewind_tape());
  for (int i = 0; i < OPS; i++) {
    CHECK(ops[i].io.outcome == GT_DELIVERED && ops[i].io.status == GT_STATUS_GOOD);
    run_good(lu, tape_io(GT_DIR_IN, read, BYTES));
    CHECK(memcmp(data + (size_t)i * BYTES, read, BYTES) == 0);
  }
  free(ops);
  free(data);
  free(read);
}

/* What a case needs of its subject; without it the case is skipped, and says so. */
enum { HOLDS = 1, KILLS = 2, TIMES_OUT = 4, OVERFLOWS = 8, ATTENTION = 16 };

static inline int abilities(const subject *s) {
  return (s->freeze ? HOLDS : 0) | (s->kill ? KILLS : 0) | (s->times_out ? TIMES_OUT : 0) |
         (s->tells_overflow ? OVERFLOWS : 0) | (s->attention ? ATTENTION : 0);
}

typedef struct transport_case {
  const char *name;
  int kinds;
  void (*run)(subject *s, gt_lu *lu);
  int needs;
} transport_case;

static const transport_case transport_cases[] = {
    {"names itself and its limits", BOTH, case_limits, 0},
    {"a new nexus finds UNIT ATTENTION once", BOTH, case_attention, ATTENTION},
    {"INQUIRY moves what there is and tells the residual", BOTH, case_inquiry, 0},
    {"allocation length 0 is no error", BOTH, case_inquiry_of_nothing, 0},
    {"more data than room is a negative residual, and no byte past the room", BOTH, case_overflow, OVERFLOWS},
    {"an unknown opcode is CHECK CONDITION with its sense", BOTH, case_illegal_opcode, 0},
    {"a malformed request is refused by submit and never done", BOTH, case_refuses_bad_requests, 0},
    {"poll with nothing outstanding returns at once", BOTH, case_poll_of_nothing, 0},
    {"done may submit again", BOTH, case_done_may_submit, 0},
    {"wake from another thread ends a poll", BOTH, case_wake, HOLDS},
    {"an aborted command ends once, the others are not touched", BOTH, case_abort, 0},
    {"close ends everything outstanding as aborted, once", BOTH, case_close_ends_everything, HOLDS},
    {"an LBA out of range is CHECK CONDITION, read and write", DISK, case_lba_out_of_range, 0},
    {"what was written is read back, from one block to the largest transfer", DISK, case_write_and_read_back, 0},
    {"many outstanding commands end once each, with the right data", DISK, case_many_outstanding, 0},
    {"aborting long writes leaves the logical unit usable", DISK, case_abort_of_writes, 0},
    {"tape blocks of any length are written and read back", TAPE, case_tape_blocks, 0},
    {"filemark, end of data and incorrect length come with sense and residual", TAPE, case_tape_sense, 0},
    {"tape blocks sent ahead stay in order", TAPE, case_tape_order, 0},
    {"commands to a unit that is tapped are recorded, while its tag is asked for", BOTH, case_tap, 0},
    {"a command that is held too long times out", BOTH, case_timeout, HOLDS | TIMES_OUT},
    {"a device server that is killed ends everything as a transport failure", BOTH, case_killed, HOLDS | KILLS},
};

static inline void read_capacity(subject *s, gt_lu *lu) {
  uint8_t data[32] = {0};
  uint8_t cdb[16] = {GT_SERVICE_ACTION_IN_16, GT_SAI_READ_CAPACITY_16, [13] = sizeof data};
  gt_io io = command(cdb, sizeof cdb, GT_DIR_IN, data, sizeof data);
  settle(lu);
  run(lu, &io);
  s->blocks = gt_load_be64(data) + 1; /* SBC-3 5.16: the last LBA */
  s->block_bytes = gt_load_be32(data + 8);
}

/* Runs every case that fits. Returns false when the subject cannot even be opened. */
static inline bool conform(subject *s) {
  printf("== %s\n", s->name);
  gt_lu *lu = s->open(s);
  CHECK(lu != NULL);
  if (!lu) return false;
  if (s->kind == DISK) read_capacity(s, lu);
  gt_lu_close(lu);
  for (size_t i = 0; i < sizeof transport_cases / sizeof *transport_cases; i++) {
    const transport_case *c = &transport_cases[i];
    if (!(c->kinds & s->kind)) continue;
    if ((abilities(s) & c->needs) != c->needs) {
      printf("SKIPPED: %s: this device server cannot be made to\n", c->name);
      continue;
    }
    TEST(c->name);
    fflush(stdout);
    lu = s->open(s);
    CHECK(lu != NULL);
    if (!lu) return false;
    c->run(s, lu);
    gt_lu_close(lu);
  }
  return true;
}

#endif
