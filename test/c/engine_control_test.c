/* Appending, pausing, cancelling and closing at any moment; events that nobody takes. argv[1]: rounds of the random
 * part. */
#include <sched.h>
#include <time.h>

#include "engine_rig.h"

enum { BLOCK = 4096 };

static gt_arena *arena;

static void check_program(void) {
  fake *disk = fake_disk(512, 100, 1), *wide = fake_disk(4096, 10, 1), *tape = fake_tape(), *other = fake_tape();
  enum { D, W, T, O };
  static const struct {
    const char *wrong;
    gt_seg gather[3], scatter[3];
    int result;
    size_t bad;
  } rows[] = {
#define G .gather =
#define S .scatter =
      {"nothing at all", {{0}}, {{0}}, 0, 0},
      {"an extent to the last block", G{{.op = 2, .addr = 99, .bytes = 512}}, {{0}}, 0, 0},
      {"an extent past the capacity", G{{.op = 2, .addr = 99, .bytes = 513}}, {{0}}, -EINVAL, 0},
      {"an extent behind the capacity", G{{.op = 2, .addr = 101, .bytes = 1}}, {{0}}, -EINVAL, 0},
      {"an LBA that wraps", G{{.op = 2, .addr = UINT64_MAX, .bytes = 512}}, {{0}}, -EINVAL, 0},
      {"a length that wraps", G{{.op = 2, .addr = 0, .bytes = UINT64_MAX - 1}}, {{0}}, -EINVAL, 0},
      {"skip that reaches past the capacity", G{{.op = 2, .addr = 99, .bytes = 510, .skip = 3}}, {{0}}, -EINVAL, 0},
      {"skip of a block", G{{.op = 2, .addr = 0, .bytes = 10, .skip = 512}}, {{0}}, -EINVAL, 0},
      {"skip within a block of 4096", G{{.op = 2, .lu = W, .addr = 0, .bytes = 10, .skip = 512}}, {{0}}, 0, 0},
      {"an empty extent", G{{.op = 2}}, {{0}}, -EINVAL, 0},
      {"an extent on tape", G{{.op = 2, .lu = T, .bytes = 512}}, {{0}}, -EINVAL, 0},
      {"an index past the units", G{{.op = 2, .lu = 9, .bytes = 512}}, {{0}}, -EINVAL, 0},
      {"tape data on a disk", G{{.op = 4, .lu = D, .bytes = 512}}, {{0}}, -EINVAL, 0},
      {"inline bytes past what came", G{{.op = 1, .addr = 5, .bytes = 6}}, {{0}}, -EINVAL, 0},
      {"inline bytes that wrap", G{{.op = 1, .addr = UINT64_MAX, .bytes = 2}}, {{0}}, -EINVAL, 0},
      {"an unknown operation", G{{.op = 12, .bytes = 1}}, {{0}}, -EINVAL, 0},
      {"the second segment is wrong", G{{.op = 3, .bytes = 1}, {.op = 99}}, {{0}}, -EINVAL, 1},
      {"the first scatter segment is wrong", G{{.op = 3, .bytes = 1}}, S{{.op = 1, .bytes = 1}}, -EINVAL, 1},
      {"zeros to scatter", {{0}}, S{{.op = 3, .bytes = 1}}, -EINVAL, 0},
      {"HOLD of more than fits", {{0}}, S{{.op = 6, .bytes = GT_HOLD_MAX + 1}}, -EINVAL, 0},
      {"HOLD to gather", G{{.op = 6, .bytes = 1}}, {{0}}, -EINVAL, 0},
      {"one unit on both sides", G{{.op = 2, .bytes = 1}}, S{{.op = 2, .bytes = 1}}, -EINVAL, 1},
      {"tags on both sides", G{{.op = 3, .bytes = 1, .tag = 1}}, S{{.op = 5, .bytes = 1, .tag = 1}}, -EINVAL, 1},
      {"tape and disk mixed", G{{.op = 4, .lu = T, .bytes = 1}, {.op = 2, .bytes = 1}}, {{0}}, -EINVAL, 1},
      {"two tapes on a side", G{{.op = 4, .lu = T, .bytes = 1}, {.op = 4, .lu = O, .bytes = 1}}, {{0}}, -EINVAL, 1},
      {"data after the open end",
       {{0}},
       S{{.op = 4, .lu = T, .bytes = UINT64_MAX}, {.op = 4, .lu = T, .bytes = 1}},
       -EINVAL,
       1},
      {"filemarks after the open end",
       {{0}},
       S{{.op = 4, .lu = T, .bytes = UINT64_MAX}, {.op = 8, .lu = T, .addr = 1}},
       0,
       0},
      {"a filemark with bytes", {{0}}, S{{.op = 8, .lu = T, .addr = 1, .bytes = 1}}, -EINVAL, 0},
      {"more filemarks than fit", {{0}}, S{{.op = 8, .lu = T, .addr = 1 << 24}}, -EINVAL, 0},
      {"filemarks to gather", G{{.op = 8, .lu = T, .addr = 1}}, {{0}}, -EINVAL, 0},
      {"SPACE by sets", {{0}}, S{{.op = 11, .lu = T, .skip = 4, .addr = 1}}, -EINVAL, 0},
      {"SPACE to the end of data", {{0}}, S{{.op = 11, .lu = T, .skip = 3}}, 0, 0},
      {"sums that wrap", G{{.op = 3, .bytes = INT64_MAX}, {.op = 3, .bytes = INT64_MAX}}, {{0}}, -EINVAL, 1},
#undef G
#undef S
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    rig r;
    size_t gathers = 0, scatters = 0, bad = 99;
    while (gathers < 3 && rows[i].gather[gathers].op)
      gathers++;
    while (scatters < 3 && rows[i].scatter[scatters].op)
      scatters++;
    rig_open(&r, arena, 1 << 16, BLOCK);
    r.options.lu_count = 4;
    r.lus[D] = rig_disk(disk), r.lus[W] = rig_disk(wide), r.lus[T] = rig_tape(tape), r.lus[O] = rig_tape(other);
    CHECK_EQ(rig_start(&r), 0);
    gt_copy_pause(r.copy);
    int result = gt_copy_append(r.copy, rows[i].gather, gathers, rows[i].scatter, scatters,
                                (const uint8_t *)"0123456789", 10, &bad);
    CHECK_EQ(result, rows[i].result);
    CHECK_EQ(bad, result ? rows[i].bad : gathers + scatters);
    if (result != rows[i].result) fprintf(stderr, "  %s\n", rows[i].wrong);
    /* Nothing of a refused append was taken: the same run takes something right. */
    CHECK_EQ(gt_copy_append(r.copy, NULL, 0, NULL, 0, NULL, 0, &bad), 0);
    rig_close(&r);
  }
  gt_lu_close(&disk->lu);
  gt_lu_close(&wide->lu);
  gt_lu_close(&tape->lu);
  gt_lu_close(&other->lu);
}

