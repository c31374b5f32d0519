#include "runner.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How long an aborted command may take to come back before its unit is closed under it. */
enum { ABORT_PATIENCE_MS = 2000, POLL_FAILED_PAUSE_MS = 10 };

struct gt_runner {
  gt_lu *lu; /* the poller's; NULL once it is closed */
  uint32_t idle_ms;
  pthread_t thread;

  pthread_mutex_t lock;
  pthread_cond_t changed;
  /* Protected by lock. */
  gt_command *head, **tail;
  bool busy;    /* a command is with the thread */
  bool pinging; /* the thread is in an idle poll, which does not wait */
  bool lent;
  bool stopping;
  void (*stopped)(void *context);
  void *context;
};

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool is_stopping(gt_runner *runner) {
  pthread_mutex_lock(&runner->lock);
  bool stopping = runner->stopping;
  pthread_mutex_unlock(&runner->lock);
  return stopping;
}

static void command_done(gt_io *io) { *(bool *)io->owner = true; }

/* A poll that fails completes nothing; the command's own time-out ends it. Until then the processor
 * is left to others. */
static void poll_unit(gt_runner *runner, int timeout_ms) {
  if (gt_lu_poll(runner->lu, timeout_ms) >= 0) return;
  struct timespec pause = {.tv_nsec = POLL_FAILED_PAUSE_MS * 1000000L};
  nanosleep(&pause, NULL);
}

/* Aborts politely first, so that the device hears of it; closing completes whatever is left. */
static void end_early(gt_runner *runner, gt_io *io, const bool *over) {
  int64_t deadline = now_ms() + ABORT_PATIENCE_MS;
  gt_lu_abort(runner->lu, io);
  for (int64_t left; !*over && (left = deadline - now_ms()) > 0;)
    poll_unit(runner, (int)left);
  if (*over) return;
  gt_lu_close(runner->lu);
  runner->lu = NULL;
}

static void run(gt_runner *runner, gt_command *command) {
  bool over = false;
  command->io.done = command_done;
  command->io.owner = &over;
  command->error = gt_lu_submit(runner->lu, &command->io);
  if (command->error) return;
  while (!over) {
    poll_unit(runner, -1);
    if (!over && is_stopping(runner)) return end_early(runner, &command->io, &over);
  }
}

static void abort_unsent(gt_command *command) {
  command->error = 0;
  command->io.outcome = GT_ABORTED;
  command->io.status = 0;
  command->io.sense_len = 0;
  command->io.resid = (int32_t)command->io.data_len;
}

/* Waits for a command or for the end; returns NULL when idle_ms passed or it is time to end. */
static gt_command *next_command(gt_runner *runner) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += runner->idle_ms / 1000;
  until.tv_nsec += runner->idle_ms % 1000 * 1000000L;
  if (until.tv_nsec >= 1000000000L) {
    until.tv_sec++;
    until.tv_nsec -= 1000000000L;
  }
  while (runner->lent || (!runner->head && !runner->stopping)) {
    if (runner->lent || !runner->idle_ms)
      pthread_cond_wait(&runner->changed, &runner->lock);
    else if (pthread_cond_timedwait(&runner->changed, &runner->lock, &until) == ETIMEDOUT)
      break;
  }
  gt_command *command = runner->head;
  if (!command) return NULL;
  runner->head = command->next;
  if (!runner->head) runner->tail = &runner->head;
  return command;
}

static void ping(gt_runner *runner) {
  runner->pinging = true;
  pthread_mutex_unlock(&runner->lock);
  gt_lu_poll(runner->lu, 0);
  pthread_mutex_lock(&runner->lock);
  runner->pinging = false;
  pthread_cond_broadcast(&runner->changed);
}

