/* The runner over a unit made for it: one that answers when it is told to, counts who polls it, and never
 * answers if so ordered. Real transports go through the same functions in the addon's tests. */
#include "transport/runner.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "check.h"

typedef struct unit {
  gt_lu lu;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  gt_io *outstanding;
  bool held;         /* answers wait until this is false */
  bool deaf;         /* abort does nothing */
  bool woken;        /* wake was called */
  bool poll_fails;   /* poll answers -EIO */
  int submit_result; /* what submit says */
  int submits, aborts, closes;
  atomic_int polls;
  pthread_t poller;
} unit;

static void answer(unit *self, uint8_t outcome) {
  gt_io *io = self->outstanding;
  self->outstanding = NULL;
  io->outcome = outcome;
  io->status = 0;
  io->resid = 0;
  io->done(io);
}

static int unit_submit(gt_lu *lu, gt_io *io) {
  unit *self = (unit *)lu;
  self->submits++;
  self->poller = pthread_self();
  if (self->submit_result) return self->submit_result;
  self->outstanding = io;
  return 0;
}

static int unit_poll(gt_lu *lu, int timeout_ms) {
  unit *self = (unit *)lu;
  self->polls++;
  pthread_mutex_lock(&self->lock);
  int result = 0;
  if (self->poll_fails)
    result = -EIO;
  else if (self->outstanding) {
    while (self->held && !self->woken && timeout_ms < 0)
      pthread_cond_wait(&self->changed, &self->lock);
    if (!self->held) {
      answer(self, GT_DELIVERED);
      result = 1;
    }
  }
  self->woken = false;
  pthread_mutex_unlock(&self->lock);
  if (!result && timeout_ms > 0) usleep(1000);
  return result;
}

static void change(unit *self, bool *what, bool value) {
  pthread_mutex_lock(&self->lock);
  *what = value;
  pthread_cond_broadcast(&self->changed);
  pthread_mutex_unlock(&self->lock);
}

static void unit_wake(gt_lu *lu) { change((unit *)lu, &((unit *)lu)->woken, true); }

static int unit_abort(gt_lu *lu, gt_io *io) {
  unit *self = (unit *)lu;
  self->aborts++;
  if (self->deaf || self->outstanding != io) return 0;
  answer(self, GT_ABORTED);
  return 0;
}

static void unit_close(gt_lu *lu) {
  unit *self = (unit *)lu;
  self->closes++;
  if (self->outstanding) answer(self, GT_ABORTED);
}

static const gt_lu_ops unit_ops = {"test", unit_submit, unit_poll, unit_wake, unit_abort, unit_close};

static void unit_init(unit *self) {
  memset(self, 0, sizeof *self);
  self->lu.ops = &unit_ops;
  pthread_mutex_init(&self->lock, NULL);
  pthread_cond_init(&self->changed, NULL);
}

/* Commands that ended, in order. */
typedef struct ends {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  int count, order[16];
  bool stopped;
} ends;

typedef struct job {
  gt_command command;
  ends *to;
  int number;
} job;

static void job_finished(gt_command *command) {
  job *self = command->owner;
  pthread_mutex_lock(&self->to->lock);
  self->to->order[self->to->count++] = self->number;
  pthread_cond_broadcast(&self->to->changed);
  pthread_mutex_unlock(&self->to->lock);
}

static void job_init(job *self, ends *to, int number) {
  *self = (job){.command = {.io = {.cdb_len = 6, .data_len = 96}}, .to = to, .number = number};
  self->command.finished = job_finished;
  self->command.owner = self;
}

static void await_ends(ends *self, int count) {
  pthread_mutex_lock(&self->lock);
  while (self->count < count)
    pthread_cond_wait(&self->changed, &self->lock);
  pthread_mutex_unlock(&self->lock);
}

static void on_stopped(void *context) {
  ends *self = context;
  pthread_mutex_lock(&self->lock);
  self->stopped = true;
  pthread_cond_broadcast(&self->changed);
  pthread_mutex_unlock(&self->lock);
}

static void await_stopped(ends *self) {
  pthread_mutex_lock(&self->lock);
  while (!self->stopped)
    pthread_cond_wait(&self->changed, &self->lock);
  pthread_mutex_unlock(&self->lock);
}

