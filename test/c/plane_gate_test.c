/* The questions that the plane asks of each command, and what the refused see. */
#include "plane_rig.h"

#define TUR "00 00 00 00 00 00"
#define READ_1 "28 00 00 00 00 00 00 00 01 00"
#define WRITE_1 "2a 00 00 00 00 00 00 00 01 00"

static void no_path(gt_plane *plane) {
  front f;
  job j;
  uint8_t data[64];
  front_open(&f, plane);
  TEST("a LUN without path answers LOGICAL UNIT NOT SUPPORTED, and INQUIRY with qualifier 011b and type 1Fh");
  JOB_FAILS(&f, 0, TUR, GT_KEY_ILLEGAL_REQUEST, 0x2500);
  JOB_FAILS(&f, 255, READ_1, GT_KEY_ILLEGAL_REQUEST, 0x2500);
  JOB_FAILS(&f, UINT32_MAX, READ_1, GT_KEY_ILLEGAL_REQUEST, 0x2500);
  CHECK_EQ(job_run(&j, &f, 3, "12 00 00 00 24 00", GT_DIR_IN, data, 36), GT_STATUS_GOOD);
  CHECK_EQ(data[0], 0x7F);
  TEST("REQUEST SENSE there has LOGICAL UNIT NOT SUPPORTED in its data");
  CHECK_EQ(job_run(&j, &f, 3, "03 00 00 00 12 00", GT_DIR_IN, data, 18), GT_STATUS_GOOD);
  CHECK_EQ(data[2], GT_KEY_ILLEGAL_REQUEST);
  CHECK_EQ(gt_load_be16(data + 12), 0x2500);
  TEST("REPORT LUNS to LUN 0 without path is an empty list; to another it is not supported");
  CHECK_EQ(job_run(&j, &f, 0, "a0 00 00 00 00 00 00 00 00 40 00 00", GT_DIR_IN, data, 64), GT_STATUS_GOOD);
  CHECK_EQ(gt_load_be32(data), 0);
  CHECK_EQ(j.task.io.resid, 56);
  JOB_FAILS(&f, 1, "a0 00 00 00 00 00 00 00 00 40 00 00", GT_KEY_ILLEGAL_REQUEST, 0x2500);
  TEST("refusals are counted per nexus, LUN and reason, and taken once");
  JOB_FAILS(&f, 0, TUR, GT_KEY_ILLEGAL_REQUEST, 0x2500);
  gt_note notes[16];
  size_t count = gt_plane_take_notes(plane, notes, 16);
  bool seen = false;
  for (size_t i = 0; i < count; i++) {
    if (notes[i].kind != GT_NOTE_REFUSED || notes[i].lun != 0) continue;
    CHECK_EQ(notes[i].nexus, f.number);
    CHECK_EQ(notes[i].why, GT_NO_PATH);
    CHECK_EQ(notes[i].count, 2);
    seen = true;
  }
  CHECK(seen);
  CHECK_EQ(gt_plane_take_notes(plane, notes, 16), 0);
  front_close(&f);
}

