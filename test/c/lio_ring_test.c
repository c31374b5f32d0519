/* Commands of the kernel's own target: data in place and in pieces, short reads, order, task management. */
#include "lio_rig.h"

enum { RING = 8192, DATA = 1 << 20 };

static void data_of_commands(bool inline_ok) {
  bench b;
  fake k;
  bench_open(&b, inline_ok, (gt_lio_options){0});
  fake_open(&k, RING, DATA);
  bench_attach(&b, &k, 0);
  bench_quiet(&k);
  TEST("what lies in one piece is written from there and read to there");
  memset(fake_data(&k, 4096), 0x5A, 512);
  CHECK_EQ(fake_run(&k, 1, WRITE_1, 4096, 512)->status, GT_STATUS_GOOD);
  CHECK_EQ(fake_run(&k, 2, READ_1, 8192, 512)->status, GT_STATUS_GOOD);
  CHECK(memcmp(fake_data(&k, 8192), fake_data(&k, 4096), 512) == 0);
  TEST("what lies in pieces is put together and taken apart, in their order");
  struct iovec out[3] = {{(void *)100, 200}, {(void *)4096, 300}, {(void *)12288, 12}};
  struct iovec in[2] = {{(void *)16384, 511}, {(void *)30000, 1}};
  for (int i = 0; i < 200; i++)
    *fake_data(&k, 100 + (size_t)i) = (uint8_t)i;
  memset(fake_data(&k, 4096), 0x33, 300);
  memset(fake_data(&k, 12288), 0x44, 12);
  fake_put(&k, 3, WRITE_1, out, 3);
  fake_call(&k);
  CHECK_EQ(fake_wait(&k, 3)->status, GT_STATUS_GOOD);
  *fake_data(&k, 30001) = 0x77;
  fake_put(&k, 4, READ_1, in, 2);
  fake_call(&k);
  CHECK_EQ(fake_wait(&k, 4)->status, GT_STATUS_GOOD);
  CHECK(fake_data(&k, 16384)[199] == 199 && fake_data(&k, 16384)[200] == 0x33 && fake_data(&k, 16384)[510] == 0x44);
  CHECK(*fake_data(&k, 30000) == 0x44 && *fake_data(&k, 30001) == 0x77);
  TEST("a short answer says how much there is");
  fake_answer *answer = fake_run(&k, 5, "12 00 00 00 ff 00", 0, 255);
  CHECK(answer->status == GT_STATUS_GOOD && answer->reads && answer->read >= 36 && answer->read < 255);
  TEST("a command that says too much or nothing is refused in words");
  CHECK(fake_fails(fake_run(&k, 6, "c7 00 00 00 00 00 00 00 00 00", 0, 0), GT_KEY_ILLEGAL_REQUEST,
                   GT_ASC_INVALID_OPCODE));
  gt_lio_stats stats;
  gt_lio_stat(b.lio, &stats);
  CHECK(stats.rings == 1 && stats.gathered == 2 && stats.in_place >= 3 && stats.commands >= 7);
  TEST("a ring that went round many times is still one, with pads where entries do not fit");
  for (uint16_t id = 7; id < 400; id++)
    CHECK_EQ(fake_run(&k, id, id % 2 ? READ_1 : TUR, 0, id % 2 ? 512 : 0)->status, GT_STATUS_GOOD);
  bench_close(&b);
  fake_close(&k);
}

