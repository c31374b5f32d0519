/* Punts that are long: in bytes, as the parameter lists of third-party copies, and in time; and what the supervisor is
 * told when nobody waits for one any more. */
#include "plane_rig.h"

#define COPY "83 00 00 00 00 00 00 00 00 00 00 01 80 00 00 00" /* 98,304 bytes of parameters */
#define STATUS "84 00 07 00 00 00 00 00 00 00 00 01 80 00 00 00"
#define ASK "5e 00 00 00 00 00 00 00 40 00"
#define TUR "00 00 00 00 00 00"

enum { PLAIN_ROWS = sizeof plane_rows / sizeof plane_rows[0] };

typedef struct bench {
  gt_plane *plane;
  home supervisor;
  front f;
} bench;

static void quiet(front *f, uint32_t lun) {
  job j;
  for (int i = 0; i < 8 && job_none(&j, f, lun, TUR) != GT_STATUS_GOOD; i++)
    continue;
}

static void bench_open(bench *b, uint32_t punt_timeout_ms) {
  gt_class_row rows[PLAIN_ROWS + 2];
  memcpy(rows, plane_rows, sizeof plane_rows);
  rows[PLAIN_ROWS] = (gt_class_row){GT_THIRD_PARTY_COPY_OUT, 0, C_RESERVE, GT_PUNT, GT_CLASS_PATIENT};
  rows[PLAIN_ROWS + 1] = (gt_class_row){GT_THIRD_PARTY_COPY_IN, 0, C_RESERVE, GT_PUNT, 0};
  home_init(&b->supervisor);
  b->plane = plane_open_with(punt_timeout_ms, home_wake, &b->supervisor);
  CHECK_EQ(gt_plane_classes(b->plane, rows, PLAIN_ROWS + 2), 0);
  gt_device *disk = plane_disk("copies.img");
  CHECK_EQ(gt_plane_add_device(b->plane, 3, disk, true), 0);
  gt_device_unref(disk);
  front_open(&b->f, b->plane);
  CHECK_EQ(gt_plane_set_path(b->plane, b->f.number, 0, 3, &everything), 0);
  quiet(&b->f, 0);
}

static void bench_close(bench *b) {
  gt_plane_unattended(b->plane);
  front_close(&b->f);
  gt_plane_close(b->plane);
}

static void copy(bench *b, job *j) {
  job_fill(j, &b->f, 0, COPY, GT_DIR_NONE, NULL, 0);
  job_send(j);
}

static gt_punt take(bench *b) {
  gt_punt punt = {0};
  CHECK_EQ(gt_plane_take_punts(b->plane, &punt, 1), 1);
  return punt;
}

/* The next note, if there is one. */
static gt_note told(bench *b) {
  gt_note note = {0};
  gt_plane_take_notes(b->plane, &note, 1);
  return note;
}

static bool is_gone(const gt_note *note, const gt_punt *punt) {
  return note->kind == GT_NOTE_PUNT_GONE && note->cookie == punt->id && note->nexus == punt->nexus &&
         note->lun == punt->lun && note->unit == punt->unit;
}

static void run_home(front *f) {
  home_woken(&f->home);
  gt_nexus_run(f->nexus);
}