static void verdicts(gt_plane *plane) {
  front f;
  job j;
  uint8_t data[1024];
  front_open(&f, plane);
  gt_verdict v = everything;
  CHECK_EQ(gt_plane_set_path(plane, f.number, 2, 0, &v), 0);
  CHECK_EQ(gt_plane_set_path(plane, f.number, 2, 9, &v), -ENOENT);
  CHECK_EQ(gt_plane_set_path(plane, f.number + 1024, 2, 0, &v), -ENOENT);
  TEST("a new path begins with the unit attention of a new nexus, told once");
  CHECK_EQ(job_run(&j, &f, 2, "12 00 00 00 24 00", GT_DIR_IN, data, 36), GT_STATUS_GOOD);
  CHECK_EQ(data[0], GT_TYPE_DISK);
  JOB_FAILS(&f, 2, READ_1, GT_KEY_UNIT_ATTENTION, 0x2900);
  JOB_GOOD(&f, 2, TUR);
  CHECK_EQ(job_run(&j, &f, 2, READ_1, GT_DIR_IN, data, 512), GT_STATUS_GOOD);
  CHECK_EQ(j.task.io.resid, 0);
  TEST("an opcode without a row is refused, and so is a service action without one");
  JOB_FAILS(&f, 2, "c1 00 00 00 00 00", GT_KEY_ILLEGAL_REQUEST, GT_ASC_INVALID_OPCODE);
  JOB_FAILS(&f, 2, "9e 1f 00 00 00 00 00 00 00 00 00 00 00 00 00 00", GT_KEY_ILLEGAL_REQUEST, 0x2400);
  TEST("classes that the keys do not admit: DATA PROTECT for writes, NO ACCESS RIGHTS for others");
  v.gate = ALL_CLASSES & ~(1 << C_WRITE) & ~(1 << C_MODE);
  CHECK_EQ(gt_plane_set_path(plane, f.number, 2, 0, &v), 0);
  CHECK_EQ(job_run(&j, &f, 2, WRITE_1, GT_DIR_OUT, data, 512), GT_STATUS_CHECK_CONDITION);
  CHECK(job_is(&j, GT_KEY_DATA_PROTECT, GT_ASC_WRITE_PROTECTED));
  JOB_FAILS(&f, 2, "15 10 00 00 00 00", GT_KEY_ILLEGAL_REQUEST, 0x2002);
  TEST("a write-protected path refuses writes whatever its keys, and MODE SENSE 6 and 10 show WP");
  v = everything;
  CHECK_EQ(job_run(&j, &f, 2, "1a 00 3f 00 ff 00", GT_DIR_IN, data, 255), GT_STATUS_GOOD);
  CHECK_EQ(data[2] & 0x80, 0);
  v.write_protected = true;
  CHECK_EQ(gt_plane_set_path(plane, f.number, 2, 0, &v), 0);
  CHECK_EQ(job_run(&j, &f, 2, WRITE_1, GT_DIR_OUT, data, 512), GT_STATUS_CHECK_CONDITION);
  CHECK(job_is(&j, GT_KEY_DATA_PROTECT, GT_ASC_WRITE_PROTECTED));
  CHECK_EQ(job_run(&j, &f, 2, "1a 00 3f 00 ff 00", GT_DIR_IN, data, 255), GT_STATUS_GOOD);
  CHECK_EQ(data[2] & 0x80, 0x80);
  CHECK_EQ(job_run(&j, &f, 2, "5a 00 3f 00 00 00 00 00 ff 00", GT_DIR_IN, data, 255), GT_STATUS_GOOD);
  CHECK_EQ(data[3] & 0x80, 0x80);
  data[2] = 0;
  CHECK_EQ(job_run(&j, &f, 2, "1a 00 3f 00 02 00", GT_DIR_IN, data, 2), GT_STATUS_GOOD);
  CHECK_EQ(data[2], 0); /* not a byte behind what was asked for */
  TEST("classes that a reservation forbids: RESERVATION CONFLICT; INQUIRY never");
  v = everything;
  v.reservation = 0;
  CHECK_EQ(gt_plane_set_path(plane, f.number, 2, 0, &v), 0);
  CHECK_EQ(job_none(&j, &f, 2, READ_1), GT_STATUS_RESERVATION_CONFLICT);
  TEST("RESERVATION CONFLICT goes before a unit attention, which waits; a reset goes before both (SAM-5 5.3.3)");
  CHECK_EQ(gt_plane_attention(plane, f.number, 2, 0x2A, 0x05), 0);
  CHECK_EQ(job_none(&j, &f, 2, READ_1), GT_STATUS_RESERVATION_CONFLICT);
  CHECK_EQ(gt_plane_attention(plane, f.number, 2, 0x29, 0x03), 0);
  JOB_FAILS(&f, 2, READ_1, GT_KEY_UNIT_ATTENTION, 0x2903);
  CHECK_EQ(job_none(&j, &f, 2, READ_1), GT_STATUS_RESERVATION_CONFLICT);
  CHECK_EQ(gt_plane_set_path(plane, f.number, 2, 0, &everything), 0);
  JOB_FAILS(&f, 2, TUR, GT_KEY_UNIT_ATTENTION, 0x2A05);
  CHECK_EQ(gt_plane_set_path(plane, f.number, 2, 0, &v), 0);
  CHECK_EQ(job_run(&j, &f, 2, "12 00 00 00 24 00", GT_DIR_IN, data, 36), GT_STATUS_GOOD);
  TEST("an expired verdict is as none; a gate of nothing and an invisible path too");
  v = everything;
  v.expires_ns = rig_ns() - 1;
  CHECK_EQ(gt_plane_set_path(plane, f.number, 2, 0, &v), 0);
  JOB_FAILS(&f, 2, TUR, GT_KEY_ILLEGAL_REQUEST, 0x2500);
  CHECK_EQ(job_run(&j, &f, 2, "12 00 00 00 24 00", GT_DIR_IN, data, 36), GT_STATUS_GOOD);
  CHECK_EQ(data[0], 0x7F);
  v.expires_ns = rig_ns() + 3600000000000u;
  CHECK_EQ(gt_plane_set_path(plane, f.number, 2, 0, &v), 0);
  JOB_GOOD(&f, 2, TUR);
  v = (gt_verdict){.gate = 0, .reservation = ALL_CLASSES, .visible = true};
  CHECK_EQ(gt_plane_set_path(plane, f.number, 2, 0, &v), 0);
  JOB_FAILS(&f, 2, TUR, GT_KEY_ILLEGAL_REQUEST, 0x2500);
  v = (gt_verdict){.gate = ALL_CLASSES, .reservation = ALL_CLASSES};
  CHECK_EQ(gt_plane_set_path(plane, f.number, 2, 0, &v), 0);
  JOB_FAILS(&f, 2, TUR, GT_KEY_ILLEGAL_REQUEST, 0x2500);
  CHECK_EQ(job_run(&j, &f, 0, "a0 00 00 00 00 00 00 00 01 00 00 00", GT_DIR_IN, data, 256), GT_STATUS_GOOD);
  CHECK_EQ(gt_load_be32(data), 0);
  TEST("a write judged good is judged again when its data is there");
  v = everything;
  CHECK_EQ(gt_plane_set_path(plane, f.number, 2, 0, &v), 0);
  memset(data, 0xAB, 512);
  job_fill(&j, &f, 2, WRITE_1, GT_DIR_OUT, data, 512);
  CHECK_EQ(gt_task_admit(f.nexus, &j.task), GT_ADMIT_GO);
  v.write_protected = true;
  CHECK_EQ(gt_plane_set_path(plane, f.number, 2, 0, &v), 0);
  gt_task_start(&j.task);
  CHECK_EQ(j.answers, 1);
  CHECK(job_is(&j, GT_KEY_DATA_PROTECT, GT_ASC_WRITE_PROTECTED));
  CHECK_EQ(job_run(&j, &f, 2, READ_1, GT_DIR_IN, data, 512), GT_STATUS_GOOD);
  CHECK_EQ(data[0], 0);
  TEST("a cleared path is none");
  CHECK_EQ(gt_plane_clear_path(plane, f.number, 2), 0);
  JOB_FAILS(&f, 2, TUR, GT_KEY_ILLEGAL_REQUEST, 0x2500);
  CHECK_EQ(gt_plane_clear_path(plane, f.number, 2), -ENOENT);
  front_close(&f);
}