static void tapes(void) {
  bench b;
  fake k;
  bench_open(&b, false, (gt_lio_options){0});
  fake_open(&k, RING, DATA);
  bench_attach(&b, &k, 1);
  bench_quiet(&k);
  memset(fake_data(&k, 0), 0x61, 1000);
  CHECK_EQ(fake_run(&k, 1, "0a 00 00 03 e8 00", 0, 1000)->status, GT_STATUS_GOOD);
  CHECK_EQ(fake_run(&k, 2, "0a 00 00 03 e8 00", 0, 1000)->status, GT_STATUS_GOOD);
  CHECK_EQ(fake_run(&k, 3, "10 00 00 00 01 00", 0, 0)->status, GT_STATUS_GOOD);
  CHECK_EQ(fake_run(&k, 4, "01 00 00 00 00 00", 0, 0)->status, GT_STATUS_GOOD);
  TEST("a block shorter than was asked for comes with data and sense: ILI, and by how much");
  fake_answer *answer = fake_run(&k, 5, "08 00 00 07 d0 00", 65536, 2000);
  gt_sense sense = {0};
  gt_sense_parse(answer->sense, sizeof answer->sense, &sense);
  CHECK(answer->status == GT_STATUS_CHECK_CONDITION && answer->reads && answer->read == 1000);
  CHECK(sense.ili && sense.has_information && sense.information == 1000);
  CHECK(fake_data(&k, 65536)[999] == 0x61 && fake_data(&k, 65536)[1000] == 0);
  TEST("a block longer than was asked for fills what there is, with sense");
  answer = fake_run(&k, 6, "08 00 00 01 00 00", 70000, 256);
  gt_sense_parse(answer->sense, sizeof answer->sense, &sense);
  CHECK(answer->status == GT_STATUS_CHECK_CONDITION && answer->reads && answer->read == 256);
  CHECK(sense.ili && (int32_t)sense.information == 256 - 1000 && fake_data(&k, 70000)[255] == 0x61);
  TEST("a filemark has sense and no data");
  answer = fake_run(&k, 7, "08 00 00 01 00 00", 70000, 256);
  gt_sense_parse(answer->sense, sizeof answer->sense, &sense);
  CHECK(answer->status == GT_STATUS_CHECK_CONDITION && !answer->reads && answer->read == 0 && sense.filemark);
  bench_close(&b);
  fake_close(&k);
}

static void order(void) {
  bench b;
  fake k;
  bench_open(&b, false, (gt_lio_options){.depth = 3});
  fake_open(&k, RING, DATA);
  bench_attach(&b, &k, 0);
  bench_quiet(&k);
  TEST("a command that ends early is answered early, wherever it stands, and each once");
  bench_slow(b.disk, GT_WRITE_16, 300);
  fake_one(&k, 1, WRITE_1, 0, 512);
  fake_one(&k, 2, READ_1, 4096, 512);
  fake_call(&k);
  CHECK_EQ(fake_wait(&k, 2)->status, GT_STATUS_GOOD);
  CHECK_EQ(k.answers[1].times, 0);
  for (uint16_t id = 3; id < 40; id++)
    CHECK_EQ(fake_run(&k, id, TUR, 0, 0)->status, GT_STATUS_GOOD);
  CHECK_EQ(k.answers[1].times, 0);
  CHECK_EQ(fake_wait(&k, 1)->status, GT_STATUS_GOOD);
  TEST("more commands than a ring may have at a time are told TASK SET FULL");
  bench_slow(b.disk, GT_WRITE_16, 200);
  bench_slow(b.disk, GT_READ_16, 200);
  bench_slow(b.disk, GT_READ_10, 200);
  fake_one(&k, 50, WRITE_1, 0, 512);
  fake_one(&k, 51, READ_1, 4096, 512);
  fake_one(&k, 52, "28 00 00 00 00 08 00 00 01 00", 8192, 512);
  fake_none(&k, 53, TUR);
  fake_call(&k);
  CHECK_EQ(fake_wait(&k, 53)->status, GT_STATUS_TASK_SET_FULL);
  CHECK_EQ(fake_wait(&k, 50)->status, GT_STATUS_GOOD);
  CHECK_EQ(fake_wait(&k, 51)->status, GT_STATUS_GOOD);
  CHECK_EQ(fake_wait(&k, 52)->status, GT_STATUS_GOOD);
  bench_close(&b);
  fake_close(&k);
}