static void room(void) {
  static uint8_t data[GT_PUNT_DATA_MAX + 4096];
  bench b;
  job j;
  bench_open(&b, 60000);
  CHECK(GT_PUNT_DATA_MAX >= 48 + 30720 + 65536);
  TEST("the longest parameter list of a copy reaches the supervisor whole; one byte more is an error of its length");
  for (size_t i = 0; i < sizeof data; i++)
    data[i] = (uint8_t)(i * 7 + (i >> 8));
  job_fill(&j, &b.f, 0, COPY, GT_DIR_OUT, data, GT_PUNT_DATA_MAX);
  CHECK(!job_send(&j));
  gt_punt punt = take(&b);
  CHECK_EQ(punt.data_len, GT_PUNT_DATA_MAX);
  CHECK(memcmp(punt.data, data, GT_PUNT_DATA_MAX) == 0);
  CHECK_EQ(gt_plane_answer(b.plane, punt.id, GT_STATUS_GOOD, NULL, 0, NULL, 0), 0);
  job_wait(&j);
  CHECK(j.task.io.status == GT_STATUS_GOOD && j.task.io.resid == 0);
  CHECK_EQ(job_run(&j, &b.f, 0, COPY, GT_DIR_OUT, data, GT_PUNT_DATA_MAX + 1), GT_STATUS_CHECK_CONDITION);
  CHECK(job_is(&j, GT_KEY_ILLEGAL_REQUEST, GT_ASC_PARAMETER_LIST_LENGTH));
  TEST("parameter data may be as long, and there is no more room than that");
  static uint8_t answer[GT_PUNT_DATA_MAX];
  memset(answer, 0xC3, sizeof answer);
  job_fill(&j, &b.f, 0, STATUS, GT_DIR_IN, data, sizeof data);
  job_send(&j);
  punt = take(&b);
  CHECK_EQ(punt.alloc, GT_PUNT_DATA_MAX);
  CHECK_EQ(gt_plane_answer(b.plane, punt.id, GT_STATUS_GOOD, NULL, 0, answer, sizeof answer), 0);
  job_wait(&j);
  CHECK(j.task.io.resid == 4096 && memcmp(data, answer, sizeof answer) == 0);
  TEST("every slot has that much to itself");
  job jobs[GT_PUNTS_MAX];
  for (int i = 0; i < 48; i++) {
    memset(data, i, GT_PUNT_DATA_MAX);
    job_fill(&jobs[i], &b.f, 0, COPY, GT_DIR_OUT, data, GT_PUNT_DATA_MAX);
    job_send(&jobs[i]);
  }
  gt_punt punts[48];
  CHECK_EQ(gt_plane_take_punts(b.plane, punts, 48), 48);
  for (int i = 0; i < 48; i++)
    CHECK(punts[i].data[0] == i && punts[i].data[GT_PUNT_DATA_MAX - 1] == i);
  bench_close(&b);
}

static void patience(void) {
  bench b;
  job j, ordinary, jobs[GT_PATIENT_PUNTS_MAX + 1];
  uint8_t data[64];
  bench_open(&b, 1);
  TEST("a patient punt is waited for when the time of all others is over");
  copy(&b, &j);
  for (int i = 0; i < 3; i++)
    CHECK_EQ(job_run(&ordinary, &b.f, 0, ASK, GT_DIR_IN, data, 64), GT_STATUS_BUSY);
  CHECK_EQ(j.answers, 0);
  gt_punt punt = take(&b);
  CHECK_EQ(punt.cdb[0], GT_THIRD_PARTY_COPY_OUT);
  for (int i = 0; i < 3; i++)
    CHECK_EQ(job_run(&ordinary, &b.f, 0, ASK, GT_DIR_IN, data, 64), GT_STATUS_BUSY);
  CHECK_EQ(gt_plane_answer(b.plane, punt.id, GT_STATUS_GOOD, NULL, 0, NULL, 0), 0);
  job_wait(&j);
  CHECK_EQ(j.task.io.status, GT_STATUS_GOOD);
  bench_close(&b);

  bench_open(&b, 60000);
  TEST("patient punts leave slots to the others: one more is BUSY, and an ordinary one is not");
  for (int i = 0; i <= GT_PATIENT_PUNTS_MAX; i++) {
    copy(&b, &jobs[i]);
    CHECK_EQ(jobs[i].answers, i == GT_PATIENT_PUNTS_MAX);
  }
  CHECK_EQ(jobs[GT_PATIENT_PUNTS_MAX].task.io.status, GT_STATUS_BUSY);
  job others[GT_PUNTS_MAX - GT_PATIENT_PUNTS_MAX + 1];
  for (int i = 0; i <= GT_PUNTS_MAX - GT_PATIENT_PUNTS_MAX; i++) {
    job_fill(&others[i], &b.f, 0, ASK, GT_DIR_IN, data, 64);
    job_send(&others[i]);
    CHECK_EQ(others[i].answers, i == GT_PUNTS_MAX - GT_PATIENT_PUNTS_MAX);
  }
  TEST("the place of one that was answered is free again, of one that was aborted when it is answered too");
  gt_punt punts[GT_PUNTS_MAX];
  CHECK_EQ(gt_plane_take_punts(b.plane, punts, GT_PUNTS_MAX), GT_PUNTS_MAX);
  CHECK_EQ(gt_plane_answer(b.plane, punts[0].id, GT_STATUS_GOOD, NULL, 0, NULL, 0), 0);
  job_wait(&jobs[0]);
  copy(&b, &jobs[0]);
  CHECK_EQ(jobs[0].answers, 0);
  gt_task_abort(&jobs[1].task);
  run_home(&b.f);
  copy(&b, &j);
  CHECK(j.answers == 1 && j.task.io.status == GT_STATUS_BUSY);
  gt_note note = told(&b);
  CHECK(is_gone(&note, &punts[1]));
  copy(&b, &j);
  CHECK(j.answers == 1 && j.task.io.status == GT_STATUS_BUSY);
  CHECK_EQ(jobs[1].answers, 0);
  CHECK_EQ(gt_plane_answer(b.plane, punts[1].id, GT_STATUS_BUSY, NULL, 0, NULL, 0), 0);
  job_wait(&jobs[1]);
  copy(&b, &j);
  CHECK_EQ(j.answers, 0);
  bench_close(&b);
}