static void luns_and_attentions(gt_plane *plane) {
  front f;
  job j;
  uint8_t data[64];
  front_open(&f, plane);
  for (uint32_t lun = 0; lun < 3; lun++)
    CHECK_EQ(gt_plane_set_path(plane, f.number, lun * 7, 0, &everything), 0);
  TEST("REPORT LUNS lists the paths, and takes the attention that the list has changed");
  CHECK_EQ(gt_plane_attention(plane, f.number, 7, 0x3F, 0x0E), 0);
  CHECK_EQ(job_run(&j, &f, 0, "a0 00 00 00 00 00 00 00 00 40 00 00", GT_DIR_IN, data, 64), GT_STATUS_GOOD);
  CHECK_EQ(gt_load_be32(data), 24);
  CHECK(data[9] == 0 && data[17] == 7 && data[25] == 14);
  JOB_FAILS(&f, 7, TUR, GT_KEY_UNIT_ATTENTION, 0x2900);
  JOB_GOOD(&f, 7, TUR);
  JOB_FAILS(&f, 0, "a0 00 03 00 00 00 00 00 00 40 00 00", GT_KEY_ILLEGAL_REQUEST, 0x2400);
  JOB_FAILS(&f, 0, "a0 00 00 00 00 00 00 00 00 0f 00 00", GT_KEY_ILLEGAL_REQUEST, 0x2400);
  TEST("attentions are told once each, a reset before others, the same one not twice");
  CHECK_EQ(gt_plane_attention(plane, f.number, 7, 0x2A, 0x03), 0);
  CHECK_EQ(gt_plane_attention(plane, f.number, 7, 0x2A, 0x04), 0);
  CHECK_EQ(gt_plane_attention(plane, f.number, 7, 0x2A, 0x03), 0);
  CHECK_EQ(gt_plane_attention(plane, f.number, 7, 0x29, 0x07), 0);
  CHECK_EQ(gt_plane_attention(plane, f.number, 7, 0x29, 0x03), 0);
  JOB_FAILS(&f, 7, TUR, GT_KEY_UNIT_ATTENTION, 0x2903);
  JOB_FAILS(&f, 7, TUR, GT_KEY_UNIT_ATTENTION, 0x2907);
  CHECK_EQ(job_run(&j, &f, 7, "03 00 00 00 12 00", GT_DIR_IN, data, 18), GT_STATUS_GOOD);
  CHECK(data[2] == GT_KEY_UNIT_ATTENTION && gt_load_be16(data + 12) == 0x2A03);
  JOB_FAILS(&f, 7, TUR, GT_KEY_UNIT_ATTENTION, 0x2A04);
  JOB_GOOD(&f, 7, TUR);
  TEST("one attention too many replaces the last by 2Fh/00h");
  for (uint8_t i = 0; i < 9; i++)
    CHECK_EQ(gt_plane_attention(plane, f.number, 7, 0x80, i), 0);
  for (uint16_t i = 0; i < 7; i++)
    JOB_FAILS(&f, 7, TUR, GT_KEY_UNIT_ATTENTION, 0x8000 + i);
  JOB_FAILS(&f, 7, TUR, GT_KEY_UNIT_ATTENTION, 0x2F00);
  JOB_GOOD(&f, 7, TUR);
  TEST("what one nexus changes at an emulated device the other hears of, once");
  front g;
  front_open(&g, plane);
  CHECK_EQ(gt_plane_set_path(plane, g.number, 0, 0, &everything), 0);
  JOB_FAILS(&g, 0, TUR, GT_KEY_UNIT_ATTENTION, 0x2900);
  JOB_GOOD(&g, 0, TUR);
  uint8_t list[16] = {0, 0, 0, 0, 0x0A, 0x0A, 0x04};
  CHECK_EQ(job_run(&j, &f, 7, "1a 00 0a 00 ff 00", GT_DIR_IN, data, 64), GT_STATUS_GOOD);
  memcpy(list + 4, data + 12, 12);
  list[6] ^= 0x04; /* D_SENSE */
  CHECK_EQ(job_run(&j, &f, 7, "15 10 00 00 10 00", GT_DIR_OUT, list, 16), GT_STATUS_GOOD);
  JOB_FAILS(&g, 0, TUR, GT_KEY_UNIT_ATTENTION, 0x2A01);
  JOB_GOOD(&g, 0, TUR);
  JOB_GOOD(&f, 7, TUR);
  list[6] ^= 0x04;
  CHECK_EQ(job_run(&j, &f, 7, "15 10 00 00 10 00", GT_DIR_OUT, list, 16), GT_STATUS_GOOD);
  TEST("an attribute that there is not is an INVALID MESSAGE");
  job_fill(&j, &g, 0, TUR, GT_DIR_NONE, NULL, 0);
  j.task.attribute = 4;
  job_send(&j);
  CHECK(job_is(&j, GT_KEY_UNIT_ATTENTION, 0x2A01));
  job_fill(&j, &g, 0, TUR, GT_DIR_NONE, NULL, 0);
  j.task.attribute = 4;
  job_send(&j);
  CHECK(job_is(&j, GT_KEY_ILLEGAL_REQUEST, 0x4900));
  front_close(&g);
  front_close(&f);
}

