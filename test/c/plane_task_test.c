/* Tasks that wait: punts, aborts, drains, resets, order, real devices that fail, units that go. */
#include "device/impl.h"
#include "fake_lu.h"
#include "plane_rig.h"

#define TUR "00 00 00 00 00 00"
#define READ_16 "88 00 00 00 00 00 00 00 00 08 00 00 00 01 00 00"

static void drain_home(front *f) {
  home_woken(&f->home);
  gt_nexus_run(f->nexus);
}

static void quiet(front *f, uint32_t lun) {
  job j;
  for (int i = 0; i < 8 && job_none(&j, f, lun, TUR) != GT_STATUS_GOOD; i++)
    continue;
}

static void punts(void) {
  home supervisor;
  home_init(&supervisor);
  gt_plane *plane = plane_open_with(60000, home_wake, &supervisor);
  gt_device *disk = plane_disk("punts.img");
  CHECK_EQ(gt_plane_add_device(plane, 3, disk, true), 0);
  gt_device_unref(disk);
  front f;
  front_open(&f, plane);
  CHECK_EQ(gt_plane_set_path(plane, f.number, 0, 3, &everything), 0);
  quiet(&f, 0);
  job j, many[GT_PUNTS_MAX + 1];
  gt_punt punt;
  uint8_t data[64], answer[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  TEST("a punt carries CDB, room and a copy of the parameter list; its answer has status, data and residual");
  job_fill(&j, &f, 0, "5e 02 00 00 00 00 00 00 40 00", GT_DIR_IN, data, 64);
  CHECK(!job_send(&j));
  home_wait(&supervisor);
  CHECK_EQ(gt_plane_take_punts(plane, &punt, 1), 1);
  CHECK(punt.nexus == f.number && punt.lun == 0 && punt.unit == 3 && punt.cdb[0] == 0x5E && punt.alloc == 64);
  CHECK_EQ(gt_plane_answer(plane, punt.id, GT_STATUS_GOOD, NULL, 0, answer, 8), 0);
  CHECK_EQ(gt_plane_answer(plane, punt.id, GT_STATUS_GOOD, NULL, 0, answer, 8), -ENOENT);
  job_wait(&j);
  CHECK(j.task.io.status == 0 && j.task.io.resid == 56 && memcmp(data, answer, 8) == 0);
  memset(data, 0x5A, 24);
  job_fill(&j, &f, 0, "5f 00 00 00 00 00 00 00 18 00", GT_DIR_OUT, data, 24);
  CHECK(!job_send(&j));
  home_wait(&supervisor);
  memset(data, 0, 24);
  CHECK_EQ(gt_plane_take_punts(plane, &punt, 1), 1);
  CHECK(punt.data_len == 24 && punt.data[0] == 0x5A && punt.data[23] == 0x5A);
  TEST("a punt that is passed on is the unit's");
  CHECK_EQ(gt_plane_pass(plane, punt.id), 0);
  job_wait(&j);
  CHECK(job_is(&j, GT_KEY_ILLEGAL_REQUEST, GT_ASC_INVALID_OPCODE));
  TEST("an aborted punt has no answer, and the supervisor's finds nobody");
  job_fill(&j, &f, 0, "5e 00 00 00 00 00 00 00 40 00", GT_DIR_IN, data, 64);
  job_send(&j);
  CHECK_EQ(gt_plane_take_punts(plane, &punt, 1), 1);
  gt_task_abort(&j.task);
  CHECK_EQ(j.answers, 0);
  job_wait(&j);
  CHECK(j.answers == 1 && j.task.io.outcome == GT_ABORTED);
  CHECK_EQ(gt_plane_answer(plane, punt.id, GT_STATUS_GOOD, NULL, 0, answer, 8), -ENOENT);
  TEST("punts are bounded: one more is BUSY; given up ones make room again");
  for (int i = 0; i <= GT_PUNTS_MAX; i++) {
    job_fill(&many[i], &f, 0, "5e 00 00 00 00 00 00 00 40 00", GT_DIR_IN, data, 64);
    job_send(&many[i]);
  }
  /* The slot of the one given up above is the supervisor's until it takes again. */
  CHECK_EQ(many[GT_PUNTS_MAX].answers, 1);
  CHECK_EQ(many[GT_PUNTS_MAX].task.io.status, GT_STATUS_BUSY);
  int busy = 0;
  for (int i = 0; i <= GT_PUNTS_MAX; i++)
    busy += many[i].answers;
  CHECK_EQ(busy, 2);
  for (int i = 0; i <= GT_PUNTS_MAX; i++)
    if (!many[i].answers) gt_task_abort(&many[i].task);
  drain_home(&f);
  for (int i = 0; i <= GT_PUNTS_MAX; i++)
    CHECK_EQ(many[i].answers, 1);
  CHECK_EQ(gt_plane_take_punts(plane, &punt, 1), 0);
  TEST("where there is no device a punt still reaches the supervisor, and nothing else is there");
  CHECK_EQ(gt_plane_set_path(plane, f.number, 9, GT_NO_UNIT, &everything), 0);
  CHECK_EQ(job_run(&j, &f, 9, "12 00 00 00 24 00", GT_DIR_IN, data, 36), GT_STATUS_GOOD);
  CHECK_EQ(data[0], 0x3F);
  JOB_FAILS(&f, 9, READ_16, GT_KEY_ILLEGAL_REQUEST, 0x2500);
  job_fill(&j, &f, 9, "5f 00 00 00 00 00 00 00 18 00", GT_DIR_OUT, data, 24);
  job_send(&j);
  CHECK_EQ(gt_plane_take_punts(plane, &punt, 1), 1);
  CHECK_EQ(punt.unit, GT_NO_UNIT);
  CHECK_EQ(gt_plane_pass(plane, punt.id), 0);
  job_wait(&j);
  CHECK(job_is(&j, GT_KEY_ILLEGAL_REQUEST, 0x2500));
  TEST("a device takes that place at once; what waited for the supervisor there ends with TASK ABORTED");
  job_fill(&j, &f, 9, "5f 00 00 00 00 00 00 00 18 00", GT_DIR_OUT, data, 24);
  job_send(&j);
  CHECK_EQ(gt_plane_take_punts(plane, &punt, 1), 1);
  CHECK_EQ(gt_plane_set_path(plane, f.number, 9, 3, &everything), 0);
  drain_home(&f);
  CHECK_EQ(j.answers, 1);
  CHECK_EQ(j.task.io.status, GT_STATUS_TASK_ABORTED);
  CHECK_EQ(gt_plane_answer(plane, punt.id, GT_STATUS_GOOD, NULL, 0, answer, 8), -ENOENT);
  CHECK_EQ(gt_plane_set_path(plane, f.number, 9, GT_NO_UNIT, &everything), -EBUSY);
  quiet(&f, 9);
  CHECK_EQ(job_run(&j, &f, 9, "00 00 00 00 00 00", GT_DIR_NONE, NULL, 0), GT_STATUS_GOOD);
  front_close(&f);
  gt_plane_close(plane);
}

static void late_punts(void) {
  gt_plane *plane = plane_open_with(1, NULL, NULL);
  gt_device *disk = plane_disk("late.img");
  CHECK_EQ(gt_plane_add_device(plane, 0, disk, true), 0);
  gt_device_unref(disk);
  front f;
  front_open(&f, plane);
  CHECK_EQ(gt_plane_set_path(plane, f.number, 0, 0, &everything), 0);
  quiet(&f, 0);
  TEST("a punt that nobody answers ends with BUSY");
  job j;
  uint8_t data[64];
  CHECK_EQ(job_run(&j, &f, 0, "5e 00 00 00 00 00 00 00 40 00", GT_DIR_IN, data, 64), GT_STATUS_BUSY);
  gt_punt punt;
  CHECK_EQ(gt_plane_take_punts(plane, &punt, 1), 0);
  front_close(&f);
  gt_plane_close(plane);
}

/* A disk that knows what the plane asks of a new one, and then what the test wants. */
typedef struct device_state {
  pthread_mutex_t lock;
  uint8_t order[64];
  unsigned ran;
  _Atomic int outcome; /* of READs; -1: none */
  _Atomic bool attention;
} device_state;

static bool script(fake *f, gt_io *io) {
  device_state *state = f->state;
  fake_good(io, (int32_t)io->data_len);
  if (io->cdb[0] == GT_INQUIRY) {
    ((uint8_t *)io->data)[0] = (uint8_t)f->counter;
    return true;
  }
  if (io->cdb[0] == GT_TEST_UNIT_READY) {
    if (atomic_exchange(&state->attention, false)) fake_error(io, GT_KEY_UNIT_ATTENTION, 0x2800);
    return true;
  }
  if (io->cdb[0] == GT_MODE_SELECT_6) return true;
  if (atomic_load(&state->outcome) >= 0) {
    io->outcome = (uint8_t)atomic_load(&state->outcome);
    return true;
  }
  pthread_mutex_lock(&state->lock);
  state->order[state->ran++ % 64] = io->cdb[9];
  pthread_mutex_unlock(&state->lock);
  return false;
}

static fake *scripted(device_state *state, uint64_t seed) {
  *state = (device_state){.lock = PTHREAD_MUTEX_INITIALIZER, .outcome = -1};
  fake *f = fake_disk(512, 64, seed);
  f->script = script;
  f->state = state;
  return f;
}

static void aborts(void) {
  gt_plane *plane = plane_open_with(0, NULL, NULL);
  device_state state;
  fake *held = scripted(&state, 1);
  held->hold_from = 3; /* INQUIRY and TEST UNIT READY of the plane itself are answered */
  CHECK_EQ(gt_plane_add_lu(plane, 0, &held->lu, 0, 0), 0);
  front f, g;
  front_open(&f, plane);
  front_open(&g, plane);
  gt_verdict v = everything;
  v.gate = ALL_CLASSES;
  CHECK_EQ(gt_plane_set_path(plane, f.number, 0, 0, &v), 0);
  CHECK_EQ(gt_plane_set_path(plane, g.number, 5, 0, &v), 0);
  JOB_FAILS(&f, 0, READ_16, GT_KEY_UNIT_ATTENTION, 0x2900);
  JOB_FAILS(&g, 5, READ_16, GT_KEY_UNIT_ATTENTION, 0x2900);
  static uint8_t data[512];
  job jobs[100], other, unstarted;
  TEST("abort by the supervisor: every task of the nexus is answered once, with TASK ABORTED, then comes the note");
  for (int i = 0; i < 100; i++) {
    job_fill(&jobs[i], &f, 0, READ_16, GT_DIR_IN, data, 512);
    job_send(&jobs[i]);
  }
  job_fill(&other, &g, 5, READ_16, GT_DIR_IN, data, 512);
  job_send(&other);
  job_fill(&unstarted, &f, 0, "2a 00 00 00 00 00 00 00 01 00", GT_DIR_OUT, data, 512);
  CHECK_EQ(gt_task_admit(f.nexus, &unstarted.task), GT_ADMIT_GO);
  CHECK_EQ(gt_plane_abort(plane, 0, f.number, UINT32_MAX, GT_STATUS_TASK_ABORTED, 77), 0);
  gt_note note;
  CHECK_EQ(gt_plane_take_notes(plane, &note, 1), 0);
  for (int i = 0; i < 100; i++) {
    job_wait(&jobs[i]);
    CHECK(jobs[i].answers == 1 && jobs[i].task.io.outcome == GT_DELIVERED);
    CHECK_EQ(jobs[i].task.io.status, GT_STATUS_TASK_ABORTED);
  }
  note = plane_note(plane, GT_NOTE_ABORTED);
  CHECK_EQ(note.cookie, 77);
  CHECK_EQ(other.answers, 0);
  TEST("a task whose data is still coming keeps its place, and is answered when it is started");
  CHECK_EQ(unstarted.answers, 0);
  gt_task_start(&unstarted.task);
  CHECK(unstarted.answers == 1 && unstarted.task.io.status == GT_STATUS_TASK_ABORTED);
  TEST("a drain waits for its classes only, and for nothing that comes later");
  CHECK_EQ(gt_plane_drain(plane, 0, UINT32_MAX, 1 << C_WRITE, 1), 0);
  drain_home(&f);
  drain_home(&g);
  CHECK_EQ(plane_note(plane, GT_NOTE_DRAINED).cookie, 1);
  CHECK_EQ(gt_plane_drain(plane, 0, UINT32_MAX, 1 << C_READ, 2), 0);
  drain_home(&f);
  drain_home(&g);
  job_fill(&jobs[0], &g, 5, READ_16, GT_DIR_IN, data, 512);
  job_send(&jobs[0]);
  CHECK_EQ(gt_plane_take_notes(plane, &note, 1), 0);
  TEST("gt_task_abort answers with GT_ABORTED and that ends the drain");
  gt_task_abort(&other.task);
  job_wait(&other);
  CHECK(other.answers == 1 && other.task.io.outcome == GT_ABORTED);
  CHECK_EQ(plane_note(plane, GT_NOTE_DRAINED).cookie, 2);
  CHECK_EQ(jobs[0].answers, 0);
  TEST("a reset aborts everybody's tasks without an answer and leaves 29h/03h with the others");
  bool done = false;
  CHECK_EQ(gt_nexus_reset_unit(f.nexus, 4, home_wake, &f.home), -ENXIO);
  home over;
  home_init(&over);
  CHECK_EQ(gt_nexus_reset_unit(f.nexus, 0, home_wake, &over), 0);
  job_wait(&jobs[0]);
  CHECK(jobs[0].answers == 1 && jobs[0].task.io.outcome == GT_ABORTED);
  while (!(done = home_woken(&over))) {
    home_wait(&f.home);
    gt_nexus_run(f.nexus);
  }
  note = plane_note(plane, GT_NOTE_RESET);
  CHECK(note.nexus == f.number && note.unit == 0 && note.function == 8);
  JOB_FAILS(&g, 5, TUR, GT_KEY_UNIT_ATTENTION, 0x2903);
  TEST("a unit that is removed while it is busy: TASK ABORTED, then no such logical unit, then the note");
  job_fill(&jobs[1], &g, 5, READ_16, GT_DIR_IN, data, 512);
  job_send(&jobs[1]);
  CHECK_EQ(gt_plane_remove_unit(plane, 0), 0);
  CHECK_EQ(gt_plane_remove_unit(plane, 0), -ENOENT);
  job_wait(&jobs[1]);
  CHECK_EQ(jobs[1].task.io.status, GT_STATUS_TASK_ABORTED);
  JOB_FAILS(&f, 0, TUR, GT_KEY_ILLEGAL_REQUEST, 0x2500);
  drain_home(&f);
  drain_home(&g);
  CHECK_EQ(plane_note(plane, GT_NOTE_UNIT_GONE).unit, 0);
  TEST("a nexus that closes aborts what it has, started or not");
  fake *again = scripted(&state, 0);
  again->hold_from = 3;
  CHECK_EQ(gt_plane_add_lu(plane, 0, &again->lu, 0, 0), 0);
  CHECK_EQ(gt_plane_set_path(plane, f.number, 0, 0, &v), 0);
  JOB_FAILS(&f, 0, READ_16, GT_KEY_UNIT_ATTENTION, 0x2900);
  for (int i = 0; i < 3; i++) {
    job_fill(&jobs[i], &f, 0, READ_16, GT_DIR_IN, data, 512);
    if (i < 2)
      job_send(&jobs[i]);
    else
      CHECK_EQ(gt_task_admit(f.nexus, &jobs[i].task), GT_ADMIT_GO);
  }
  front_close(&f);
  for (int i = 0; i < 3; i++)
    CHECK(jobs[i].answers == 1 && jobs[i].task.io.outcome == GT_ABORTED);
  CHECK_EQ(plane_note(plane, GT_NOTE_NEXUS_CLOSED).nexus, f.number);
  CHECK_EQ(gt_plane_set_path(plane, f.number, 0, 0, &v), -ENOENT);
  front_close(&g);
  gt_plane_close(plane);
}

static int gone_submit(gt_lu *lu, gt_io *io) {
  (void)lu, (void)io;
  return -ENOTCONN;
}

static void failures(void) {
  gt_plane *plane = plane_open_with(0, NULL, NULL);
  device_state state;
  fake *real = scripted(&state, 0);
  CHECK_EQ(gt_plane_add_lu(plane, 0, &real->lu, 0, 0), 0);
  front f, g;
  front_open(&f, plane);
  front_open(&g, plane);
  CHECK_EQ(gt_plane_set_path(plane, f.number, 0, 0, &everything), 0);
  CHECK_EQ(gt_plane_set_path(plane, g.number, 0, 0, &everything), 0);
  quiet(&f, 0);
  quiet(&g, 0);
  TEST("a transport that does not deliver never looks GOOD");
  atomic_store(&state.outcome, GT_TRANSPORT);
  JOB_FAILS(&f, 0, READ_16, GT_KEY_ABORTED_COMMAND, 0x0800);
  atomic_store(&state.outcome, GT_TIMED_OUT);
  JOB_FAILS(&f, 0, READ_16, GT_KEY_ABORTED_COMMAND, 0x0801);
  atomic_store(&state.outcome, GT_ABORTED);
  JOB_FAILS(&f, 0, READ_16, GT_KEY_ABORTED_COMMAND, 0x0800);
  TEST("a unit attention of the real device is everybody's, once each");
  atomic_store(&state.attention, true);
  JOB_FAILS(&g, 0, TUR, GT_KEY_UNIT_ATTENTION, 0x2800);
  JOB_GOOD(&g, 0, TUR);
  JOB_FAILS(&f, 0, TUR, GT_KEY_UNIT_ATTENTION, 0x2800);
  JOB_GOOD(&f, 0, TUR);
  TEST("MODE SELECT of one nexus is told to the others, whom the device cannot tell");
  job j;
  uint8_t list[4] = {0};
  CHECK_EQ(job_run(&j, &g, 0, "15 10 00 00 04 00", GT_DIR_OUT, list, 4), GT_STATUS_GOOD);
  JOB_FAILS(&f, 0, TUR, GT_KEY_UNIT_ATTENTION, 0x2A01);
  JOB_GOOD(&g, 0, TUR);
  TEST("a device that is gone: HARDWARE ERROR, and the supervisor is told once");
  static gt_lu_ops dead_ops;
  dead_ops = fake_ops;
  dead_ops.submit = gone_submit;
  fake *dead = scripted(&state, 0);
  dead->lu.ops = &dead_ops;
  CHECK_EQ(gt_plane_add_lu(plane, 1, &dead->lu, 0, 0), 0);
  CHECK_EQ(gt_plane_set_path(plane, f.number, 1, 1, &everything), 0);
  JOB_FAILS(&f, 1, TUR, GT_KEY_UNIT_ATTENTION, 0x2900);
  JOB_FAILS(&f, 1, TUR, GT_KEY_HARDWARE_ERROR, 0x0800);
  JOB_FAILS(&f, 1, TUR, GT_KEY_HARDWARE_ERROR, 0x0800);
  CHECK_EQ(plane_note(plane, GT_NOTE_UNIT_DOWN).unit, 1);
  gt_note note;
  CHECK_EQ(gt_plane_take_notes(plane, &note, 1), 0);
  front_close(&f);
  front_close(&g);
  gt_plane_close(plane);
}

/* Tags are LBAs; attribute by letter. What stands between bars must have ended before what follows begins. */
static void order(void) {
  gt_plane *plane = plane_open_with(0, NULL, NULL);
  device_state state;
  fake *real = scripted(&state, 12345);
  CHECK_EQ(gt_plane_add_lu(plane, 0, &real->lu, 0, 0), 0);
  front f;
  front_open(&f, plane);
  CHECK_EQ(gt_plane_set_path(plane, f.number, 0, 0, &everything), 0);
  quiet(&f, 0);
  TEST("ORDERED waits for everything before it, and everything after it for it, at a device that answers at random");
  for (int round = 0; round < 50; round++) {
    static uint8_t data[16][512];
    job jobs[16];
    pthread_mutex_lock(&state.lock);
    state.ran = 0;
    pthread_mutex_unlock(&state.lock);
    for (int i = 0; i < 16; i++) {
      job_fill(&jobs[i], &f, 0, "88 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00", GT_DIR_IN, data[i], 512);
      jobs[i].task.io.cdb[9] = (uint8_t)i;
      jobs[i].task.attribute = i % 6 == 5 ? 2 : 1; /* 5 and 11 */
      job_send(&jobs[i]);
    }
    for (int i = 0; i < 16; i++)
      job_wait(&jobs[i]);
    pthread_mutex_lock(&state.lock);
    for (unsigned at = 0; at < 16; at++) {
      uint8_t tag = state.order[at];
      CHECK(tag == 5 || tag == 11 ? at == tag : tag < 5 ? at < 5 : tag < 11 ? at > 5 && at < 11 : at > 11);
    }
    pthread_mutex_unlock(&state.lock);
  }
  front_close(&f);
  gt_plane_close(plane);
}

static void inquiry_goes_ahead(void) {
  gt_plane *plane = plane_open_with(0, NULL, NULL);
  gt_device *drive = NULL;
  gt_tape_options options = {0};
  CHECK_EQ(gt_tape_open(&options, &drive, NULL, 0), 0);
  CHECK_EQ(gt_plane_add_device(plane, 0, drive, false), 0);
  front f;
  front_open(&f, plane);
  CHECK_EQ(gt_plane_set_path(plane, f.number, 0, 0, &everything), 0);
  JOB_FAILS(&f, 0, TUR, GT_KEY_UNIT_ATTENTION, 0x2900);
  JOB_FAILS(&f, 0, TUR, GT_KEY_NOT_READY, GT_ASC_MEDIUM_NOT_PRESENT);
  TEST("INQUIRY is answered while a tape rewinds, in front of what waits for it");
  job rewind, ready, inquiry;
  uint8_t data[36];
  job_fill(&rewind, &f, 0, "01 00 00 00 00 00", GT_DIR_NONE, NULL, 0);
  job_fill(&ready, &f, 0, TUR, GT_DIR_NONE, NULL, 0);
  pthread_mutex_lock(&drive->lock); /* which REWIND needs */
  job_send(&rewind);
  job_send(&ready);
  CHECK_EQ(job_run(&inquiry, &f, 0, "12 00 00 00 24 00", GT_DIR_IN, data, 36), GT_STATUS_GOOD);
  CHECK_EQ(data[0], GT_TYPE_TAPE);
  CHECK(rewind.answers == 0 && ready.answers == 0);
  pthread_mutex_unlock(&drive->lock);
  job_wait(&rewind);
  job_wait(&ready);
  gt_device_unref(drive);
  front_close(&f);
  gt_plane_close(plane);
}

static void tape(void) {
  gt_plane *plane = plane_open_with(0, NULL, NULL);
  gt_device *drive = NULL;
  gt_lu *lu = NULL;
  gt_tape_options options = {0};
  gt_cartridge_options cartridge = {.path = rig_path("t.tap")};
  CHECK_EQ(gt_tape_open(&options, &drive, NULL, 0), 0);
  CHECK_EQ(gt_tape_load(drive, &cartridge, NULL, 0), 0);
  CHECK_EQ(gt_virtual_open(drive, &lu), 0);
  CHECK_EQ(gt_plane_add_lu(plane, 0, lu, 0, 0), 0);
  CHECK_EQ(gt_plane_add_device(plane, 1, drive, false), 0);
  gt_device_unref(drive);
  front f;
  front_open(&f, plane);
  CHECK_EQ(gt_plane_set_path(plane, f.number, 0, 0, &everything), 0);
  CHECK_EQ(gt_plane_set_path(plane, f.number, 1, 1, &everything), 0);
  quiet(&f, 0);
  quiet(&f, 1);
  TEST("a tape keeps the order of its commands, passed through and on a thread of its own");
  static uint8_t data[32][600], back[700];
  job jobs[32];
  for (uint32_t lun = 0; lun < 2; lun++) {
    JOB_GOOD(&f, lun, "01 00 00 00 00 00");
    for (int i = 0; i < 32; i++) {
      memset(data[i], i + (int)lun, 600);
      job_fill(&jobs[i], &f, lun, "0a 00 00 02 58 00", GT_DIR_OUT, data[i], 600);
      job_send(&jobs[i]);
    }
    for (int i = 0; i < 32; i++) {
      job_wait(&jobs[i]);
      CHECK_EQ(jobs[i].task.io.status, GT_STATUS_GOOD);
    }
    JOB_GOOD(&f, lun, "10 00 00 00 01 00");
    JOB_GOOD(&f, lun, "01 00 00 00 00 00");
    for (int i = 0; i < 32; i++) {
      job j;
      CHECK_EQ(job_run(&j, &f, lun, "08 00 00 02 58 00", GT_DIR_IN, back, 600), GT_STATUS_GOOD);
      CHECK(memcmp(back, data[i], 600) == 0);
    }
    TEST("filemark, ILI and residual come as the device gave them");
    job j;
    CHECK_EQ(job_run(&j, &f, lun, "08 00 00 02 58 00", GT_DIR_IN, back, 600), GT_STATUS_CHECK_CONDITION);
    CHECK(j.sense.filemark && j.task.io.resid == 600);
    JOB_GOOD(&f, lun, "01 00 00 00 00 00");
    CHECK_EQ(job_run(&j, &f, lun, "08 00 00 02 bc 00", GT_DIR_IN, back, 700), GT_STATUS_CHECK_CONDITION);
    CHECK(j.sense.ili && (int64_t)j.sense.information == 100 && j.task.io.resid == 100);
  }
  front_close(&f);
  gt_plane_close(plane);
}

int main(void) {
  rig_begin();
  punts();
  late_punts();
  aborts();
  failures();
  order();
  inquiry_goes_ahead();
  tape();
  return rig_end();
}
