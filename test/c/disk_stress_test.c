/* A disk under three nexuses at once: what each wrote alone is there, what they write as one is whole, nothing that
 * reads, decides and writes loses the work of another, and no write gets behind a SANITIZE. For ThreadSanitizer, too.
 */
#include <stdatomic.h>

#include "scsi_rig.h"

#include <sys/syscall.h>

enum { BLOCKS = 12288, BYTES = 512, THREADS = 3, ROUNDS = 8, STEPS = 120 };
/* Places across the border of two stripes of 1 MiB, and what each thread has to itself. */
enum { COUNTER = 2047, WHOLE = 4092, WHOLE_BLOCKS = 8, BITS = 6100, BITS_BLOCKS = 200, OWN = 8192, OWN_BLOCKS = 1024 };

/* The device's own calls to the kernel are these. Reads and writes come in two parts with a pause between, as they may;
 * a record is slow to be stored; and what wipes the disk waits until all three have seen that it does, while nobody
 * else writes. */
static atomic_bool held, wiping;
static atomic_uint wrote_behind;

static void wait_if(bool wipes) {
  while (wipes && atomic_load(&held))
    usleep(200);
  if (wipes) atomic_store(&wiping, false);
}

ssize_t pread(int fd, void *data, size_t count, off_t offset) {
  size_t half = count / 2;
  ssize_t got = syscall(SYS_pread64, fd, data, half, offset);
  if (got != (ssize_t)half) return got;
  if (half >= BYTES) usleep(1);
  got = syscall(SYS_pread64, fd, (uint8_t *)data + half, count - half, offset + (off_t)half);
  return got < 0 ? got : (ssize_t)half + got;
}

ssize_t pwrite(int fd, const void *data, size_t count, off_t offset) {
  size_t half = count / 2;
  bool wipes = count == 1 << 20;
  wait_if(wipes);
  ssize_t put = syscall(SYS_pwrite64, fd, data, half, offset);
  if (half >= BYTES) usleep(1);
  if (put == (ssize_t)half) put += syscall(SYS_pwrite64, fd, (const uint8_t *)data + half, count - half, offset + put);
  if (!wipes && atomic_load(&wiping)) wrote_behind++;
  return put;
}

int fallocate(int fd, int mode, off_t offset, off_t length) {
  bool wipes = length == (off_t)BLOCKS * BYTES;
  wait_if(wipes);
  if (!wipes && atomic_load(&wiping)) wrote_behind++;
  return (int)syscall(SYS_fallocate, fd, mode, offset, length);
}

int fsync(int fd) {
  if (atomic_load(&held)) atomic_store(&wiping, true); /* of all, only SANITIZE stores anything then, holding all */
  usleep(2000);
  return (int)syscall(SYS_fsync, fd);
}

typedef struct arena {
  gt_device *device;
  pthread_barrier_t barrier;
  atomic_uint counted; /* COMPARE AND WRITE that were answered GOOD in this round */
} arena;

typedef struct worker {
  arena *arena;
  rig rig;
  unsigned number, seed, round;
  uint64_t ored;             /* bits that were answered GOOD */
  uint8_t model[OWN_BLOCKS]; /* the byte that each of its blocks is full of */
  bool wiped;                /* a SANITIZE was seen, or begun */
} worker;

static unsigned draw(worker *w, unsigned below) {
  w->seed = w->seed * 1664525u + 1013904223u;
  return (w->seed >> 8) % below;
}

/* GOOD, or the round is over because somebody wipes the disk; anything else is a failure. */
static bool went_well(worker *w) {
  const rig *r = &w->rig;
  if (r->io.status == GT_STATUS_GOOD) return true;
  bool changed = r->sense.key == GT_KEY_UNIT_ATTENTION;
  bool wiping = r->sense.key == GT_KEY_NOT_READY && r->sense.asc == GT_ASC_SANITIZE_IN_PROGRESS;
  w->wiped |= wiping;
  if (!wiping && !changed) GOOD(r);
  return false;
}

static bool all_are(const uint8_t *data, size_t length, uint8_t value) {
  for (size_t i = 0; i < length; i++)
    if (data[i] != value) return false;
  return true;
}

/* Adds one to the number that stands in two blocks, in different stripes. */
static void count_up(worker *w) {
  uint8_t data[4 * BYTES] = {0};
  rig_f(&w->rig, GT_DIR_IN, data, 2 * BYTES, "28 00 %08x 00 0002 00", COUNTER);
  if (!went_well(w)) return;
  CHECK(memcmp(data, data + BYTES, BYTES) == 0);
  memcpy(data + 2 * BYTES, data, 2 * BYTES);
  for (int half = 2; half < 4; half++)
    gt_store_be32(data + half * BYTES, gt_load_be32(data + half * BYTES) + 1);
  rig_f(&w->rig, GT_DIR_OUT, data, sizeof data, "89 00 %016x 000000 02 0000", COUNTER);
  if (w->rig.sense.key != GT_KEY_MISCOMPARE && went_well(w)) atomic_fetch_add(&w->arena->counted, 1);
}

