/* One thread per open logical unit, for single commands: whoever opened it hands commands over, the
 * thread is the unit's poller and runs them one after another. A copy needs the poller's seat for
 * itself, so the runner lends the unit out and takes it back.
 *
 * Threads: every function may be called by any thread, but stop and free by one owner only. finished
 * and stopped are called on the runner's own thread, must not block and must not call
 * gt_runner_free.
 *
 * Ownership: the runner owns the gt_lu from a successful start on and closes it when it stops. The
 * caller owns a gt_command and its buffers again when finished is called (or submit fails). */
#ifndef GT_RUNNER_H
#define GT_RUNNER_H

#include <stdint.h>

#include "lu.h"

typedef struct gt_command gt_command;
struct gt_command {
  gt_io io;  /* request filled in by the caller, except done and owner, which are the runner's */
  int error; /* 0, or the negative errno with which submit refused: then the answer in io means nothing */
  void (*finished)(gt_command *command); /* exactly once */
  void *owner;                           /* caller's own */
  gt_command *next;                      /* the runner's own */
};

typedef struct gt_runner gt_runner;

/* Starts the thread. idle_ms: how often an idle unit is polled, so that the transport can answer its
 * peer (iSCSI pings); 0: never. On error (negative errno) the unit is still the caller's. */
int gt_runner_start(gt_lu *lu, uint32_t idle_ms, gt_runner **out);

/* Queues a command. -EBUSY: the unit is lent out. -ESHUTDOWN: stop was called. After 0, finished is
 * called whatever happens; commands that stop overtook end as GT_ABORTED. */
int gt_runner_submit(gt_runner *runner, gt_command *command);

/* Hands the unit to another poller. -EBUSY: it is lent out already or a command has not finished.
 * -ESHUTDOWN: stop was called. */
int gt_runner_lend(gt_runner *runner, gt_lu **out);
/* Takes the unit back; the borrower has nothing outstanding on it and does not touch it again. */
void gt_runner_take_back(gt_runner *runner);

/* Asks the thread to end: what is outstanding is aborted, what is queued ends as GT_ABORTED, the unit
 * is closed (once it was taken back, if it is lent out), then stopped(context) is called, if not NULL.
 * Returns at once. A second call changes nothing. */
void gt_runner_stop(gt_runner *runner, void (*stopped)(void *context), void *context);

/* Stops if need be, waits for the thread and frees. Returns at once when stopped was called. */
void gt_runner_free(gt_runner *runner);

#endif
