/* The gathering thread: takes segments in order, gives each piece its place in the ring, keeps commands
 * outstanding, and publishes how far everything is there. */
#include <string.h>

#include "grains.h"
#include "internal.h"

enum { MEMORY_PIECE = 1 << 20 }; /* bytes of inline data or zeros made at once, between looks at the rest */

void gt_gather_advance(gt_copy *copy) {
  uint64_t before = atomic_load_explicit(&copy->produced, memory_order_relaxed);
  uint64_t position = gt_pieces_advance(&copy->gather.pieces, before);
  if (position == before) return;
  gt_grains_make(&copy->ring, atomic_load(&copy->consumed), before, position);
  gt_publish_produced(copy, position);
}

bool gt_gather_may_mark(gt_copy *copy, const gt_marks *marks) {
  if (gt_marks_room(marks)) return true;
  atomic_store(&copy->marks_wanted, true);
  return gt_marks_room(marks) > 0;
}

bool gt_gather_tag(gt_copy *copy, uint32_t tag, uint64_t position) {
  gt_gather *g = &copy->gather;
  if (tag == g->tag) return true;
  if (!gt_gather_may_mark(copy, &copy->tags)) return false;
  gt_marks_push(&copy->tags, (gt_mark){.position = position, .value = tag});
  g->tag = tag;
  return true;
}

static enum gt_step gather_memory(gt_copy *copy, const gt_seg *seg, uint64_t *need) {
  gt_gather *g = &copy->gather;
  /* What is left over of a tape block makes room and comes after these bytes. */
  uint64_t over = g->landed > g->allocated ? g->landed - g->allocated : 0;
  uint64_t left = seg->bytes - g->seg_done, room = gt_ring_room(copy, g->allocated + over);
  uint64_t bytes = left < room ? left : room;
  if (bytes > MEMORY_PIECE) bytes = MEMORY_PIECE;
  if (left && !bytes) {
    *need = g->allocated + over + 1 - copy->ring.size;
    return GT_WAIT_SPACE;
  }
  if (gt_pieces_full(&g->pieces)) return GT_WAIT_COMMAND;
  uint8_t *to = gt_ring_at(&copy->ring, g->allocated);
  if (over) {
    memmove(to + bytes, to, over); /* by one address range: the ring has two for each byte */
    g->landed += bytes;
  }
  if (seg->op == GT_OP_ZEROS)
    memset(to, 0, bytes);
  else if (bytes)
    memcpy(to, (const uint8_t *)(uintptr_t)seg->addr + g->seg_done, bytes);
  g->allocated += bytes;
  if (!over) g->landed = g->allocated;
  g->seg_done += bytes;
  gt_throttle_take(&copy->throttle, bytes);
  gt_pieces_add(&g->pieces, g->allocated, true);
  if (g->seg_done == seg->bytes) {
    bool inline_bytes = seg->op == GT_OP_INLINE;
    g->seg_done = 0;
    g->seg_open = false;
    gt_queue_drop(&copy->program.gather);
    if (inline_bytes) gt_program_free_inline(&copy->program);
  }
  gt_gather_advance(copy);
  return GT_GO;
}

/* Is gather held back on purpose? Until when. */
static uint64_t held_back_until(gt_copy *copy) {
  if (atomic_load(&copy->paused)) return UINT64_MAX;
  if (!atomic_load_explicit(&copy->throttle.rate, memory_order_relaxed)) return 0;
  return gt_throttle_until(&copy->throttle, gt_clock_ns());
}