static void writes(gt_plane *plane) {
  front f;
  job j;
  static uint8_t data[4096];
  gt_extent got[300];
  front_open(&f, plane);
  CHECK_EQ(gt_plane_set_path(plane, f.number, 0, 0, &everything), 0);
  JOB_FAILS(&f, 0, TUR, GT_KEY_UNIT_ATTENTION, 0x2900);
  TEST("extents written are noted from the first asking on, joined where they touch");
  CHECK_EQ(job_run(&j, &f, 0, "2a 00 00 00 00 63 00 00 01 00", GT_DIR_OUT, data, 512), GT_STATUS_GOOD);
  CHECK_EQ(gt_plane_take_writes(plane, 0, got, 300), 0);
  CHECK_EQ(job_run(&j, &f, 0, "2a 00 00 00 00 10 00 00 04 00", GT_DIR_OUT, data, 2048), GT_STATUS_GOOD);
  CHECK_EQ(job_run(&j, &f, 0, "2a 00 00 00 00 18 00 00 04 00", GT_DIR_OUT, data, 2048), GT_STATUS_GOOD);
  CHECK_EQ(job_run(&j, &f, 0, "2a 00 00 00 00 14 00 00 02 00", GT_DIR_OUT, data, 1024), GT_STATUS_GOOD);
  CHECK_EQ(job_run(&j, &f, 0, "8a 00 00 00 00 00 00 00 00 05 00 00 00 01 00 00", GT_DIR_OUT, data, 512), 0);
  CHECK_EQ(job_run(&j, &f, 0, READ_1, GT_DIR_IN, data, 512), GT_STATUS_GOOD);
  uint8_t unmap[24] = {0, 22, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 8};
  CHECK_EQ(job_run(&j, &f, 0, "42 00 00 00 00 00 00 00 18 00", GT_DIR_OUT, unmap, 24), GT_STATUS_GOOD);
  CHECK_EQ(gt_plane_take_writes(plane, 0, got, 300), 4);
  CHECK(got[0].lba == 5 && got[0].blocks == 1);
  CHECK(got[1].lba == 0x10 && got[1].blocks == 6);
  CHECK(got[2].lba == 0x18 && got[2].blocks == 4);
  CHECK(got[3].lba == 0x40 && got[3].blocks == 8);
  CHECK_EQ(gt_plane_take_writes(plane, 0, got, 300), 0);
  TEST("more extents than there is room for are joined over gaps, and none is lost");
  for (unsigned i = 0; i < 1000; i++) {
    unsigned lba = i * 7919 % 1000 * 8;
    job_fill(&j, &f, 0, "2a 00 00 00 00 00 00 00 01 00", GT_DIR_OUT, data, 512);
    gt_store_be32(j.task.io.cdb + 2, lba);
    job_send(&j);
    job_wait(&j);
    CHECK_EQ(j.task.io.status, GT_STATUS_GOOD);
  }
  size_t count = gt_plane_take_writes(plane, 0, got, 300);
  CHECK(count > 1 && count <= 256);
  for (unsigned i = 0; i < 1000; i++) {
    bool found = false;
    for (size_t k = 0; k < count; k++)
      found |= got[k].lba <= i * 8 && i * 8 - got[k].lba < got[k].blocks;
    CHECK(found);
  }
  for (size_t k = 1; k < count; k++)
    CHECK(got[k - 1].lba + got[k - 1].blocks < got[k].lba);
  TEST("the counters of a path");
  gt_path_stats stats;
  CHECK_EQ(gt_plane_path_stats(plane, f.number, 0, &stats), 0);
  CHECK_EQ(stats.commands, 1007);
  CHECK_EQ(stats.bytes_out, 512 * 1000 + 512 + 2048 * 2 + 1024 + 512 + 24);
  CHECK_EQ(stats.bytes_in, 512);
  CHECK_EQ(stats.outstanding, 0);
  front_close(&f);
}

