/* What people see who look for a fault: the commands of a nexus or to a unit, from the home threads to the supervisor.
 */
#include "plane/impl.h"

#include <errno.h>

enum { ANY = UINT32_MAX };

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

void gt_trace_task(gt_trace *trace, const gt_task *task) {
  uint32_t unit = task->path && task->path->unit ? task->path->unit->number : ANY;
  if (!wanted(trace, task->nexus->number, unit)) return;
  gt_trace_record record = {
      .began_ns = task->began_ns,
      .nexus = task->nexus->number,
      .lun = task->lun,
      .unit = unit,
  };
  gt_trace_describe(&record, &task->io);
  gt_trace_put(&trace->queue, &record);
}

int gt_plane_trace(gt_plane *plane, const gt_trace_filter *filters, size_t count) {
  gt_trace *trace = &plane->trace;
  if (count > GT_TRACE_FILTERS) return -EINVAL;
  int error = count ? gt_trace_queue_make(&trace->queue) : 0;
  if (error) return error;
  for (size_t i = 0; i < count; i++)
    atomic_store_explicit(&trace->filters[i], (uint64_t)filters[i].nexus << 32 | filters[i].unit, memory_order_relaxed);
  atomic_store_explicit(&trace->count, (unsigned)count, memory_order_release);
  return 0;
}

size_t gt_plane_take_trace(gt_plane *plane, gt_trace_record *out, size_t max, uint64_t *lost) {
  return gt_trace_take(&plane->trace.queue, out, max, lost);
}