static void check_options(void) {
  TEST("options that cannot work are refused with a sentence");
  fake *tape = fake_tape();
  for (int i = 0; i < 7; i++) {
    rig r;
    rig_open(&r, arena, 1 << 16, BLOCK);
    r.options.lu_count = 1;
    r.lus[0] = rig_tape(tape);
    switch (i) {
    case 0: r.options.tape_block_bytes = 0; break;
    case 1: r.options.tape_block_bytes = (8 << 20) + 1; break;
    case 2: r.options.ring_bytes = 4 * BLOCK - 4096; break;
    case 3: r.options.ring_bytes++; break;
    case 4: r.options.lu_count = 2, r.lus[1] = rig_tape(tape); break;
    case 5: r.lus[0].max_io_bytes = 512; break;
    default: r.options.arena = NULL;
    }
    CHECK_EQ(rig_start(&r), -EINVAL);
    CHECK(r.err[0] && r.err[strlen(r.err) - 1] == '.');
  }
  rig r;
  rig_open(&r, arena, 64 << 20, BLOCK);
  r.options.lu_count = 1;
  r.lus[0] = rig_tape(tape);
  CHECK_EQ(rig_start(&r), -ENOMEM);
  gt_lu_close(&tape->lu);
}

/* disk → tape with many small members. */
typedef struct flood {
  fake *disk, *tape;
  rig_program p;
  rig r;
} flood;