static void ends_init(ends *self) {
  memset(self, 0, sizeof *self);
  pthread_mutex_init(&self->lock, NULL);
  pthread_cond_init(&self->changed, NULL);
}

static void await_submits(unit *self, int polls) {
  while (atomic_load(&self->polls) < polls)
    usleep(200);
}

static void test_order(void) {
  TEST("commands run one after another, in order, on one thread that is not the caller's");
  unit lu;
  ends all;
  unit_init(&lu);
  ends_init(&all);
  gt_runner *runner = NULL;
  CHECK_EQ(gt_runner_start(&lu.lu, 0, &runner), 0);
  job jobs[8];
  for (int i = 0; i < 8; i++) {
    job_init(&jobs[i], &all, i);
    CHECK_EQ(gt_runner_submit(runner, &jobs[i].command), 0);
  }
  await_ends(&all, 8);
  for (int i = 0; i < 8; i++) {
    CHECK_EQ(all.order[i], i);
    CHECK_EQ(jobs[i].command.error, 0);
    CHECK_EQ(jobs[i].command.io.outcome, GT_DELIVERED);
  }
  CHECK(!pthread_equal(lu.poller, pthread_self()));
  gt_runner_free(runner);
  CHECK_EQ(lu.closes, 1);
}

static void test_refused(void) {
  TEST("a command that the transport refuses ends with its errno");
  unit lu;
  ends all;
  unit_init(&lu);
  ends_init(&all);
  lu.submit_result = -ENODEV;
  gt_runner *runner = NULL;
  CHECK_EQ(gt_runner_start(&lu.lu, 0, &runner), 0);
  job refused;
  job_init(&refused, &all, 1);
  CHECK_EQ(gt_runner_submit(runner, &refused.command), 0);
  await_ends(&all, 1);
  CHECK_EQ(refused.command.error, -ENODEV);
  gt_runner_free(runner);
}

static void test_stop_while_busy(bool deaf) {
  TEST(deaf ? "stop closes a unit that does not hear an abort, and the command still ends once"
            : "stop aborts what is outstanding and what is queued; nothing is taken afterwards");
  unit lu;
  ends all;
  unit_init(&lu);
  ends_init(&all);
  lu.held = true;
  lu.deaf = deaf;
  gt_runner *runner = NULL;
  CHECK_EQ(gt_runner_start(&lu.lu, 0, &runner), 0);
  job jobs[3], late;
  for (int i = 0; i < 3; i++) {
    job_init(&jobs[i], &all, i);
    CHECK_EQ(gt_runner_submit(runner, &jobs[i].command), 0);
  }
  await_submits(&lu, 1);
  gt_runner_stop(runner, on_stopped, &all);
  gt_runner_stop(runner, NULL, NULL);
  job_init(&late, &all, 9);
  CHECK_EQ(gt_runner_submit(runner, &late.command), -ESHUTDOWN);
  gt_lu *lent = NULL;
  CHECK_EQ(gt_runner_lend(runner, &lent), -ESHUTDOWN);
  await_stopped(&all);
  CHECK_EQ(all.count, 3);
  for (int i = 0; i < 3; i++) {
    CHECK_EQ(jobs[i].command.io.outcome, GT_ABORTED);
    CHECK_EQ(jobs[i].command.error, 0);
  }
  CHECK_EQ(jobs[1].command.io.resid, 96);
  CHECK_EQ(lu.submits, 1);
  CHECK_EQ(lu.aborts, 1);
  CHECK_EQ(lu.closes, 1);
  gt_runner_free(runner);
  CHECK_EQ(lu.closes, 1);
}

