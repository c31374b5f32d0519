#include "transport/trace_queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "transport/io_list.h"

_Static_assert((GT_TRACE_RECORDS & (GT_TRACE_RECORDS - 1)) == 0, "places are counted modulo a power of two");

int gt_trace_queue_make(gt_trace_queue *queue) {
  if (queue->cells) return 0;
  queue->cells = calloc(GT_TRACE_RECORDS, sizeof *queue->cells);
  if (!queue->cells) return -ENOMEM;
  for (size_t i = 0; i < GT_TRACE_RECORDS; i++)
    atomic_init(&queue->cells[i].turn, i);
  return 0;
}

void gt_trace_queue_free(gt_trace_queue *queue) { free(queue->cells); }

/* The cell at a place that the caller may write, or NULL: the reader is a whole round behind. */
static gt_trace_cell *take_place(gt_trace_queue *queue, size_t *place) {
  *place = atomic_load_explicit(&queue->head, memory_order_relaxed);
  for (;;) {
    gt_trace_cell *cell = &queue->cells[*place % GT_TRACE_RECORDS];
    size_t turn = atomic_load_explicit(&cell->turn, memory_order_acquire);
    if (turn == *place) {
      if (atomic_compare_exchange_weak_explicit(&queue->head, place, *place + 1, memory_order_relaxed,
                                                memory_order_relaxed))
        return cell;
    } else if ((ptrdiff_t)(turn - *place) < 0) {
      return NULL;
    } else {
      *place = atomic_load_explicit(&queue->head, memory_order_relaxed);
    }
  }
}

void gt_trace_put(gt_trace_queue *queue, const gt_trace_record *record) {
  size_t place;
  gt_trace_cell *cell = take_place(queue, &place);
  if (!cell) {
    atomic_fetch_add_explicit(&queue->lost, 1, memory_order_relaxed);
    return;
  }
  cell->record = *record;
  atomic_store_explicit(&cell->turn, place + 1, memory_order_release);
}

size_t gt_trace_take(gt_trace_queue *queue, gt_trace_record *out, size_t max, uint64_t *lost) {
  size_t taken = 0;
  *lost = atomic_exchange_explicit(&queue->lost, 0, memory_order_relaxed);
  if (!queue->cells) return 0;
  for (; taken < max; taken++, queue->tail++) {
    gt_trace_cell *cell = &queue->cells[queue->tail % GT_TRACE_RECORDS];
    if (atomic_load_explicit(&cell->turn, memory_order_acquire) != queue->tail + 1) break;
    out[taken] = cell->record;
    atomic_store_explicit(&cell->turn, queue->tail + GT_TRACE_RECORDS, memory_order_release);
  }
  return taken;
}

void gt_trace_describe(gt_trace_record *record, const gt_io *io) {
  record->ended_ns = gt_now_ns();
  record->data_len = io->data_len;
  record->resid = io->resid;
  record->dir = io->dir;
  record->outcome = io->outcome;
  record->status = io->status;
  record->cdb_len = io->cdb_len < GT_CDB_MAX ? io->cdb_len : GT_CDB_MAX;
  record->sense_len = io->sense_len < GT_SENSE_MAX ? io->sense_len : GT_SENSE_MAX;
  memcpy(record->cdb, io->cdb, record->cdb_len);
  memcpy(record->sense, io->sense, record->sense_len);
}

/* ---- taps ---- */

struct gt_tap {
  atomic_uint shares;
  atomic_uint count; /* of tags */
  atomic_uint_fast32_t tags[GT_TRACE_FILTERS];
  gt_trace_queue queue;
};

int gt_tap_new(gt_tap **out) {
  gt_tap *tap = calloc(1, sizeof *tap);
  if (!tap) return -ENOMEM;
  atomic_init(&tap->shares, 1);
  *out = tap;
  return 0;
}

gt_tap *gt_tap_ref(gt_tap *tap) {
  atomic_fetch_add_explicit(&tap->shares, 1, memory_order_relaxed);
  return tap;
}

void gt_tap_unref(gt_tap *tap) {
  if (atomic_fetch_sub_explicit(&tap->shares, 1, memory_order_acq_rel) != 1) return;
  gt_trace_queue_free(&tap->queue);
  free(tap);
}

int gt_tap_set(gt_tap *tap, const uint32_t *tags, size_t count) {
  if (count > GT_TRACE_FILTERS) return -EINVAL;
  int error = count ? gt_trace_queue_make(&tap->queue) : 0;
  if (error) return error;
  for (size_t i = 0; i < count; i++)
    atomic_store_explicit(&tap->tags[i], tags[i], memory_order_relaxed);
  atomic_store_explicit(&tap->count, (unsigned)count, memory_order_release);
  return 0;
}

size_t gt_tap_take(gt_tap *tap, gt_trace_record *out, size_t max, uint64_t *lost) {
  return gt_trace_take(&tap->queue, out, max, lost);
}

uint64_t gt_tap_begin(const gt_tap *tap, uint32_t tag) {
  unsigned count = atomic_load_explicit(&tap->count, memory_order_acquire);
  for (unsigned i = 0; i < count; i++)
    if (atomic_load_explicit(&tap->tags[i], memory_order_relaxed) == tag) return gt_now_ns();
  return 0;
}

void gt_tap_end(gt_tap *tap, uint32_t tag, const gt_io *io) {
  gt_trace_record record = {.began_ns = io->began_ns, .nexus = UINT32_MAX, .unit = tag};
  gt_trace_describe(&record, io);
  gt_trace_put(&tap->queue, &record);
}