/* Ways to end a punted task. */
enum end { ABORT_TASK, ABORT_ALL, CLEAR_PATH, RESET, CLEAR_SET, ENDS };

static void end_it(bench *b, job *j, home *over, enum end how) {
  switch (how) {
  case ABORT_TASK: gt_task_abort(&j->task); break;
  case ABORT_ALL: CHECK_EQ(gt_plane_abort(b->plane, 3, b->f.number, UINT32_MAX, GT_STATUS_TASK_ABORTED, 5), 0); break;
  case CLEAR_PATH: CHECK_EQ(gt_plane_clear_path(b->plane, b->f.number, 0), 0); break;
  case RESET: CHECK_EQ(gt_nexus_reset_unit(b->f.nexus, 0, home_wake, over), 0); break;
  default: CHECK_EQ(gt_nexus_clear_unit(b->f.nexus, 0, home_wake, over), 0); break;
  }
}

static void gone(void) {
  bench b;
  job j, before;
  home over;
  gt_note note;
  home_init(&over);
  bench_open(&b, 60000);
  for (int how = 0; how < ENDS; how++) {
    TEST("a punt that was taken and then ended is told once, and ends when it is answered, not before");
    while (told(&b).kind)
      continue;
    copy(&b, &before); /* not taken: nobody is told */
    gt_task_abort(&before.task);
    run_home(&b.f);
    CHECK_EQ(gt_plane_take_punts(b.plane, &(gt_punt){0}, 1), 0);
    CHECK_EQ(told(&b).kind, 0);
    copy(&b, &j);
    gt_punt punt = take(&b);
    home_woken(&b.supervisor);
    end_it(&b, &j, &over, (enum end)how);
    run_home(&b.f);
    CHECK_EQ(j.answers, 0);
    CHECK(home_woken(&b.supervisor));
    note = told(&b);
    CHECK(is_gone(&note, &punt));
    gt_task_abort(&j.task); /* again, by whoever else: once is enough */
    run_home(&b.f);
    CHECK_EQ(j.answers, 0);
    bool reset = told(&b).kind == GT_NOTE_RESET;
    /* A late end of its own counts as little as being passed on. */
    if (how % 2)
      CHECK_EQ(gt_plane_pass(b.plane, punt.id), 0);
    else
      CHECK_EQ(gt_plane_answer(b.plane, punt.id, GT_STATUS_GOOD, NULL, 0, NULL, 0), 0);
    run_home(&b.f);
    CHECK_EQ(j.answers, 1);
    CHECK(j.task.io.outcome == GT_ABORTED || j.task.io.status == GT_STATUS_TASK_ABORTED);
    CHECK_EQ(gt_plane_answer(b.plane, punt.id, GT_STATUS_GOOD, NULL, 0, NULL, 0), -ENOENT);
    note = told(&b);
    CHECK_EQ(note.kind, how == ABORT_ALL ? GT_NOTE_ABORTED : how == RESET && !reset ? GT_NOTE_RESET : 0);
    if (how == CLEAR_PATH) CHECK_EQ(gt_plane_set_path(b.plane, b.f.number, 0, 3, &everything), 0);
    quiet(&b.f, 0);
  }
  TEST("one that was answered is not told of");
  copy(&b, &j);
  gt_punt punt = take(&b);
  CHECK_EQ(gt_plane_answer(b.plane, punt.id, GT_STATUS_GOOD, NULL, 0, NULL, 0), 0);
  gt_task_abort(&j.task);
  run_home(&b.f);
  CHECK_EQ(j.answers, 1);
  CHECK_EQ(told(&b).kind, 0);
  TEST("one that ends after the supervisor passed it on is not either");
  job_fill(&j, &b.f, 0, ASK, GT_DIR_NONE, NULL, 0);
  job_send(&j);
  punt = take(&b);
  CHECK_EQ(gt_plane_pass(b.plane, punt.id), 0);
  gt_task_abort(&j.task);
  run_home(&b.f);
  CHECK_EQ(j.answers, 1);
  CHECK_EQ(told(&b).kind, 0);
  TEST("the end of a nexus is told after that of its punts, and without a supervisor nothing waits for answers");
  copy(&b, &j);
  punt = take(&b);
  gt_task_abort(&j.task);
  run_home(&b.f);
  CHECK_EQ(j.answers, 0);
  note = told(&b);
  CHECK(is_gone(&note, &punt));
  copy(&b, &before);
  punt = take(&b);
  gt_plane_unattended(b.plane);
  run_home(&b.f);
  CHECK_EQ(j.answers, 1);
  CHECK_EQ(before.answers, 0);
  front_close(&b.f);
  CHECK_EQ(before.answers, 1);
  note = told(&b);
  CHECK(is_gone(&note, &punt));
  CHECK_EQ(told(&b).kind, GT_NOTE_NEXUS_CLOSED);
  CHECK_EQ(told(&b).kind, 0);
  gt_plane_close(b.plane);
}