static void flood_open(flood *f, size_t members) {
  f->disk = fake_disk(512, 1000, 5);
  f->tape = fake_tape();
  rig_program_open(&f->p);
  for (uint32_t i = 1; i <= members; i++)
    rig_extent(&f->p, f->disk, 0, i % 900, 0, 512 * (1 + i % 3), i);
  rig_scatter(&f->p, (gt_seg){.op = GT_OP_TAPE, .lu = 1, .bytes = UINT64_MAX});
  rig_open(&f->r, arena, 1 << 16, BLOCK);
  f->r.options.lu_count = 2;
  f->r.lus[0] = rig_disk(f->disk), f->r.lus[1] = rig_tape(f->tape);
}

static void flood_close(flood *f) {
  rig_close(&f->r);
  rig_program_close(&f->p);
  gt_lu_close(&f->disk->lu);
  gt_lu_close(&f->tape->lu);
}

static void back_pressure(void) {
  TEST("events that nobody takes hold the run up; none is lost once they are taken");
  flood f;
  flood_open(&f, 20000);
  CHECK_EQ(rig_start(&f.r), 0);
  CHECK_EQ(rig_append(&f.r, &f.p), 0);
  gt_copy_finish(f.r.copy);
  /* Until nothing moves any more. */
  for (uint64_t before = 1, still = 0; still < 20;) {
    struct timespec pause = {.tv_nsec = 5000000};
    nanosleep(&pause, NULL);
    gt_copy_stats_get(f.r.copy, &f.r.stats);
    still = f.r.stats.stream_offset == before ? still + 1 : 0;
    before = f.r.stats.stream_offset;
  }
  CHECK(f.r.stats.stream_offset < f.p.stream_len);
  CHECK_EQ(rig_wait(&f.r), GT_RESULT_OK);
  CHECK_EQ(rig_count(&f.r, GT_EV_DIGEST), 20000);
  CHECK(rig_tape_is(f.tape, 0, f.p.stream, f.p.stream_len, BLOCK));
  flood_close(&f);
}

static void full_queue(void) {
  TEST("an append that finds the queue full takes nothing; HUNGRY comes when it fits, and the stream is whole");
  flood f;
  flood_open(&f, 60000);
  CHECK_EQ(rig_start(&f.r), 0);
  gt_copy_pause(f.r.copy);
  CHECK_EQ(rig_append(&f.r, &f.p), 0);
  rig_take(&f.r);
  size_t bad, seen = f.r.count;
  CHECK_EQ(gt_copy_append(f.r.copy, f.p.gather, 60000, NULL, 0, NULL, 0, &bad), -ENOSPC);
  CHECK_EQ(gt_copy_append(f.r.copy, f.p.gather, GT_QUEUE_SEGS + 1, NULL, 0, NULL, 0, &bad), -EINVAL);
  CHECK_EQ(rig_take(&f.r), false);
  CHECK(!rig_find(&f.r, GT_EV_HUNGRY, seen));
  gt_copy_resume(f.r.copy);
  while (!rig_find(&f.r, GT_EV_HUNGRY, seen)) {
    rig_take(&f.r);
    if (!rig_find(&f.r, GT_EV_HUNGRY, seen)) sem_wait(&f.r.notified);
  }
  CHECK_EQ(gt_copy_append(f.r.copy, f.p.gather, 60000, NULL, 0, NULL, 0, &bad), 0);
  gt_copy_finish(f.r.copy);
  CHECK_EQ(rig_wait(&f.r), GT_RESULT_OK);
  CHECK_EQ(f.r.done.stream_offset, 2 * f.p.stream_len);
  CHECK_EQ(gt_copy_append(f.r.copy, NULL, 0, NULL, 0, NULL, 0, &bad), -EINVAL); /* after finish */
  flood_close(&f);
}