static void test_lend(void) {
  TEST("a unit is lent only while nothing is outstanding, and no command gets in before it is back");
  unit lu;
  ends all;
  unit_init(&lu);
  ends_init(&all);
  lu.held = true;
  gt_runner *runner = NULL;
  CHECK_EQ(gt_runner_start(&lu.lu, 1, &runner), 0);
  job first, second;
  job_init(&first, &all, 1);
  job_init(&second, &all, 2);
  gt_lu *lent = NULL;
  CHECK_EQ(gt_runner_submit(runner, &first.command), 0);
  CHECK_EQ(gt_runner_lend(runner, &lent), -EBUSY);
  change(&lu, &lu.held, false);
  await_ends(&all, 1);
  CHECK_EQ(gt_runner_lend(runner, &lent), 0);
  CHECK(lent == &lu.lu);
  gt_lu *again = NULL;
  CHECK_EQ(gt_runner_lend(runner, &again), -EBUSY);
  CHECK_EQ(gt_runner_submit(runner, &second.command), -EBUSY);
  int before = atomic_load(&lu.polls);
  usleep(20000);
  CHECK_EQ(atomic_load(&lu.polls), before); /* no idle poll of a unit that somebody else polls */
  gt_runner_take_back(runner);
  CHECK_EQ(gt_runner_submit(runner, &second.command), 0);
  await_ends(&all, 2);
  gt_runner_free(runner);
}

static void test_stop_while_lent(void) {
  TEST("stop waits for a unit that is lent out before it closes it");
  unit lu;
  ends all;
  unit_init(&lu);
  ends_init(&all);
  gt_runner *runner = NULL;
  gt_lu *lent = NULL;
  CHECK_EQ(gt_runner_start(&lu.lu, 0, &runner), 0);
  CHECK_EQ(gt_runner_lend(runner, &lent), 0);
  gt_runner_stop(runner, on_stopped, &all);
  usleep(20000);
  CHECK_EQ(lu.closes, 0);
  gt_runner_take_back(runner);
  await_stopped(&all);
  CHECK_EQ(lu.closes, 1);
  gt_runner_free(runner);
}

static void test_idle(void) {
  TEST("an idle unit is polled now and then, so that the transport can answer its peer");
  unit lu;
  unit_init(&lu);
  gt_runner *runner = NULL;
  CHECK_EQ(gt_runner_start(&lu.lu, 1, &runner), 0);
  await_submits(&lu, 3);
  gt_runner_free(runner);
  CHECK_EQ(lu.closes, 1);
  CHECK_EQ(lu.submits, 0);
}

static void test_poll_fails(void) {
  TEST("a command on a unit whose poll fails can still be stopped");
  unit lu;
  ends all;
  unit_init(&lu);
  ends_init(&all);
  lu.poll_fails = lu.deaf = true;
  gt_runner *runner = NULL;
  CHECK_EQ(gt_runner_start(&lu.lu, 0, &runner), 0);
  job stuck;
  job_init(&stuck, &all, 1);
  CHECK_EQ(gt_runner_submit(runner, &stuck.command), 0);
  await_submits(&lu, 2);
  gt_runner_free(runner);
  CHECK_EQ(all.count, 1);
  CHECK_EQ(stuck.command.io.outcome, GT_ABORTED);
}

/* Lends and returns from a second thread while the first sends commands: for the sanitizers. */
static void *borrower(void *argument) {
  gt_runner *runner = argument;
  for (int i = 0; i < 2000; i++) {
    gt_lu *lent;
    if (gt_runner_lend(runner, &lent) == 0) gt_runner_take_back(runner);
  }
  return NULL;
}

static void test_race(void) {
  TEST("lending and commands exclude each other from any two threads");
  unit lu;
  ends all;
  unit_init(&lu);
  ends_init(&all);
  gt_runner *runner = NULL;
  pthread_t other;
  CHECK_EQ(gt_runner_start(&lu.lu, 1, &runner), 0);
  CHECK_EQ(pthread_create(&other, NULL, borrower, runner), 0);
  int taken = 0;
  for (int i = 0; i < 2000; i++) {
    job one;
    job_init(&one, &all, 0);
    int error = gt_runner_submit(runner, &one.command);
    CHECK(error == 0 || error == -EBUSY);
    if (error) continue;
    taken++;
    await_ends(&all, 1);
    all.count = 0;
  }
  pthread_join(other, NULL);
  gt_runner_free(runner);
  CHECK_EQ(lu.submits, taken);
}

int main(void) {
  test_order();
  test_refused();
  test_stop_while_busy(false);
  test_stop_while_busy(true);
  test_lend();
  test_stop_while_lent();
  test_idle();
  test_poll_fails();
  test_race();
  return check_end();
}