static enum gt_step step(gt_copy *copy, uint64_t *need, uint64_t *until) {
  gt_gather *g = &copy->gather;
  bool finished = atomic_load(&copy->finished); /* before the queue: finish comes after the last append */
  const gt_seg *seg = gt_queue_peek(&copy->program.gather, 0);
  if (!seg) return finished ? GT_END : GT_WAIT_SEGS;
  *until = held_back_until(copy);
  if (*until) return GT_WAIT_TIME;
  *until = UINT64_MAX;
  if (seg->op == GT_OP_LOCATE || seg->op == GT_OP_SPACE) return gt_gather_position(copy, seg);
  if (!g->seg_open && !gt_gather_tag(copy, seg->tag, g->allocated)) return GT_WAIT_MARKS;
  g->seg_open = true;
  if (seg->op == GT_OP_EXTENT) return gt_gather_extent(copy, seg, need);
  if (seg->op == GT_OP_TAPE) return gt_gather_tape(copy, seg, need);
  return gather_memory(copy, seg, need);
}

static void note_state(gt_copy *copy, int state) {
  int before = atomic_load_explicit(&copy->gather_state, memory_order_relaxed);
  if (before == state) return;
  atomic_store(&copy->gather_state, state);
  /* A tape that had nothing to wait for has now. */
  if (before == GT_STARVED || before == GT_HELD_BACK) gt_park_signal(&copy->scatter.park);
}

static int state_of(const gt_gather *g, enum gt_step why) {
  if (g->lane.in_use) return GT_RUNNING;
  switch (why) {
  case GT_WAIT_SEGS: return GT_STARVED;
  case GT_WAIT_SPACE:
  case GT_WAIT_MARKS: return GT_RING_FULL;
  case GT_WAIT_TIME: return GT_HELD_BACK;
  default: return GT_RUNNING;
  }
}

static void wait_for(gt_copy *copy, enum gt_step why, uint32_t seen, uint64_t need, uint64_t until) {
  gt_gather *g = &copy->gather;
  int state = state_of(g, why);
  note_state(copy, state);
  /* Nothing more comes for a while: scatter may be waiting for a whole block of it. */
  if (state != GT_RUNNING) gt_park_signal(&copy->scatter.park);
  gt_park_want(&g->park, why == GT_WAIT_SPACE ? need : UINT64_MAX);
  uint64_t start = gt_clock_ns();
  gt_lane_wait(&g->lane, seen, why == GT_WAIT_TIME ? until : UINT64_MAX);
  uint64_t waited = gt_clock_ns() - start;
  if (why == GT_WAIT_TIME)
    gt_count(&copy->throttle_ns, waited);
  else if (why == GT_WAIT_SPACE || why == GT_WAIT_MARKS)
    gt_count(&g->lane.stats.wait_ns, waited);
}

/* Commands that are under way end before the thread does: their buffers are the ring. */
static void settle_commands(gt_copy *copy) {
  gt_gather *g = &copy->gather;
  for (;;) {
    uint32_t seen = gt_park_look(&g->park);
    gt_gather_repair(copy);
    if (!g->lane.in_use) return;
    gt_lane_wait(&g->lane, seen, UINT64_MAX);
  }
}

static void end(gt_copy *copy) {
  gt_gather *g = &copy->gather;
  settle_commands(copy);
  gt_crcs_tell(&g->crcs, &copy->events);
  if (!g->failed && gt_stopping(copy)) g->ending.result = GT_RESULT_CANCELLED;
  atomic_store(&copy->gather_state, GT_ENDED);
  gt_park_signal(&copy->scatter.park);
}

void *gt_gather_main(void *arg) {
  gt_copy *copy = arg;
  gt_gather *g = &copy->gather;
  while (!g->failed && !gt_stopping(copy)) {
    uint32_t seen = gt_park_look(&g->park);
    uint64_t need = UINT64_MAX, until = UINT64_MAX;
    if (g->broken) gt_gather_repair(copy);
    enum gt_step why = step(copy, &need, &until);
    gt_ask_for_more(copy, why == GT_WAIT_SEGS);
    if (why == GT_END) break;
    if (why == GT_GO) note_state(copy, GT_RUNNING);
    if (why != GT_GO && !g->broken && !g->failed) wait_for(copy, why, seen, need, until);
  }
  end(copy);
  return NULL;
}
