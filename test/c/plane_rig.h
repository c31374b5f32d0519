/* What the tests of the plane share: a front end of one thread, classes, commands by a line of hexadecimal. */
#ifndef PLANE_RIG_H
#define PLANE_RIG_H

#include "plane/plane.h"
#include "scsi_rig.h"

/* Classes of the tests. */
enum { C_IDENTIFY, C_STATUS, C_READ, C_WRITE, C_RESERVE, C_MODE };
#define ALL_CLASSES 0x3F

static const gt_class_row plane_rows[] = {
    {GT_TEST_UNIT_READY, -1, C_STATUS, GT_FORWARD, 0},
    {GT_REQUEST_SENSE, -1, C_IDENTIFY, GT_SENSE, GT_CLASS_NO_ATTENTION},
    {GT_INQUIRY, -1, C_IDENTIFY, GT_IDENTITY, GT_CLASS_NO_ATTENTION},
    {GT_REPORT_LUNS, -1, C_IDENTIFY, GT_LUNS, GT_CLASS_NO_ATTENTION},
    {GT_MODE_SENSE_6, -1, C_STATUS, GT_FORWARD, 0},
    {GT_MODE_SENSE_10, -1, C_STATUS, GT_FORWARD, 0},
    {GT_MODE_SELECT_6, -1, C_MODE, GT_FORWARD, 0},
    {GT_READ_6, -1, C_READ, GT_FORWARD, 0},
    {GT_READ_10, -1, C_READ, GT_FORWARD, 0},
    {GT_READ_16, -1, C_READ, GT_FORWARD, 0},
    {GT_WRITE_6, -1, C_WRITE, GT_FORWARD, GT_CLASS_WRITES},
    {GT_WRITE_10, -1, C_WRITE, GT_FORWARD, GT_CLASS_WRITES},
    {GT_WRITE_16, -1, C_WRITE, GT_FORWARD, GT_CLASS_WRITES},
    {GT_UNMAP, -1, C_WRITE, GT_FORWARD, GT_CLASS_WRITES},
    {GT_WRITE_FILEMARKS_6, -1, C_WRITE, GT_FORWARD, GT_CLASS_WRITES},
    {GT_REWIND, -1, C_STATUS, GT_FORWARD, GT_CLASS_SLOW},
    {GT_SYNCHRONIZE_CACHE_10, -1, C_WRITE, GT_FORWARD, GT_CLASS_SLOW},
    {GT_SERVICE_ACTION_IN_16, GT_SAI_READ_CAPACITY_16, C_STATUS, GT_FORWARD, 0},
    {0x5F, -1, C_RESERVE, GT_PUNT, 0},
    {0x5E, -1, C_RESERVE, GT_PUNT, 0},
};

/* One home thread: woken from anywhere, runs where the test says. */
typedef struct home {
  pthread_mutex_t lock;
  pthread_cond_t cond;
  bool woken;
} home;

static inline void home_wake(void *context) {
  home *h = context;
  pthread_mutex_lock(&h->lock);
  h->woken = true;
  pthread_cond_signal(&h->cond);
  pthread_mutex_unlock(&h->lock);
}

