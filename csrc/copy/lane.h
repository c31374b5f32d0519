/* The commands of one side: a pool of them, how they are sent, judged, repeated and waited for. A lane belongs to
 * its engine thread, which is the poller of every unit on it. Commands of one unit at a time are outstanding.
 *
 * Order of life: gt_lane_get → fill in io and the caller's fields → gt_lane_send → `ended` is called (inside
 * gt_lane_wait or gt_lane_run, and inside gt_lane_send where the unit refuses it) with the verdict, retries over →
 * gt_lane_put. */
#ifndef GT_LANE_H
#define GT_LANE_H

#include "engine.h"
#include "park.h"
#include "retry.h"

typedef struct gt_lane gt_lane;
typedef struct gt_cmd gt_cmd;

struct gt_cmd {
  gt_io io;
  gt_lane *lane;
  gt_cmd *next;
  void (*ended)(gt_cmd *cmd);
  gt_sense sense; /* parsed; valid in ended */
  uint8_t role;   /* gt_role */
  uint8_t verdict;
  uint8_t lu;
  bool finished;
  bool sent;       /* outstanding at the unit */
  bool compare;    /* caller's: the data is for comparing */
  uint16_t skip;   /* caller's: bytes of the first block that are passed over */
  uint32_t tries;  /* failed ones */
  uint32_t bytes;  /* caller's: stream bytes */
  uint32_t blocks; /* caller's */
  uint64_t stream; /* caller's: position of the first of them in this run */
  uint64_t lba;    /* caller's */
  uint64_t piece;  /* caller's: index of the piece it fills */
  uint8_t *slot;   /* caller's: slot beside the ring, or NULL */
  uint64_t busy_since_ns, again_ns, abort_ns;
};

typedef struct gt_lane_stats {
  _Atomic uint64_t bytes, commands, retries, busy_ns, wait_ns;
} gt_lane_stats;

struct gt_lane {
  struct gt_copy *copy;
  gt_park *park;
  bool gather;
  bool hopeless;                 /* the side has failed: nothing is repeated any more */
  uint16_t depth;                /* commands in the pool */
  uint16_t in_use;               /* got and not yet put back */
  uint16_t outstanding;          /* at the unit */
  uint8_t active;                /* lu they are at */
  bool *used;                    /* by lu: the lane is its poller */
  uint64_t pinged_ns;            /* when units with nothing outstanding were polled last */
  gt_cmd *cmds, *free, *waiting; /* waiting: to be sent again at again_ns */
  gt_cmd single;                 /* for gt_lane_run */
  uint64_t busy_from_ns, retried_ns;
  uint32_t retried;        /* retries not yet told of */
  uint32_t abort_grace_ms; /* after a cancel, what is outstanding is aborted when this is over */
  gt_lane_stats stats;
};

/* copy->options.lu_count is set. */
int gt_lane_init(gt_lane *lane, struct gt_copy *copy, gt_park *park, bool gather, uint16_t depth);
void gt_lane_free(gt_lane *lane);

gt_cmd *gt_lane_get(gt_lane *lane); /* NULL: all in use */
void gt_lane_put(gt_cmd *cmd);
/* Nothing may be outstanding on another unit than cmd->lu. */
void gt_lane_send(gt_cmd *cmd);
/* Sends again what has waited long enough, sleeps until something ends, somebody signals, or until_ns.
 * seen: from gt_park_look. */
void gt_lane_wait(gt_lane *lane, uint32_t seen, uint64_t until_ns);
/* The lane's single command, cleared, for gt_lane_run. */
gt_cmd *gt_lane_single(gt_lane *lane, uint8_t lu, gt_role role, uint32_t timeout_ms);
/* Sends it and waits for its end, serving the others meanwhile; returns the verdict. */
gt_verdict gt_lane_run(gt_cmd *cmd);

#endif
