/* The engine between a source and a drive that have their own speeds, in virtual time: the drive does not wait while
 * the source could have given, and where the source is too slow it stops as seldom as the ring allows. */
#include "paced_rig.h"

enum { MB = 1000000, TAPE_BLOCK = 256 << 10, DISK_BLOCK = 4096 };
static const uint64_t DRIVE = 400 * (uint64_t)MB, RING = 32 << 20, MIB = 1 << 20;

static gt_arena *arena;

typedef struct outcome {
  uint64_t starts, underruns, waits;
} outcome;

typedef struct job {
  uint64_t bytes, extent; /* the source's bytes lie in extents of this size all over it */
  uint64_t source;        /* bytes per second over all, */
  uint64_t stall_ms;      /* of which it gives nothing at the end of each tenth of a second, */
  uint64_t phase_ms;      /* and it starts this far into the first one */
  uint64_t buffer;        /* the drive's own */
} job;

static outcome backup(const job *j) {
  paced_world world = {.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};
  const uint64_t began_ns = world.now_ns = j->phase_ms * PACED_MS;
  paced disk, tape;
  rig r;
  size_t bad, extents = j->bytes / j->extent;
  paced_open(&disk, &world);
  paced_open(&tape, &world);
  disk.stall_ns = j->stall_ms * PACED_MS;
  disk.bytes_per_s = j->source * PACED_PERIOD_MS / (PACED_PERIOD_MS - j->stall_ms);
  gt_stream_set(&tape.stream, DRIVE, j->buffer);
  rig_open(&r, arena, RING, TAPE_BLOCK);
  r.options.lu_count = 2;
  r.options.tape_start_ms = UINT32_MAX; /* which would be real time */
  r.lus[0] = (gt_copy_lu){.lu = &disk.lu, .block_bytes = DISK_BLOCK, .blocks = 2 * j->bytes / DISK_BLOCK};
  r.lus[1] = (gt_copy_lu){.lu = &tape.lu, .type = 1};
  gt_seg *gather = calloc(extents, sizeof *gather);
  for (size_t i = 0; i < extents; i++)
    gather[i] = (gt_seg){.op = GT_OP_EXTENT, .addr = 2 * i * (j->extent / DISK_BLOCK), .bytes = j->extent, .tag = 1};
  gt_seg scatter[] = {{.op = GT_OP_TAPE, .lu = 1, .bytes = j->bytes}, {.op = GT_OP_FILEMARK, .lu = 1, .addr = 1}};
  CHECK_EQ(rig_start(&r), 0);
  CHECK_EQ(gt_copy_append(r.copy, gather, extents, scatter, 2, NULL, 0, &bad), 0);
  gt_copy_finish(r.copy);
  CHECK_EQ(paced_run(&r, &world, &disk, &tape), GT_RESULT_OK);
  CHECK_EQ(r.stats.scatter.bytes, j->bytes);
  outcome o = {tape.stream.starts, tape.stream.underruns, r.stats.tape_waits};
  printf(
      "  %4llu MB/s, stalls of %2llu ms from %2llu, buffer of %3llu MiB: %.3f s, started %llu times, empty %llu times, "
      "waited %llu times\n",
      (unsigned long long)j->source / MB, (unsigned long long)j->stall_ms, (unsigned long long)j->phase_ms,
      (unsigned long long)(j->buffer / MIB), (double)(world.now_ns - began_ns) / 1e9, (unsigned long long)o.starts,
      (unsigned long long)o.underruns, (unsigned long long)o.waits);
  free(gather);
  rig_close(&r);
  return o;
}

static void keeps_up(void) {
  TEST("a drive of 400 MB/s is started once and never waits for a source that gives 1.2 times that, whatever its "
       "stalls");
  job j = {.bytes = 1024 * MIB, .extent = 1024 * MIB, .source = DRIVE * 6 / 5, .stall_ms = 20, .buffer = MIB};
  for (int i = 0; i < 12; i++) {
    outcome o = backup(&j);
    CHECK_EQ(o.underruns, 0);
    CHECK_EQ(o.starts, 1);
    CHECK_EQ(o.waits, 0);
    /* After a long run the beginning, which is the hard part: with each phase of the stalls. */
    j.bytes = 64 * MIB;
    j.extent = i % 2 ? 64 * MIB : 64 << 10;
    j.stall_ms = i % 2 ? 40 : 20;
    j.phase_ms = (unsigned)i * 9;
  }
}

/* Such a drive takes the whole ring at once, and then more than the source has: it always finds the ring empty until
 * its own buffer is full. What matters then is that its buffer does not run empty. */
static void large_buffers(void) {
  TEST("a drive whose own buffer is larger than the ring does not run empty while it fills that");
  for (unsigned i = 0; i < 5; i++) {
    job j = {.bytes = 160 * MIB, .extent = 160 * MIB, .source = DRIVE * 21 / 20, .stall_ms = 20};
    j.phase_ms = i * 20;
    j.buffer = i % 2 ? 40 * MIB : 128 * MIB;
    outcome o = backup(&j);
    CHECK_EQ(o.underruns, 0);
    CHECK_EQ(o.starts, 1);
  }
}

/* From half a ring on the drive takes at its speed what comes at the source's: half / (1 - source / drive) bytes
 * before it stops again. */
static void stops_seldom(void) {
  TEST("a drive that is faster than its source stops only when it has used up half of the ring");
  for (uint64_t percent = 25; percent <= 75; percent += 25) {
    job j = {.bytes = 256 * MIB, .extent = 256 * MIB, .source = DRIVE * percent / 100, .buffer = MIB};
    outcome o = backup(&j);
    uint64_t each = RING * 7 / 8 / 2 * 100 / (100 - percent);
    CHECK(o.starts > 1);
    CHECK(o.starts <= 2 + j.bytes / each);
    CHECK(o.waits + 1 >= o.starts && o.waits <= o.starts + 1);
  }
}

int main(void) {
  CHECK_EQ(gt_arena_create(RING, &arena), 0);
  keeps_up();
  large_buffers();
  stops_seldom();
  gt_arena_destroy(arena);
  return check_end();
}