static void full_of_bytes(void) {
  TEST("an append refused for its inline bytes is asked for again when they fit, and not before");
  enum { MANY = 40 << 20 };
  fake *tape = fake_tape();
  rig r;
  size_t bad;
  uint8_t *bytes = calloc(1, MANY);
  gt_seg gather = {.op = GT_OP_INLINE, .bytes = MANY}, scatter = {.op = GT_OP_DISCARD, .bytes = MANY};
  rig_open(&r, arena, 1 << 20, BLOCK);
  r.options.lu_count = 1;
  r.lus[0] = rig_tape(tape);
  CHECK_EQ(rig_start(&r), 0);
  gt_copy_pause(r.copy);
  CHECK_EQ(gt_copy_append(r.copy, &gather, 1, &scatter, 1, bytes, MANY, &bad), 0);
  struct timespec nap = {.tv_nsec = 10000000};
  for (int i = 0; i < 10; i++) {
    CHECK_EQ(gt_copy_append(r.copy, &gather, 1, &scatter, 1, bytes, MANY, &bad), -ENOSPC);
    nanosleep(&nap, NULL);
    rig_take(&r);
  }
  CHECK(rig_count(&r, GT_EV_HUNGRY) <= 2); /* after the start, and after the first append */
  gt_copy_resume(r.copy);
  for (size_t seen = r.count; gt_copy_append(r.copy, &gather, 1, &scatter, 1, bytes, MANY, &bad) == -ENOSPC;) {
    while (!rig_find(&r, GT_EV_HUNGRY, seen)) {
      sem_wait(&r.notified);
      rig_take(&r);
    }
    seen = r.count;
  }
  gt_copy_finish(r.copy);
  CHECK_EQ(rig_wait(&r), GT_RESULT_OK);
  CHECK_EQ(r.done.stream_offset, 2ull * MANY);
  rig_close(&r);
  gt_lu_close(&tape->lu);
  free(bytes);
}

static void pause_stops(void) {
  TEST("while paused nothing is sent; after resume the run goes on to its end");
  flood f;
  flood_open(&f, 3000);
  CHECK_EQ(rig_start(&f.r), 0);
  gt_copy_pause(f.r.copy);
  CHECK_EQ(rig_append(&f.r, &f.p), 0);
  gt_copy_finish(f.r.copy);
  struct timespec pause = {.tv_nsec = 30000000};
  nanosleep(&pause, NULL);
  gt_copy_stats_get(f.r.copy, &f.r.stats);
  CHECK_EQ(f.r.stats.gather.commands + f.r.stats.scatter.commands, 0);
  gt_copy_resume(f.r.copy);
  CHECK_EQ(rig_wait(&f.r), GT_RESULT_OK);
  CHECK(f.r.stats.throttle_ns > 0);
  CHECK(rig_tape_is(f.tape, 0, f.p.stream, f.p.stream_len, BLOCK));
  flood_close(&f);
}

static void idle_units(void) {
  TEST("units that a paused run does not use are polled now and then, so that their transport answers its peer");
  flood f;
  flood_open(&f, 9000);
  f.r.options.bytes_per_s = 1 << 20;
  CHECK_EQ(rig_start(&f.r), 0);
  CHECK_EQ(rig_append(&f.r, &f.p), 0);
  gt_copy_finish(f.r.copy);
  struct timespec nap = {.tv_nsec = 5000000};
  do {
    nanosleep(&nap, NULL);
    gt_copy_stats_get(f.r.copy, &f.r.stats);
  } while (!f.r.stats.gather.commands || !f.r.stats.scatter.commands);
  gt_copy_pause(f.r.copy);
  for (int naps = 0; naps < 6000 && !(f.disk->idle_polls && f.tape->idle_polls); naps++)
    nanosleep(&nap, NULL);
  CHECK(f.disk->idle_polls && f.tape->idle_polls);
  gt_copy_cancel(f.r.copy);
  CHECK_EQ(rig_wait(&f.r), GT_RESULT_CANCELLED);
  flood_close(&f);
}

static void rate_changes(void) {
  TEST("a rate that would take for ever holds the run back until it is lifted");
  flood f;
  flood_open(&f, 3000);
  f.r.options.bytes_per_s = 1;
  CHECK_EQ(rig_start(&f.r), 0);
  CHECK_EQ(rig_append(&f.r, &f.p), 0);
  gt_copy_finish(f.r.copy);
  struct timespec pause = {.tv_nsec = 30000000};
  nanosleep(&pause, NULL);
  gt_copy_stats_get(f.r.copy, &f.r.stats);
  CHECK(f.r.stats.gather.bytes < 200000);
  gt_copy_rate(f.r.copy, 0);
  CHECK_EQ(rig_wait(&f.r), GT_RESULT_OK);
  flood_close(&f);
}

