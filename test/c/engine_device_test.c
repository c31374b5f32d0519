/* The engine over the emulated devices, through the virtual transport: a backup over several cartridges, its restore,
 * faults, and, as `engine_device_test bench DIRECTORY [MiB]`, how fast that is. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device/device.h"
#include "engine_rig.h"

enum { TAPE_BLOCK = 262144 };

static gt_arena *arena;
static char dir[128];

typedef struct unit {
  gt_device *device;
  gt_lu *lu;
  uint8_t *bytes; /* disk: its file, mapped */
  uint64_t size;
  uint32_t block;
} unit;

static void must(int result, const char *what) {
  if (result >= 0) return;
  fprintf(stderr, "%s: %s\n", what, strerror(-result));
  exit(1);
}

/* A fresh nexus has a unit attention to tell; it is taken here, as a supervisor does. */
static void connect_unit(unit *u) {
  must(gt_virtual_open(u->device, &u->lu), "gt_virtual_open");
  for (int i = 0; i < 3; i++) {
    gt_io io = {.cdb = {GT_TEST_UNIT_READY}, .cdb_len = 6, .timeout_ms = 1000};
    gt_lu_execute(u->lu, &io);
  }
}

static unit disk_unit(const char *name, uint32_t block, uint64_t blocks, uint64_t seed) {
  char path[256], err[128];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  unit u = {.size = block * blocks, .block = block};
  must(gt_disk_open(&(gt_disk_options){.path = path, .block_bytes = block, .blocks = blocks}, &u.device, err,
                    sizeof err),
       "gt_disk_open");
  int fd = open(path, O_RDWR);
  u.bytes = mmap(NULL, u.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  for (uint64_t i = 0; seed && i + 8 <= u.size; i += 8) {
    uint64_t value = fake_random(&seed);
    memcpy(u.bytes + i, &value, 8);
  }
  connect_unit(&u);
  return u;
}

static unit tape_unit(const char *cartridge, uint64_t capacity) {
  char path[256], err[128];
  snprintf(path, sizeof path, "%s/%s.tap", dir, cartridge);
  unit u = {0};
  must(gt_tape_open(&(gt_tape_options){0}, &u.device, err, sizeof err), "gt_tape_open");
  must(gt_tape_load(u.device, &(gt_cartridge_options){.path = path, .capacity_bytes = capacity}, err, sizeof err),
       "gt_tape_load");
  connect_unit(&u);
  return u;
}

static void unit_close(unit *u) {
  gt_lu_close(u->lu);
  gt_device_unref(u->device);
  if (u->bytes) munmap(u->bytes, u->size);
}

static gt_copy_lu as_disk(const unit *u) {
  return (gt_copy_lu){.lu = u->lu, .block_bytes = u->block, .blocks = u->size / u->block};
}

static gt_copy_lu as_tape(const unit *u) { return (gt_copy_lu){.lu = u->lu, .type = 1}; }

static void copy_open(rig *r, gt_copy_lu source, gt_copy_lu destination) {
  rig_open(r, arena, 8 << 20, TAPE_BLOCK);
  r->options.lu_count = 2;
  r->lus[0] = source, r->lus[1] = destination;
}

static void add_extent(rig_program *p, const unit *disk, uint64_t lba, size_t bytes, uint32_t tag) {
  p->gather[p->gathers++] = (gt_seg){.op = GT_OP_EXTENT, .addr = lba, .bytes = bytes, .tag = tag};
  memcpy(p->stream + p->stream_len, disk->bytes + lba * disk->block, bytes);
  p->stream_len += bytes;
}

static void scattered_list(rig_program *p, const unit *disk, uint64_t seed) {
  rig_program_open(p);
  for (uint32_t tag = 1; tag <= 300; tag++) {
    rig_inline(p, "a header that is not of the member", 34, 0);
    for (size_t extents = 1 + fake_random(&seed) % 5; extents--;)
      add_extent(p, disk, fake_random(&seed) % (disk->size / disk->block / 2), 1 + fake_random(&seed) % 60000, tag);
  }
}

/* Backs p up over as many cartridges as it takes; returns how many. */
static unsigned backup(const rig_program *p, unit *disk, uint64_t capacity, size_t ends[], uint32_t crcs[]) {
  size_t at = 0;
  gt_digest_state digest = {0};
  for (unsigned volume = 0;; volume++) {
    char name[32];
    snprintf(name, sizeof name, "volume%u", volume);
    unit tape = tape_unit(name, capacity);
    rig_program rest;
    rig r;
    rig_cut(p, at, disk->block, &rest);
    rest.scatters = 0;
    rig_scatter(&rest, (gt_seg){.op = GT_OP_TAPE, .lu = 1, .bytes = UINT64_MAX});
    copy_open(&r, as_disk(disk), as_tape(&tape));
    r.options.stream_offset = at;
    r.options.digest = digest;
    r.options.checkpoint_bytes = 1 << 20;
    uint8_t result = rig_run(&r, &rest);
    CHECK(result == GT_RESULT_OK || result == GT_RESULT_VOLUME_FULL);
    if (result != GT_RESULT_OK && result != GT_RESULT_VOLUME_FULL) rig_say_done(&r);
    for (size_t i = 0; i < r.count; i++) {
      if (r.events[i].type == GT_EV_DIGEST) crcs[r.events[i].tag] = r.events[i].crc32c;
    }
    ends[volume] = at = r.done.stream_offset;
    digest = r.done.digest;
    rig_close(&r);
    rig_program_close(&rest);
    unit_close(&tape);
    if (result != GT_RESULT_VOLUME_FULL || volume == 30) return volume + 1;
  }
}

static void restore(const rig_program *p, unit *to, unsigned volumes, const size_t ends[], const uint32_t crcs[]) {
  gt_digest_state digest = {0};
  for (unsigned volume = 0; volume < volumes; volume++) {
    char name[32];
    snprintf(name, sizeof name, "volume%u", volume);
    unit tape = tape_unit(name, 0);
    size_t start = volume ? ends[volume - 1] : 0;
    rig_program q;
    rig r;
    rig_program_open(&q);
    q.gather[q.gathers++] = (gt_seg){.op = GT_OP_LOCATE};
    q.gather[q.gathers++] = (gt_seg){.op = GT_OP_TAPE, .bytes = ends[volume] - start};
    size_t first = start / to->block * to->block;
    rig_scatter(&q, (gt_seg){.op = GT_OP_EXTENT,
                             .lu = 1,
                             .addr = first / to->block,
                             .skip = (uint16_t)(start - first),
                             .bytes = ends[volume] - start,
                             .tag = 1});
    copy_open(&r, as_tape(&tape), as_disk(to));
    r.options.digest = digest;
    r.options.stream_offset = start;
    r.options.keep_member = true;
    CHECK_EQ(rig_run(&r, &q), GT_RESULT_OK);
    if (r.done.result) rig_say_done(&r);
    digest = r.done.digest;
    rig_close(&r);
    rig_program_close(&q);
    unit_close(&tape);
  }
  CHECK_EQ(digest.crc32c, gt_crc32c(0, p->stream, p->stream_len));
  CHECK(!memcmp(to->bytes, p->stream, p->stream_len));
  size_t at = 0;
  for (size_t i = 0; i < p->gathers;) {
    uint32_t tag = p->gather[i].tag, crc = 0;
    for (; i < p->gathers && p->gather[i].tag == tag; at += p->gather[i++].bytes)
      crc = gt_crc32c(crc, p->stream + at, p->gather[i].bytes);
    if (tag) CHECK_EQ(crcs[tag], crc);
  }
}

static void over_cartridges(void) {
  TEST("a list of scattered extents goes over as many cartridges as it takes, and comes back byte for byte");
  static const uint32_t blocks[] = {512, 4096};
  for (int i = 0; i < 2; i++) {
    unit disk = disk_unit("disk", blocks[i], (32 << 20) / blocks[i], 3), to = disk_unit("to", 4096, 16384, 0);
    size_t ends[32];
    static uint32_t crcs[512];
    rig_program p;
    scattered_list(&p, &disk, 5);
    unsigned volumes = backup(&p, &disk, i ? 0 : 6 << 20, ends, crcs);
    CHECK(i ? volumes == 1 : volumes > 3);
    CHECK_EQ(ends[volumes - 1], p.stream_len);
    restore(&p, &to, volumes, ends, crcs);
    rig_program_close(&p);
    unit_close(&disk);
    unit_close(&to);
    char command[256];
    snprintf(command, sizeof command, "rm -f %s/*", dir);
    CHECK_EQ(system(command), 0);
  }
}

static void faults(void) {
  TEST("faults of the emulated devices: mended where they can be, zero-filled where that is asked for");
  unit disk = disk_unit("disk", 512, 65536, 9), to = disk_unit("to", 512, 65536, 0);
  rig_program p;
  rig r;
  rig_program_open(&p);
  add_extent(&p, &disk, 100, 20 << 20, 1);
  rig_scatter(&p, (gt_seg){.op = GT_OP_EXTENT, .lu = 1, .addr = 7, .bytes = 20 << 20});
  const gt_fault read_faults[] = {
      {.opcode = GT_READ_16, .last = UINT64_MAX, .skip = 3, .count = 2, .status = GT_STATUS_BUSY},
      {.opcode = GT_READ_16, .last = UINT64_MAX, .skip = 7, .count = 1, .outcome = GT_TRANSPORT},
      {.opcode = GT_READ_16, .last = UINT64_MAX, .skip = 9, .count = 1, .status = 2, .key = 6, .asc = 0x29},
      {.opcode = GT_READ_16, .first = 5000, .last = 5002, .count = UINT32_MAX, .status = 2, .key = 3, .asc = 0x11},
  };
  const gt_fault write_faults[] = {
      {.opcode = GT_WRITE_16, .last = UINT64_MAX, .skip = 2, .count = 1, .outcome = GT_TIMED_OUT, .after = true},
      {.opcode = GT_WRITE_16, .last = UINT64_MAX, .skip = 5, .count = 2, .status = 2, .key = 0xb, .asc = 0x47},
  };
  for (size_t i = 0; i < 4; i++)
    gt_device_inject(disk.device, &read_faults[i]);
  for (size_t i = 0; i < 2; i++)
    gt_device_inject(to.device, &write_faults[i]);
  copy_open(&r, as_disk(&disk), as_disk(&to));
  r.options.zero_fill = true;
  CHECK_EQ(rig_run(&r, &p), GT_RESULT_OK);
  if (r.done.result) rig_say_done(&r);
  memset(p.stream + 4900 * 512, 0, 3 * 512);
  CHECK(!memcmp(to.bytes + 7 * 512, p.stream, p.stream_len));
  CHECK_EQ(r.stats.medium_errors, 3);
  const gt_event *lost = rig_find(&r, GT_EV_MEDIUM_ERROR, 0);
  CHECK(lost && lost->lba == 5000 && lost->blocks == 3 && lost->stream_offset == 4900 * 512);
  CHECK(r.stats.gather.retries >= 4 && r.stats.scatter.retries >= 3);
  rig_close(&r);
  rig_program_close(&p);
  unit_close(&disk);
  unit_close(&to);
}

/* Figures for people. */
static double cpu_seconds(void) {
  struct rusage use;
  getrusage(RUSAGE_SELF, &use);
  return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
         (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static void bench_run(const char *name, unit *from, gt_copy_lu to, uint64_t bytes, bool tape, uint32_t piece,
                      bool sha) {
  rig r;
  copy_open(&r, as_disk(from), to);
  r.options.ring_bytes = 32 << 20;
  r.options.sha256 = sha;
  CHECK_EQ(rig_start(&r), 0);
  uint64_t segs = piece ? bytes / piece : 1, size = piece ? piece : bytes, bad_index;
  gt_seg *gather = calloc(segs, sizeof *gather);
  for (uint64_t i = 0; i < segs; i++) {
    uint64_t where = piece ? i * 7919 % segs : 0; /* scattered, each extent once */
    gather[i] = (gt_seg){
        .op = GT_OP_EXTENT, .addr = where * (size / from->block), .bytes = size, .tag = 1 + (uint32_t)(i / 64)};
  }
  gt_seg scatter = {.op = tape ? GT_OP_TAPE : GT_OP_EXTENT, .lu = 1, .bytes = tape ? UINT64_MAX : bytes};
  double cpu = cpu_seconds();
  struct timespec a, b;
  clock_gettime(CLOCK_MONOTONIC, &a);
  CHECK_EQ(gt_copy_append(r.copy, gather, segs, &scatter, 1, NULL, 0, (size_t *)&bad_index), 0);
  gt_copy_finish(r.copy);
  CHECK_EQ(rig_wait(&r), GT_RESULT_OK);
  clock_gettime(CLOCK_MONOTONIC, &b);
  double seconds = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
  printf("%-34s %7.0f MB/s, CPU %.2f s per GB, tape waits %llu (%.0f ms), gather waits %.0f ms, scatter %.0f ms\n",
         name, (double)bytes / 1e6 / seconds, (cpu_seconds() - cpu) / ((double)bytes / 1e9),
         (unsigned long long)r.stats.tape_waits, (double)r.stats.tape_wait_ns / 1e6,
         (double)r.stats.gather.wait_ns / 1e6, (double)r.stats.scatter.wait_ns / 1e6);
  free(gather);
  rig_close(&r);
}

static void bench(uint64_t mib) {
  uint64_t bytes = mib << 20;
  unit from = disk_unit("from", 512, bytes / 512, 1), to = disk_unit("dest", 512, bytes / 512, 2);
  char path[256];
  for (int round = 0; round < 2; round++) {
    static const struct {
      const char *name;
      uint32_t piece;
      bool sha;
    } rows[] = {{"disk to tape", 0, false},
                {"disk to tape, SHA-256", 0, true},
                {"64 KiB extents to tape", 65536, false},
                {"16 KiB extents to tape", 16384, false}};
    for (size_t i = 0; i < 4; i++) {
      unit tape = tape_unit("bench", 0);
      bench_run(rows[i].name, &from, as_tape(&tape), bytes, true, rows[i].piece, rows[i].sha);
      unit_close(&tape);
      snprintf(path, sizeof path, "%s/bench.tap", dir);
      if (round || i) unlink(path);
    }
    bench_run("disk to disk", &from, as_disk(&to), bytes, false, 0, false);
  }
  unit_close(&from);
  unit_close(&to);
}

int main(int argc, char **argv) {
  CHECK_EQ(gt_arena_create(48 << 20, &arena), 0);
  bool benching = argc > 2 && !strcmp(argv[1], "bench");
  snprintf(dir, sizeof dir, "%s/gantry-engine-XXXXXX", benching ? argv[2] : "/tmp");
  if (!mkdtemp(dir)) return 1;
  if (benching) {
    bench(argc > 3 ? strtoull(argv[3], NULL, 0) : 1024);
  } else {
    over_cartridges();
    faults();
  }
  gt_arena_destroy(arena);
  char command[256];
  snprintf(command, sizeof command, "rm -rf %s", dir);
  CHECK_EQ(system(command), 0);
  return check_end();
}
