/* What is recorded of servers' commands, and that nobody waits for it. */
#include "plane/impl.h"

#include "plane_rig.h"

#define TUR "00 00 00 00 00 00"
#define READ_1 "28 00 00 00 00 10 00 00 01 00"
#define WRITE_1 "2a 00 00 00 00 10 00 00 01 00"
#define UNKNOWN "d0 00 00 00 00 00"

static gt_trace_record records[GT_TRACE_RECORDS];

static size_t take(gt_plane *plane, uint64_t lost_wanted) {
  uint64_t lost;
  size_t count = gt_plane_take_trace(plane, records, GT_TRACE_RECORDS, &lost);
  CHECK_EQ(lost, lost_wanted);
  return count;
}

static void what_is_recorded(gt_plane *plane) {
  front a, b;
  job j;
  uint8_t data[512] = {0};
  front_open(&a, plane);
  front_open(&b, plane);
  CHECK_EQ(gt_plane_set_path(plane, a.number, 0, 0, &everything), 0);
  CHECK_EQ(gt_plane_set_path(plane, a.number, 1, 1, &everything), 0);
  CHECK_EQ(gt_plane_set_path(plane, b.number, 0, 0, &everything), 0);

  TEST("nothing is recorded before anybody asked for it");
  JOB_FAILS(&a, 0, TUR, GT_KEY_UNIT_ATTENTION, 0x2900);
  JOB_FAILS(&b, 0, TUR, GT_KEY_UNIT_ATTENTION, 0x2900);
  CHECK_EQ(take(plane, 0), 0);

  TEST("of a nexus: every command, also those that the plane refuses or answers itself");
  CHECK_EQ(gt_plane_trace(plane, &(gt_trace_filter){a.number, UINT32_MAX}, 1), 0);
  CHECK_EQ(job_run(&j, &a, 0, WRITE_1, GT_DIR_OUT, data, 512), GT_STATUS_GOOD);
  JOB_FAILS(&a, 1, TUR, GT_KEY_UNIT_ATTENTION, 0x2900);
  JOB_FAILS(&a, 0, UNKNOWN, GT_KEY_ILLEGAL_REQUEST, 0x2000);
  JOB_FAILS(&a, 9, TUR, GT_KEY_ILLEGAL_REQUEST, 0x2500);
  JOB_GOOD(&b, 0, TUR);
  CHECK_EQ(take(plane, 0), 4);
  CHECK_EQ(records[0].nexus, a.number);
  CHECK_EQ(records[0].unit, 0);
  CHECK_EQ(records[0].cdb[0], GT_WRITE_10);
  CHECK_EQ(records[0].cdb_len, 10);
  CHECK_EQ(records[0].dir, GT_DIR_OUT);
  CHECK_EQ(records[0].data_len, 512);
  CHECK_EQ(records[0].resid, 0);
  CHECK_EQ(records[0].status, GT_STATUS_GOOD);
  CHECK(records[0].began_ns != 0 && records[0].ended_ns >= records[0].began_ns);
  CHECK_EQ(records[1].lun, 1);
  CHECK_EQ(records[1].status, GT_STATUS_CHECK_CONDITION);
  gt_sense sense;
  CHECK(gt_sense_parse(records[1].sense, records[1].sense_len, &sense));
  CHECK_EQ(sense.asc, 0x2900);
  CHECK_EQ(records[2].cdb[0], 0xD0);
  CHECK_EQ(records[3].unit, UINT32_MAX);

  TEST("of a unit: whoever sends to it, and nothing to another");
  CHECK_EQ(gt_plane_trace(plane, &(gt_trace_filter){UINT32_MAX, 0}, 1), 0);
  JOB_GOOD(&a, 0, TUR);
  JOB_GOOD(&a, 1, TUR);
  JOB_GOOD(&b, 0, TUR);
  CHECK_EQ(take(plane, 0), 2);
  CHECK_EQ(records[0].nexus, a.number);
  CHECK_EQ(records[1].nexus, b.number);

  TEST("several filters; none again is none, and what was recorded stays");
  gt_trace_filter two[] = {{b.number, UINT32_MAX}, {a.number, 1}};
  CHECK_EQ(gt_plane_trace(plane, two, 2), 0);
  JOB_GOOD(&a, 0, TUR);
  JOB_GOOD(&a, 1, TUR);
  JOB_GOOD(&b, 0, TUR);
  CHECK_EQ(gt_plane_trace(plane, NULL, 0), 0);
  JOB_GOOD(&b, 0, TUR);
  CHECK_EQ(take(plane, 0), 2);
  CHECK_EQ(gt_plane_trace(plane, two, GT_TRACE_FILTERS + 1), -EINVAL);
  front_close(&a);
  front_close(&b);
}