static void never_lost(void) {
  bench b;
  static job jobs[GT_PUNTS_MAX];
  static gt_punt punts[GT_PUNTS_MAX];
  uint8_t data[64] = {0};
  job j;
  gt_note notes[100];
  bench_open(&b, 60000);
  TEST("as many as there are slots end at once: each is told, however few notes are taken at a time");
  for (int i = 0; i < GT_PUNTS_MAX; i++) {
    data[0] = (uint8_t)i;
    job_fill(&jobs[i], &b.f, 0, "5f 00 00 00 00 00 00 00 40 00", GT_DIR_OUT, data, 64);
    job_send(&jobs[i]);
  }
  CHECK_EQ(gt_plane_take_punts(b.plane, punts, GT_PUNTS_MAX), GT_PUNTS_MAX);
  home_woken(&b.supervisor);
  CHECK_EQ(gt_plane_abort(b.plane, 3, UINT32_MAX, UINT32_MAX, GT_STATUS_TASK_ABORTED, 9), 0);
  run_home(&b.f);
  CHECK(home_woken(&b.supervisor));
  TEST("until it is told the slot is not another's: what was taken may still be read");
  job_fill(&j, &b.f, 0, "5f 00 00 00 00 00 00 00 40 00", GT_DIR_OUT, data, 64);
  CHECK(!job_send(&j));
  CHECK(j.answers == 1 && j.task.io.status == GT_STATUS_BUSY);
  CHECK_EQ(gt_plane_take_punts(b.plane, &(gt_punt){0}, 1), 0);
  for (int i = 0; i < GT_PUNTS_MAX; i++)
    CHECK(punts[i].data[0] == (uint8_t)i && jobs[i].answers == 1);
  uint8_t seen[GT_PUNTS_MAX] = {0};
  for (size_t count, max = 100; (count = gt_plane_take_notes(b.plane, notes, max)); max = max / 2 + 1)
    for (size_t i = 0; i < count; i++) {
      if (notes[i].kind == GT_NOTE_ABORTED) CHECK_EQ(seen[GT_PUNTS_MAX - 1], 1); /* the last of them */
      for (int k = 0; k < GT_PUNTS_MAX; k++)
        if (notes[i].kind == GT_NOTE_PUNT_GONE && punts[k].id == notes[i].cookie) seen[k]++;
    }
  for (int i = 0; i < GT_PUNTS_MAX; i++)
    CHECK_EQ(seen[i], 1);
  TEST("and then all slots are free");
  for (int i = 0; i < GT_PUNTS_MAX; i++) {
    job_fill(&jobs[i], &b.f, 0, ASK, GT_DIR_NONE, NULL, 0);
    CHECK(!job_send(&jobs[i]) && !jobs[i].answers);
  }
  bench_close(&b);

  bench_open(&b, 20);
  TEST("one whose time was over is told of as well");
  for (size_t taken = 0; !taken;) { /* again where its time was over before it could be taken */
    job_fill(&j, &b.f, 0, ASK, GT_DIR_NONE, NULL, 0);
    job_send(&j);
    taken = gt_plane_take_punts(b.plane, punts, 1);
    job_wait(&j);
  }
  CHECK_EQ(j.task.io.status, GT_STATUS_BUSY);
  gt_note note = plane_note(b.plane, GT_NOTE_PUNT_GONE);
  CHECK(is_gone(&note, &punts[0]));
  bench_close(&b);
}

int main(void) {
  rig_begin();
  room();
  patience();
  gone();
  never_lost();
  return rig_end();
}
