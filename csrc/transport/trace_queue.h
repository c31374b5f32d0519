/* A bounded queue of records, of many writers and one reader. Nobody waits for anybody: where there is no room a record
 * is counted and lost. */
#ifndef GT_TRACE_QUEUE_H
#define GT_TRACE_QUEUE_H

#include <stdatomic.h>

#include "trace.h"

/* Without a lock: whoever raises `head` by one has the cell, and the cell's `turn` says whose it is (place: a writer's,
 * place + 1: the reader's). Cells are made with the first filter and stay as long as the queue, since a writer may be
 * at one. */
typedef struct gt_trace_cell {
  atomic_size_t turn;
  gt_trace_record record;
} gt_trace_cell;
typedef struct gt_trace_queue {
  gt_trace_cell *cells;
  atomic_size_t head;
  size_t tail; /* the reader's */
  atomic_uint_fast64_t lost;
} gt_trace_queue;

/* (reader) Makes the cells, once; before anybody can put. -ENOMEM. */
int gt_trace_queue_make(gt_trace_queue *queue);
/* Nobody puts or takes any more. */
void gt_trace_queue_free(gt_trace_queue *queue);
void gt_trace_put(gt_trace_queue *queue, const gt_trace_record *record);
/* (reader) *lost: how many there was no room for since the last call. */
size_t gt_trace_take(gt_trace_queue *queue, gt_trace_record *out, size_t max, uint64_t *lost);
/* What a command says of itself; ended now. */
void gt_trace_describe(gt_trace_record *record, const gt_io *io);

#endif
