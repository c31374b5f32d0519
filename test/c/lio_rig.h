/* What the tests of the kernel target's front end share: a plane with a disk and a tape drive, and rings to them. */
#ifndef LIO_RIG_H
#define LIO_RIG_H

#include "lio_fake.h"
#include "plane_rig.h"

enum { DISK = 3, TAPE = 4 };
#define TUR "00 00 00 00 00 00"
#define READ_1 "88 00 00 00 00 00 00 00 00 08 00 00 00 01 00 00"
#define WRITE_1 "8a 00 00 00 00 00 00 00 00 08 00 00 00 01 00 00"

typedef struct bench {
  gt_plane *plane;
  gt_lio *lio;
  gt_device *disk, *tape;
  uint32_t nexus;
  home told;
} bench;

static inline void bench_open(bench *b, bool inline_ok, gt_lio_options options) {
  static int number;
  char name[32];
  *b = (bench){0};
  home_init(&b->told);
  b->plane = plane_open_with(60000, NULL, NULL);
  snprintf(name, sizeof name, "lio-%d.img", ++number);
  b->disk = plane_disk(name);
  CHECK_EQ(gt_plane_add_device(b->plane, DISK, b->disk, inline_ok), 0);
  CHECK_EQ(gt_tape_open(&(gt_tape_options){0}, &b->tape, NULL, 0), 0);
  snprintf(name, sizeof name, "lio-%d.tap", number);
  CHECK_EQ(gt_tape_load(b->tape, &(gt_cartridge_options){.path = rig_path(name)}, NULL, 0), 0);
  CHECK_EQ(gt_plane_add_device(b->plane, TAPE, b->tape, false), 0);
  options.plane = b->plane;
  options.notify = home_wake;
  options.context = &b->told;
  CHECK_EQ(gt_lio_open(&options, &b->lio, NULL, 0), 0);
  CHECK_EQ(gt_lio_open_nexus(b->lio, &b->nexus), 0);
  CHECK_EQ(gt_plane_set_path(b->plane, b->nexus, 0, DISK, &everything), 0);
  CHECK_EQ(gt_plane_set_path(b->plane, b->nexus, 1, TAPE, &everything), 0);
}

static inline void bench_close(bench *b) {
  gt_lio_close(b->lio);
  gt_plane_close(b->plane);
  gt_device_unref(b->disk);
  gt_device_unref(b->tape);
}

static inline uint32_t bench_attach(bench *b, const fake *k, uint32_t lun) {
  gt_lio_ends ends = fake_ends(k);
  char sentence[256] = "";
  uint32_t ring = 0;
  CHECK_EQ(gt_lio_attach(b->lio, b->nexus, lun, lun == 1, &ends, &ring, sentence, sizeof sentence), 0);
  return ring;
}

/* A path begins with a unit attention, a cartridge with another. */
static inline void bench_quiet(fake *k) {
  for (uint16_t id = 500; id < 508 && fake_run(k, id, TUR, 0, 0)->status != GT_STATUS_GOOD; id++)
    continue;
}

static inline gt_lio_event bench_event(bench *b) {
  gt_lio_event event;
  while (!gt_lio_take(b->lio, &event, 1))
    home_wait(&b->told);
  return event;
}

static inline void bench_slow(gt_device *device, uint16_t opcode, uint32_t ms) {
  CHECK_EQ(gt_device_inject(device, &(gt_fault){.opcode = opcode, .count = 1, .last = UINT64_MAX, .delay_ms = ms}), 0);
}

#endif