static void management(void) {
  bench b;
  fake k;
  bench_open(&b, false, (gt_lio_options){0});
  fake_open(&k, RING, DATA);
  bench_attach(&b, &k, 0);
  bench_quiet(&k);
  TEST("a command that the kernel aborts is answered, and is carried out no more if it had not begun");
  bench_slow(b.disk, GT_READ_16, 400);
  fake_one(&k, 1, READ_1, 0, 512);
  fake_call(&k);
  nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
  memset(fake_data(&k, 4096), 0xEE, 512);
  fake_one(&k, 2, WRITE_1, 4096, 512);
  uint16_t ids[2] = {1, 2};
  fake_tmr(&k, TCMU_TMR_ABORT_TASK_SET, ids, 2);
  fake_none(&k, 3, TUR);
  fake_call(&k);
  CHECK_EQ(fake_wait(&k, 1)->status, GT_STATUS_TASK_ABORTED);
  CHECK_EQ(fake_wait(&k, 2)->status, GT_STATUS_TASK_ABORTED);
  CHECK_EQ(fake_wait(&k, 3)->status, GT_STATUS_GOOD);
  CHECK_EQ(fake_run(&k, 4, READ_1, 8192, 512)->status, GT_STATUS_GOOD);
  CHECK(fake_data(&k, 8192)[0] != 0xEE);
  TEST("LOGICAL UNIT RESET ends what runs, and other initiators of the unit learn of it");
  front other;
  front_open(&other, b.plane);
  CHECK_EQ(gt_plane_set_path(b.plane, other.number, 5, DISK, &everything), 0);
  job j;
  for (int i = 0; i < 8 && job_none(&j, &other, 5, TUR) != GT_STATUS_GOOD; i++)
    continue;
  bench_slow(b.disk, GT_READ_16, 400);
  fake_one(&k, 5, READ_1, 0, 512);
  fake_call(&k);
  nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
  fake_tmr(&k, TCMU_TMR_LUN_RESET, (uint16_t[]){5}, 1);
  fake_call(&k);
  CHECK_EQ(fake_wait(&k, 5)->status, GT_STATUS_TASK_ABORTED);
  CHECK_EQ(plane_note(b.plane, GT_NOTE_RESET).nexus, b.nexus);
  JOB_FAILS(&other, 5, TUR, GT_KEY_UNIT_ATTENTION, 0x2903);
  front_close(&other);
  bench_close(&b);
  fake_close(&k);
}

static void memory(void) {
  bench b;
  fake k;
  const uint32_t half = 2 << 20, whole = 2 * half;
  bench_open(&b, true, (gt_lio_options){.pool_bytes = 1});
  fake_open(&k, RING, 8 * (size_t)whole);
  bench_attach(&b, &k, 0);
  bench_quiet(&k);
  TEST("commands for which the pool has no room wait for it");
  gt_device_pace(b.disk, 0);
  for (uint16_t id = 1; id <= 7; id++) {
    size_t at = (size_t)id * whole;
    struct iovec pieces[2] = {{(void *)(uintptr_t)(at + 1), half},
                              {(void *)(uintptr_t)(at + half + 4096), half - 4096}};
    pieces[1].iov_len = half - 8192;
    fake_put(&k, id, "88 00 00 00 00 00 00 00 00 00 00 00 1f f0 00 00", pieces, 2);
  }
  fake_call(&k);
  for (uint16_t id = 1; id <= 7; id++)
    CHECK_EQ(fake_wait(&k, id)->status, GT_STATUS_GOOD);
  TEST("more data than one command may have is refused");
  struct iovec pieces[8];
  for (size_t i = 0; i < 8; i++)
    pieces[i] = (struct iovec){(void *)(uintptr_t)(i * whole / 2), whole};
  fake_put(&k, 9, READ_1, pieces, 8);
  fake_call(&k);
  CHECK(fake_fails(fake_wait(&k, 9), GT_KEY_ILLEGAL_REQUEST, GT_ASC_INVALID_FIELD_IN_CDB));
  bench_close(&b);
  fake_close(&k);
}

int main(void) {
  rig_begin();
  data_of_commands(true);
  data_of_commands(false);
  tapes();
  order();
  management();
  memory();
  return rig_end();
}
