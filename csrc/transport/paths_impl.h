/* What the two halves of paths.h share: the table, which any thread may use, and the poller's own. */
#ifndef GT_PATHS_IMPL_H
#define GT_PATHS_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "io_list.h"
#include "paths.h"

enum { GT_PATHS_SLOTS = 256 /* commands outstanding; more wait */ };

/* A unit attention that was taken away when the path was added. */
typedef struct gt_held {
  uint8_t len;
  uint8_t sense[GT_SENSE_MAX];
} gt_held;

/* One line of the table. state 0: free. */
typedef struct gt_paths_row {
  gt_paths_fact fact;
  bool leave;      /* the poller is to let go of it */
  gt_lu *incoming; /* the poller has not taken it yet */
  gt_held held;
} gt_paths_row;

/* The poller's side of the same line. */
typedef struct gt_way {
  struct gt_paths *paths;
  gt_lu *lu;     /* NULL: there is none */
  bool dying;    /* nothing is sent over it any more */
  bool broken;   /* it cannot even be waited for */
  bool checking; /* `check` is outstanding */
  uint32_t sent; /* commands outstanding, without `check` */
  uint32_t once; /* of those, what must not be carried out twice */
  uint64_t check_ns;
  uint64_t since; /* sequence number of the first command after it came */
  gt_held held;
  gt_io check;
  uint8_t answer[36];
} gt_way;

typedef struct gt_slot {
  gt_io io; /* what the path's transport has */
  struct gt_paths *paths;
  gt_io *outer; /* what our caller gave; NULL: free */
  gt_way *way;
  bool asked; /* to be aborted */
  struct gt_slot *next;
} gt_slot;

struct gt_paths {
  gt_lu lu; /* the poller's */
  gt_paths_options options;
  atomic_uint shares;

  pthread_mutex_t lock;
  /* Protected by lock. */
  gt_paths_row rows[GT_PATHS_MAX];
  bool opened, closed, woken;
  gt_lu *polled; /* what the poller waits in */

  atomic_bool mail; /* a row has news for the poller */

  /* The poller's own. */
  gt_way ways[GT_PATHS_MAX];
  gt_way *active;
  gt_slot *slots, *free;
  gt_io_list waiting, finished;
  uint32_t sent;
  uint32_t lost; /* commands that a path took along and whose callers do not know it yet */
  uint64_t sequence;
  bool closing;
};

extern const gt_lu_ops gt_paths_ops;

/* Of the table; any thread. */
void gt_paths_tell(gt_paths *paths);
/* Wakes whoever polls. Lock held. */
void gt_paths_stir(gt_paths *paths);

/* Of the paths; the poller. Nothing here waits but gt_ways_wait. */
gt_way *gt_ways_another(gt_paths *paths, const gt_way *than);
void gt_ways_choose(gt_paths *paths, gt_way *way);
void gt_ways_let_go(gt_paths *paths, gt_way *way);
void gt_ways_count_failure(gt_paths *paths, const gt_way *way);
/* Takes over what was added and removed; never closes anything. */
void gt_ways_take_mail(gt_paths *paths);
/* Asks those that wait whether they are there, and closes those that are done with. */
void gt_ways_tend(gt_paths *paths);
/* Polls every path, the busiest for so long. True: somebody woke it. */
bool gt_ways_wait(gt_paths *paths, int wait_ms);

#endif