static inline void home_init(home *h) {
  *h = (home){.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
}

/* Waits until it is woken; the whole test has a time limit of its own. */
static inline void home_wait(home *h) {
  pthread_mutex_lock(&h->lock);
  while (!h->woken)
    pthread_cond_wait(&h->cond, &h->lock);
  h->woken = false;
  pthread_mutex_unlock(&h->lock);
}

static inline bool home_woken(home *h) {
  pthread_mutex_lock(&h->lock);
  bool woken = h->woken;
  h->woken = false;
  pthread_mutex_unlock(&h->lock);
  return woken;
}

typedef struct front {
  gt_plane *plane;
  gt_plane_nexus *nexus;
  uint32_t number;
  home home;
} front;

typedef struct job {
  gt_task task;
  front *front;
  int answers;
  gt_sense sense;
} job;

static inline gt_plane *plane_open_with(uint32_t punt_timeout_ms, void (*notify)(void *), void *context) {
  gt_plane *plane = NULL;
  gt_plane_options options = {.notify = notify, .context = context, .punt_timeout_ms = punt_timeout_ms};
  CHECK_EQ(gt_plane_open(&options, &plane), 0);
  CHECK_EQ(gt_plane_classes(plane, plane_rows, sizeof plane_rows / sizeof plane_rows[0]), 0);
  return plane;
}

static inline void front_open(front *f, gt_plane *plane) {
  *f = (front){.plane = plane};
  home_init(&f->home);
  CHECK_EQ(gt_nexus_open(plane, home_wake, &f->home, &f->number, &f->nexus), 0);
}

static inline void front_close(front *f) {
  gt_nexus_close(f->nexus);
  while (!gt_nexus_closed(f->nexus)) {
    home_wait(&f->home);
    gt_nexus_run(f->nexus);
  }
  gt_nexus_free(f->nexus);
}

static inline void job_answered(gt_task *task) {
  job *j = task->owner;
  j->answers++;
  gt_sense_parse(task->io.sense, task->io.sense_len, &j->sense);
}

static inline void job_fill(job *j, front *f, uint32_t lun, const char *cdb, gt_dir dir, void *data, uint32_t length) {
  *j = (job){.front = f, .task = {.lun = lun, .attribute = 1, .answered = job_answered}};
  j->task.owner = j;
  j->task.io = (gt_io){.dir = (uint8_t)dir, .data = data, .data_len = length, .cdb_len = 16};
  unsigned at = 0;
  char *end;
  for (const char *p = cdb; *p; p = end) {
    unsigned long byte = strtoul(p, &end, 16);
    if (end == p) break;
    j->task.io.cdb[at++] = (uint8_t)byte;
  }
}

/* Admits and starts; true: it was answered by the judge. */
static inline bool job_send(job *j) {
  if (gt_task_admit(j->front->nexus, &j->task) == GT_ADMIT_ANSWERED) {
    job_answered(&j->task);
    return true;
  }
  gt_task_start(&j->task);
  return false;
}

static inline void job_wait(job *j) {
  while (!j->answers) {
    home_wait(&j->front->home);
    gt_nexus_run(j->front->nexus);
  }
}

static inline uint8_t job_run(job *j, front *f, uint32_t lun, const char *cdb, gt_dir dir, void *data,
                              uint32_t length) {
  job_fill(j, f, lun, cdb, dir, data, length);
  job_send(j);
  job_wait(j);
  CHECK_EQ(j->answers, 1);
  return j->task.io.status;
}

static inline uint8_t job_none(job *j, front *f, uint32_t lun, const char *cdb) {
  return job_run(j, f, lun, cdb, GT_DIR_NONE, NULL, 0);
}

static inline bool job_is(const job *j, uint8_t key, uint16_t asc) {
  bool same = j->task.io.status == GT_STATUS_CHECK_CONDITION && j->sense.key == key && j->sense.asc == asc;
  if (!same)
    fprintf(stderr, "  CDB %02x: outcome %u status %02x key %x asc %04x\n", j->task.io.cdb[0], j->task.io.outcome,
            j->task.io.status, j->sense.key, j->sense.asc);
  return same;
}

#define JOB_FAILS(f, lun, cdb, key, asc)                                                                               \
  do {                                                                                                                 \
    job failing;                                                                                                       \
    job_none(&failing, f, lun, cdb);                                                                                   \
    CHECK(job_is(&failing, key, asc));                                                                                 \
  } while (0)
#define JOB_GOOD(f, lun, cdb)                                                                                          \
  do {                                                                                                                 \
    job good;                                                                                                          \
    CHECK_EQ(job_none(&good, f, lun, cdb), GT_STATUS_GOOD);                                                            \
    CHECK_EQ(good.task.io.outcome, GT_DELIVERED);                                                                      \
  } while (0)

/* Everything but what a verdict denies. */
static const gt_verdict everything = {.gate = ALL_CLASSES, .reservation = ALL_CLASSES, .visible = true};

static inline gt_device *plane_disk(const char *name) {
  gt_device *device = NULL;
  gt_disk_options options = {.path = rig_path(name), .block_bytes = 512, .blocks = 8192, .thin = true};
  CHECK_EQ(gt_disk_open(&options, &device, NULL, 0), 0);
  return device;
}

/* Takes notes until one of this kind comes; polls, for notes may come from any thread. */
static inline gt_note plane_note(gt_plane *plane, uint8_t kind) {
  for (;;) {
    gt_note note;
    if (gt_plane_take_notes(plane, &note, 1) == 0)
      nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    else if (note.kind == kind)
      return note;
  }
}

#endif