/* One bit of its own in every eighth byte of a span that is longer than the device's scratch. */
static void or_in(worker *w) {
  static __thread uint8_t data[BITS_BLOCKS * BYTES];
  unsigned bit = w->number * 16 + draw(w, 16);
  memset(data, 0, sizeof data);
  for (size_t at = bit / 8; at < sizeof data; at += 8)
    data[at] = (uint8_t)(1u << bit % 8);
  rig_f(&w->rig, GT_DIR_OUT, data, sizeof data, "8b 00 %016x %08x 00 00", BITS, BITS_BLOCKS);
  if (went_well(w)) w->ored |= 1ull << bit;
}

static void write_whole(worker *w) {
  uint8_t data[WHOLE_BLOCKS * BYTES];
  memset(data, (int)(1 + draw(w, 250)), sizeof data);
  rig_f(&w->rig, GT_DIR_OUT, data, sizeof data, "9c 00 %016x 0000 %04x 00 00", WHOLE, WHOLE_BLOCKS);
  went_well(w);
}

/* All of it, or one end. */
static void read_whole(worker *w) {
  uint8_t data[WHOLE_BLOCKS * BYTES];
  unsigned skip = draw(w, WHOLE_BLOCKS - 2), blocks = 2 + draw(w, WHOLE_BLOCKS - 1 - skip);
  rig_f(&w->rig, GT_DIR_IN, data, blocks * BYTES, "28 00 %08x 00 %04x 00", WHOLE + skip, blocks);
  if (went_well(w)) CHECK(all_are(data, blocks * BYTES, data[0]));
}

static void write_own(worker *w) {
  static __thread uint8_t data[64 * BYTES];
  unsigned at = draw(w, OWN_BLOCKS - 64), blocks = 1 + draw(w, 64);
  uint8_t value = (uint8_t)draw(w, 256);
  memset(data, value, sizeof data);
  rig_f(&w->rig, GT_DIR_OUT, data, blocks * BYTES, "2a %02x %08x 00 %04x 00", draw(w, 4) ? 0 : 8,
        OWN + w->number * OWN_BLOCKS + at, blocks);
  if (went_well(w)) memset(w->model + at, value, blocks);
}

static void unmap_own(worker *w) {
  unsigned at = draw(w, OWN_BLOCKS - 64), blocks = 1 + draw(w, 64);
  uint8_t list[24] = {0, 22, 0, 16};
  gt_store_be64(list + 8, OWN + w->number * OWN_BLOCKS + at);
  gt_store_be32(list + 16, blocks);
  rig_run(&w->rig, "42 00 00 00 00 00 00 00 18 00", GT_DIR_OUT, list, sizeof list);
  if (went_well(w)) memset(w->model + at, 0, blocks);
}

static void read_own(worker *w) {
  static __thread uint8_t data[64 * BYTES];
  unsigned at = draw(w, OWN_BLOCKS - 64);
  rig_f(&w->rig, GT_DIR_IN, data, sizeof data, "28 00 %08x 00 0040 00", OWN + w->number * OWN_BLOCKS + at);
  bool well = went_well(w);
  for (unsigned i = 0; well && i < 64; i++)
    CHECK(all_are(data + i * BYTES, BYTES, w->model[at + i]));
}

/* Write-through and back; a reset takes it back, too. */
static void change_mode(worker *w) {
  uint8_t list[24] = {0, 0, 0, 0, 0x08, 18, draw(w, 2) ? 0x04 : 0};
  rig_run(&w->rig, "15 10 00 00 18 00", GT_DIR_OUT, list, sizeof list);
  went_well(w);
  if (draw(w, 2)) gt_device_reset(w->arena->device);
}

static void step(worker *w) {
  static void (*const kinds[])(worker *) = {count_up,  or_in,    write_whole, read_whole, write_own,
                                            unmap_own, read_own, write_own,   count_up,   read_whole};
  unsigned kind = draw(w, 21);
  if (kind == 20)
    change_mode(w);
  else
    kinds[kind / 2](w);
}

