/* Nanoseconds that the gate costs: a command through the plane (a verdict with a time, one of 10,000 paths) against the
 * same given to the device itself, alternating; medians. Not a test: it says, and judges nothing. */
#include "plane_rig.h"

enum { ROUNDS = 21, COMMANDS = 200000, FRONTS = 1000, LUNS = 10 };

static const uint8_t read_4k[16] = {GT_READ_10, 0, 0, 0, 0, 0, 0, 0, 1, 0}, ready[16] = {GT_TEST_UNIT_READY};
static uint8_t data[4096];

static void ignore(gt_task *task) { (void)task; }

static double direct(gt_device *device, int nexus, const uint8_t *cdb, uint8_t length) {
  gt_io io = {.cdb_len = length, .dir = GT_DIR_IN, .data = data, .data_len = sizeof data};
  memcpy(io.cdb, cdb, 16);
  uint64_t begun_ns = rig_ns();
  for (int i = 0; i < COMMANDS; i++)
    gt_device_execute(device, nexus, &io);
  return (double)(rig_ns() - begun_ns) / COMMANDS;
}

static double through(front *f, const uint8_t *cdb) {
  gt_task task = {.attribute = 1, .answered = ignore};
  task.io = (gt_io){.cdb_len = 16, .dir = GT_DIR_IN, .data = data, .data_len = sizeof data};
  memcpy(task.io.cdb, cdb, 16);
  uint64_t begun_ns = rig_ns();
  for (int i = 0; i < COMMANDS; i++) {
    if (gt_task_admit(f->nexus, &task) == GT_ADMIT_ANSWERED) abort();
    gt_task_start(&task);
  }
  return (double)(rig_ns() - begun_ns) / COMMANDS;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void compare(const char *name, front *f, gt_device *device, int nexus, const uint8_t *cdb, uint8_t length) {
  double bare[ROUNDS], gated[ROUNDS];
  for (int i = 0; i < ROUNDS; i++) {
    bare[i] = direct(device, nexus, cdb, length);
    gated[i] = through(f, cdb);
  }
  qsort(bare, ROUNDS, sizeof bare[0], ascending);
  qsort(gated, ROUNDS, sizeof gated[0], ascending);
  printf("%-18s device %6.1f ns, through the plane %6.1f ns\n", name, bare[ROUNDS / 2], gated[ROUNDS / 2]);
}

int main(void) {
  static front fronts[FRONTS];
  gt_device *device = NULL;
  rig_begin();
  gt_plane *plane = plane_open_with(0, NULL, NULL);
  gt_disk_options options = {.path = rig_path("bench.img"), .block_bytes = 4096, .blocks = 8192};
  CHECK_EQ(gt_disk_open(&options, &device, NULL, 0), 0);
  CHECK_EQ(gt_plane_add_device(plane, 0, device, true), 0);
  gt_verdict verdict = everything;
  verdict.expires_ns = rig_ns() + 3600000000000u;
  for (int i = 0; i < FRONTS; i++) {
    front_open(&fronts[i], plane);
    for (uint32_t lun = 0; lun < LUNS; lun++)
      CHECK_EQ(gt_plane_set_path(plane, fronts[i].number, lun, 0, &verdict), 0);
  }
  job first;
  job_none(&first, &fronts[0], 0, "00 00 00 00 00 00");
  int nexus = gt_device_attach(device);
  direct(device, nexus, ready, 6);
  compare("TEST UNIT READY", &fronts[0], device, nexus, ready, 6);
  compare("READ(10) of 4 KiB", &fronts[0], device, nexus, read_4k, 10);
  gt_device_detach(device, nexus);
  gt_device_unref(device);
  for (int i = 0; i < FRONTS; i++)
    front_close(&fronts[i]);
  gt_plane_close(plane);
  return rig_end();
}