static void what_is_lost(gt_plane *plane) {
  TEST("what there is no room for is counted, the oldest stay, and after a take there is room again");
  gt_trace_record record = {.began_ns = 1};
  for (unsigned i = 0; i < GT_TRACE_RECORDS + 7; i++) {
    record.lun = i;
    gt_trace_put(&plane->trace.queue, &record);
  }
  CHECK_EQ(take(plane, 7), GT_TRACE_RECORDS);
  CHECK_EQ(records[0].lun, 0);
  CHECK_EQ(records[GT_TRACE_RECORDS - 1].lun, GT_TRACE_RECORDS - 1);
  gt_trace_put(&plane->trace.queue, &record);
  CHECK_EQ(take(plane, 0), 1);
}

enum { WRITERS = 4, EACH = 20000 };
typedef struct writer {
  gt_plane *plane;
  uint32_t number;
  pthread_t thread;
} writer;

static void *write_all(void *argument) {
  writer *w = argument;
  for (uint32_t i = 1; i <= EACH; i++) {
    gt_trace_record record = {.nexus = w->number, .lun = i, .data_len = i ^ w->number};
    gt_trace_put(&w->plane->trace.queue, &record);
  }
  return NULL;
}

static void many_writers(gt_plane *plane) {
  TEST("many write at once: what is taken is whole and in order for each, and nothing is lost that is not counted");
  writer writers[WRITERS];
  uint32_t last[WRITERS] = {0};
  uint64_t taken = 0, lost_all = 0;
  for (uint32_t i = 0; i < WRITERS; i++) {
    writers[i] = (writer){.plane = plane, .number = i};
    CHECK_EQ(pthread_create(&writers[i].thread, NULL, write_all, &writers[i]), 0);
  }
  while (taken + lost_all < (uint64_t)WRITERS * EACH) {
    uint64_t lost;
    size_t count = gt_plane_take_trace(plane, records, 64, &lost);
    lost_all += lost;
    taken += count;
    for (size_t i = 0; i < count; i++) {
      const gt_trace_record *record = &records[i];
      CHECK(record->nexus < WRITERS && record->lun > last[record->nexus]);
      CHECK_EQ(record->data_len, record->lun ^ record->nexus);
      last[record->nexus] = record->lun;
    }
  }
  for (uint32_t i = 0; i < WRITERS; i++)
    pthread_join(writers[i].thread, NULL);
  CHECK_EQ(take(plane, 0), 0);
  CHECK_EQ(taken + lost_all, (uint64_t)WRITERS * EACH);
}

int main(void) {
  rig_begin();
  gt_plane *plane = plane_open_with(0, NULL, NULL);
  for (uint32_t unit = 0; unit < 2; unit++) {
    gt_device *disk = plane_disk(unit ? "one" : "zero");
    CHECK_EQ(gt_plane_add_device(plane, unit, disk, unit == 0), 0);
    gt_device_unref(disk);
  }
  what_is_recorded(plane);
  what_is_lost(plane);
  many_writers(plane);
  gt_plane_close(plane);
  return rig_end();
}