static void starts_in_time(void) {
  TEST("a tape is started with what there is when no more has come for a while, and again after that");
  flood f;
  flood_open(&f, 60);
  f.r.options.tape_start_ms = 20;
  f.r.options.depth = 1;
  f.r.options.io_bytes = 512;
  f.disk->hold_from = 12; /* a block and a half, of 16 */
  CHECK_EQ(rig_start(&f.r), 0);
  CHECK_EQ(rig_append(&f.r, &f.p), 0);
  gt_copy_finish(f.r.copy);
  for (uint64_t blocks = 1; blocks <= 2; blocks++) {
    do {
      sched_yield();
      gt_copy_stats_get(f.r.copy, &f.r.stats);
    } while (f.r.stats.scatter.bytes < blocks * BLOCK);
    CHECK_EQ(f.r.stats.scatter.bytes, blocks * BLOCK);
    f.disk->hold_from = blocks == 1 ? 20 : 0;
    gt_lu_wake(&f.disk->lu);
  }
  CHECK_EQ(rig_wait(&f.r), GT_RESULT_OK);
  CHECK(rig_tape_is(f.tape, 0, f.p.stream, f.p.stream_len, BLOCK));
  flood_close(&f);
}

static void cancel_aborts(void) {
  TEST("commands that do not end after a cancel are aborted, and the run ends at its last checkpoint");
  flood f;
  flood_open(&f, 100);
  f.disk->hold = true;
  CHECK_EQ(rig_start(&f.r), 0);
  CHECK_EQ(rig_append(&f.r, &f.p), 0);
  gt_copy_finish(f.r.copy);
  do {
    sched_yield();
    gt_copy_stats_get(f.r.copy, &f.r.stats);
  } while (f.r.stats.gather.commands < 4);
  gt_copy_cancel(f.r.copy);
  CHECK_EQ(rig_wait(&f.r), GT_RESULT_CANCELLED);
  CHECK(f.disk->aborts >= 4);
  CHECK_EQ(f.r.done.stream_offset, 0);
  flood_close(&f);
}

static void settle_random(flood *f, int kind, uint64_t *seed) {
  struct timespec pause = {.tv_nsec = (long)(fake_random(seed) % 3000000)};
  nanosleep(&pause, NULL);
  if (kind == 1) gt_copy_finish(f->r.copy);
  if (kind == 2) gt_copy_pause(f->r.copy);
  if (kind == 3) rig_take(&f->r);
}

static void random_ends(uint64_t rounds) {
  TEST("cancelled or closed at random moments: a whole prefix on the tape, a checkpoint that is true, and nothing "
       "hangs");
  uint64_t seed = 99;
  for (uint64_t round = 0; round < rounds; round++) {
    flood f;
    flood_open(&f, 1 + fake_random(&seed) % 9000);
    f.r.options.checkpoint_bytes = 1 + fake_random(&seed) % 100000;
    if (round % 3 == 0) f.r.options.bytes_per_s = 1 + fake_random(&seed) % 50000000;
    CHECK_EQ(rig_start(&f.r), 0);
    CHECK_EQ(rig_append(&f.r, &f.p), 0);
    settle_random(&f, (int)(fake_random(&seed) % 4), &seed);
    if (round % 2) {
      gt_copy_cancel(f.r.copy);
      uint8_t result = rig_wait(&f.r);
      CHECK(result == GT_RESULT_CANCELLED || result == GT_RESULT_OK);
      const gt_event *last = &f.r.events[f.r.count - 2];
      CHECK(last->type == GT_EV_CHECKPOINT && last->count == 1 && last->stream_offset == f.r.done.stream_offset);
      CHECK(rig_tape_is(f.tape, 0, f.p.stream, f.r.done.stream_offset, BLOCK));
      CHECK_EQ(f.tape->count, f.r.done.object);
    }
    flood_close(&f);
    CHECK_EQ(gt_arena_free_bytes(arena), gt_arena_bytes(arena));
  }
}

int main(int argc, char **argv) {
  CHECK_EQ(gt_arena_create(8 << 20, &arena), 0);
  TEST("a wrong segment is refused by its index, and nothing of its append is taken");
  check_program();
  check_options();
  back_pressure();
  full_queue();
  full_of_bytes();
  pause_stops();
  idle_units();
  rate_changes();
  starts_in_time();
  cancel_aborts();
  random_ends(argc > 1 ? strtoull(argv[1], NULL, 0) : 60);
  gt_arena_destroy(arena);
  return check_end();
}