/* One step with the lock held on entry and on return; the lock is let go while the unit is used. */
static void step(gt_runner *runner) {
  gt_command *command = next_command(runner);
  bool stopping = runner->stopping;
  if (!command) {
    /* The unit may have been lent out between the time-out and the lock. */
    if (!stopping && !runner->lent) ping(runner);
    return;
  }
  runner->busy = true;
  pthread_mutex_unlock(&runner->lock);
  if (stopping)
    abort_unsent(command);
  else
    run(runner, command);
  /* The seat is free before finished is called: its receiver may lend the unit at once. */
  pthread_mutex_lock(&runner->lock);
  runner->busy = false;
  pthread_mutex_unlock(&runner->lock);
  command->finished(command);
  pthread_mutex_lock(&runner->lock);
}

static void *runner_main(void *argument) {
  gt_runner *runner = argument;
  pthread_mutex_lock(&runner->lock);
  while (!runner->stopping || runner->lent || runner->head)
    step(runner);
  void (*stopped)(void *) = runner->stopped;
  void *context = runner->context;
  pthread_mutex_unlock(&runner->lock);
  if (runner->lu) gt_lu_close(runner->lu);
  runner->lu = NULL;
  if (stopped) stopped(context);
  return NULL;
}

/* Signals belong to the threads of whoever embeds this. */
static int start_thread(gt_runner *runner) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(&runner->thread, NULL, runner_main, runner);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (!error) pthread_setname_np(runner->thread, "gantry-lu");
  return -error;
}

int gt_runner_start(gt_lu *lu, uint32_t idle_ms, gt_runner **out) {
  gt_runner *runner = calloc(1, sizeof *runner);
  if (!runner) return -ENOMEM;
  runner->lu = lu;
  runner->idle_ms = idle_ms;
  runner->tail = &runner->head;
  pthread_mutex_init(&runner->lock, NULL);
  pthread_condattr_t monotonic;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&runner->changed, &monotonic);
  pthread_condattr_destroy(&monotonic);
  int error = start_thread(runner);
  if (error) {
    pthread_cond_destroy(&runner->changed);
    pthread_mutex_destroy(&runner->lock);
    free(runner);
    return error;
  }
  *out = runner;
  return 0;
}

int gt_runner_submit(gt_runner *runner, gt_command *command) {
  int error = 0;
  command->next = NULL;
  pthread_mutex_lock(&runner->lock);
  if (runner->stopping)
    error = -ESHUTDOWN;
  else if (runner->lent)
    error = -EBUSY;
  else {
    *runner->tail = command;
    runner->tail = &command->next;
    pthread_cond_broadcast(&runner->changed);
  }
  pthread_mutex_unlock(&runner->lock);
  return error;
}

int gt_runner_lend(gt_runner *runner, gt_lu **out) {
  int error = 0;
  pthread_mutex_lock(&runner->lock);
  while (runner->pinging)
    pthread_cond_wait(&runner->changed, &runner->lock);
  if (runner->stopping)
    error = -ESHUTDOWN;
  else if (runner->lent || runner->busy || runner->head)
    error = -EBUSY;
  else {
    runner->lent = true;
    *out = runner->lu;
  }
  pthread_mutex_unlock(&runner->lock);
  return error;
}

void gt_runner_take_back(gt_runner *runner) {
  pthread_mutex_lock(&runner->lock);
  runner->lent = false;
  pthread_cond_broadcast(&runner->changed);
  pthread_mutex_unlock(&runner->lock);
}

void gt_runner_stop(gt_runner *runner, void (*stopped)(void *context), void *context) {
  pthread_mutex_lock(&runner->lock);
  if (!runner->stopping) {
    runner->stopping = true;
    runner->stopped = stopped;
    runner->context = context;
    pthread_cond_broadcast(&runner->changed);
    /* Only a unit that the thread itself polls needs waking; under the lock, for the thread closes
     * the unit after it let the lock go with busy false. */
    if (runner->busy && runner->lu) gt_lu_wake(runner->lu);
  }
  pthread_mutex_unlock(&runner->lock);
}

void gt_runner_free(gt_runner *runner) {
  gt_runner_stop(runner, NULL, NULL);
  pthread_join(runner->thread, NULL);
  pthread_cond_destroy(&runner->changed);
  pthread_mutex_destroy(&runner->lock);
  free(runner);
}