static void wrong_tables(gt_plane *plane) {
  TEST("a row that is wrong, or there twice, is -EINVAL");
  gt_class_row twice[] = {{0x00, -1, 0, GT_FORWARD, 0}, {0x5F, 1, 0, GT_PUNT, 0}, {0x00, -1, 1, GT_FORWARD, 0}};
  CHECK_EQ(gt_plane_classes(plane, twice, 3), -EINVAL);
  twice[2] = (gt_class_row){0x5F, -1, 0, GT_PUNT, 0};
  CHECK_EQ(gt_plane_classes(plane, twice, 3), -EINVAL);
  twice[2] = (gt_class_row){0x5F, 2, 16, GT_PUNT, 0};
  CHECK_EQ(gt_plane_classes(plane, twice, 3), -EINVAL);
  twice[2] = (gt_class_row){0x5F, 2, 15, 5, 0};
  CHECK_EQ(gt_plane_classes(plane, twice, 3), -EINVAL);
  twice[2] = (gt_class_row){0x5F, 32, 15, 0, 0};
  CHECK_EQ(gt_plane_classes(plane, twice, 3), -EINVAL);
  twice[2] = (gt_class_row){0x5F, 31, 15, GT_PUNT, 16};
  CHECK_EQ(gt_plane_classes(plane, twice, 3), -EINVAL);
  twice[2] = (gt_class_row){0x5F, 31, 15, GT_FORWARD, GT_CLASS_PATIENT};
  CHECK_EQ(gt_plane_classes(plane, twice, 3), -EINVAL);
  CHECK_EQ(gt_plane_classes(plane, twice, 0), -EINVAL);
}

static void run(bool inline_ok) {
  gt_plane *plane = plane_open_with(0, NULL, NULL);
  gt_device *disk = plane_disk(inline_ok ? "inline.img" : "threads.img");
  CHECK_EQ(gt_plane_add_device(plane, 0, disk, inline_ok), 0);
  CHECK_EQ(gt_plane_add_device(plane, 0, disk, inline_ok), -EBUSY);
  gt_device_unref(disk);
  no_path(plane);
  verdicts(plane);
  luns_and_attentions(plane);
  writes(plane);
  wrong_tables(plane);
  gt_plane_close(plane);
}

int main(void) {
  rig_begin();
  run(true);
  run(false);
  return rig_end();
}
