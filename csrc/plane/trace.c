/* What people see who look for a fault: the commands of a nexus or to a unit, in a bounded queue from the home threads
 * to the supervisor. Nobody waits for anybody: where there is no room a record is counted and lost. */
#include "plane/impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { ANY = UINT32_MAX };
_Static_assert((GT_TRACE_RECORDS & (GT_TRACE_RECORDS - 1)) == 0, "places are counted modulo a power of two");

uint64_t gt_trace_now(const gt_trace *trace) {
  return atomic_load_explicit(&trace->count, memory_order_relaxed) ? gt_now_ns() : 0;
}

static bool wanted(gt_trace *trace, uint32_t nexus, uint32_t unit) {
  unsigned count = atomic_load_explicit(&trace->count, memory_order_acquire);
  for (unsigned i = 0; i < count; i++) {
    uint64_t filter = atomic_load_explicit(&trace->filters[i], memory_order_relaxed);
    uint32_t of_nexus = (uint32_t)(filter >> 32), of_unit = (uint32_t)filter;
    if ((of_nexus == ANY || of_nexus == nexus) && (of_unit == ANY || of_unit == unit)) return true;
  }
  return false;
}

/* The cell at a place that the caller may write, or NULL: the reader is a whole round behind. */
static gt_trace_cell *take_place(gt_trace *trace, size_t *place) {
  *place = atomic_load_explicit(&trace->head, memory_order_relaxed);
  for (;;) {
    gt_trace_cell *cell = &trace->cells[*place % GT_TRACE_RECORDS];
    size_t turn = atomic_load_explicit(&cell->turn, memory_order_acquire);
    if (turn == *place) {
      if (atomic_compare_exchange_weak_explicit(&trace->head, place, *place + 1, memory_order_relaxed,
                                                memory_order_relaxed))
        return cell;
    } else if ((ptrdiff_t)(turn - *place) < 0) {
      return NULL;
    } else {
      *place = atomic_load_explicit(&trace->head, memory_order_relaxed);
    }
  }
}

void gt_trace_put(gt_trace *trace, const gt_trace_record *record) {
  size_t place;
  gt_trace_cell *cell = take_place(trace, &place);
  if (!cell) {
    atomic_fetch_add_explicit(&trace->lost, 1, memory_order_relaxed);
    return;
  }
  cell->record = *record;
  atomic_store_explicit(&cell->turn, place + 1, memory_order_release);
}

void gt_trace_task(gt_trace *trace, const gt_task *task) {
  const gt_io *io = &task->io;
  uint32_t unit = task->path && task->path->unit ? task->path->unit->number : ANY;
  if (!wanted(trace, task->nexus->number, unit)) return;
  gt_trace_record record = {
      .began_ns = task->began_ns,
      .ended_ns = gt_now_ns(),
      .nexus = task->nexus->number,
      .lun = task->lun,
      .unit = unit,
      .data_len = io->data_len,
      .resid = io->resid,
      .dir = io->dir,
      .outcome = io->outcome,
      .status = io->status,
      .cdb_len = io->cdb_len < GT_CDB_MAX ? io->cdb_len : GT_CDB_MAX,
      .sense_len = io->sense_len < GT_SENSE_MAX ? io->sense_len : GT_SENSE_MAX,
  };
  memcpy(record.cdb, io->cdb, record.cdb_len);
  memcpy(record.sense, io->sense, record.sense_len);
  gt_trace_put(trace, &record);
}

int gt_plane_trace(gt_plane *plane, const gt_trace_filter *filters, size_t count) {
  gt_trace *trace = &plane->trace;
  if (count > GT_TRACE_FILTERS) return -EINVAL;
  if (count && !trace->cells) {
    trace->cells = calloc(GT_TRACE_RECORDS, sizeof *trace->cells);
    if (!trace->cells) return -ENOMEM;
    for (size_t i = 0; i < GT_TRACE_RECORDS; i++)
      atomic_init(&trace->cells[i].turn, i);
  }
  for (size_t i = 0; i < count; i++)
    atomic_store_explicit(&trace->filters[i], (uint64_t)filters[i].nexus << 32 | filters[i].unit, memory_order_relaxed);
  atomic_store_explicit(&trace->count, (unsigned)count, memory_order_release);
  return 0;
}

size_t gt_plane_take_trace(gt_plane *plane, gt_trace_record *out, size_t max, uint64_t *lost) {
  gt_trace *trace = &plane->trace;
  size_t taken = 0;
  *lost = atomic_exchange_explicit(&trace->lost, 0, memory_order_relaxed);
  if (!trace->cells) return 0;
  for (; taken < max; taken++, trace->tail++) {
    gt_trace_cell *cell = &trace->cells[trace->tail % GT_TRACE_RECORDS];
    if (atomic_load_explicit(&cell->turn, memory_order_acquire) != trace->tail + 1) break;
    out[taken] = cell->record;
    atomic_store_explicit(&cell->turn, trace->tail + GT_TRACE_RECORDS, memory_order_release);
  }
  return taken;
}