/* Nobody ends this round but the SANITIZE of one of them. */
static void wipe(worker *w) {
  uint8_t list[5] = {1, 0, 0, 1, 0x5A};
  atomic_store(&held, true);
  if (w->round & 2)
    rig_run(&w->rig, "48 82 00 00 00 00 00 00 00 00", GT_DIR_NONE, NULL, 0);
  else
    rig_run(&w->rig, "48 81 00 00 00 00 00 00 05 00", GT_DIR_OUT, list, sizeof list);
  if (went_well(w)) w->wiped = true;
}

static void check_wiped(worker *w) {
  static uint8_t data[BLOCKS * BYTES];
  while (rig_none(&w->rig, "00 00 00 00 00 00") != GT_STATUS_GOOD)
    usleep(500);
  rig_f(&w->rig, GT_DIR_IN, data, sizeof data, "28 00 00000000 00 %04x 00", BLOCKS);
  GOOD(&w->rig);
  CHECK(all_are(data, sizeof data, w->round & 2 ? 0 : 0x5A));
  memset(data, 0, sizeof data); /* every round begins with zeros */
  rig_f(&w->rig, GT_DIR_OUT, data, sizeof data, "2a 00 00000000 00 %04x 00", BLOCKS);
  GOOD(&w->rig);
}

static void check_kept(worker *w) {
  static uint8_t data[BITS_BLOCKS * BYTES];
  worker *all = w - w->number;
  uint64_t ored = 0;
  for (int i = 0; i < THREADS; i++)
    ored |= all[i].ored;
  rig_f(&w->rig, GT_DIR_IN, data, BYTES, "28 00 %08x 00 0001 00", COUNTER);
  GOOD(&w->rig);
  CHECK_EQ(gt_load_be32(data), atomic_load(&w->arena->counted));
  rig_f(&w->rig, GT_DIR_IN, data, sizeof data, "28 00 %08x 00 %04x 00", BITS, BITS_BLOCKS);
  GOOD(&w->rig);
  size_t at = 0;
  while (at < sizeof data && data[at] == (uint8_t)(ored >> 8 * (at % 8)))
    at++;
  CHECK_EQ(at, sizeof data); /* the first byte that is not what all of them have put into it */
}

/* Rounds in pairs: one that ends in peace, and one that a SANITIZE ends. */
static void *work(void *argument) {
  worker *w = argument;
  for (w->round = 0; w->round < ROUNDS; w->round++) {
    bool ends_wiped = w->round & 1;
    unsigned begin = ends_wiped && w->number == w->round / 2 % THREADS ? STEPS / 2 : UINT32_MAX;
    for (unsigned i = 0; !w->wiped && (ends_wiped || i < STEPS); i++)
      i >= begin ? wipe(w) : step(w);
    pthread_barrier_wait(&w->arena->barrier);
    atomic_store(&held, false);
    if (w->number == 0) CHECK_EQ(atomic_load(&wrote_behind), 0);
    if (w->number == 0) rig_none(&w->rig, "00 00 00 00 00 00"); /* a unit attention of another's MODE SELECT */
    if (w->number == 0) ends_wiped ? check_wiped(w) : check_kept(w);
    if (w->number == 0 && ends_wiped) atomic_store(&w->arena->counted, 0);
    pthread_barrier_wait(&w->arena->barrier);
    if (!ends_wiped) continue;
    memset(w->model, 0, sizeof w->model);
    w->ored = 0;
    w->wiped = false;
    pthread_barrier_wait(&w->arena->barrier);
  }
  return NULL;
}

static void run(bool volatile_cache, unsigned seed) {
  static worker workers[THREADS];
  arena a = {0};
  gt_disk_options options = {.path = rig_path(volatile_cache ? "cached" : "plain"),
                             .block_bytes = BYTES,
                             .blocks = BLOCKS,
                             .thin = true,
                             .volatile_cache = volatile_cache};
  pthread_t threads[THREADS];
  memset(workers, 0, sizeof workers);
  CHECK_EQ(gt_disk_open(&options, &a.device, NULL, 0), 0);
  pthread_barrier_init(&a.barrier, NULL, THREADS);
  for (unsigned i = 0; i < THREADS; i++)
    workers[i] = (worker){.arena = &a, .rig = rig_attach(a.device), .number = i, .seed = seed + i};
  for (unsigned i = 0; i < THREADS; i++)
    pthread_create(&threads[i], NULL, work, &workers[i]);
  for (unsigned i = 0; i < THREADS; i++)
    pthread_join(threads[i], NULL);
  pthread_barrier_destroy(&a.barrier);
  gt_device_unref(a.device);
}

int main(int argc, char **argv) {
  unsigned seed = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 1;
  rig_begin();
  TEST("three nexuses that read, write, unmap, compare and write, or, write atomically, reset and sanitize at once");
  run(false, seed);
  TEST("the same in front of a volatile cache");
  run(true, seed);
  return rig_end();
}
