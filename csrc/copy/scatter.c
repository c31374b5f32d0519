/* The scattering thread: uses the stream up in order, digests it on the way, makes checkpoints, and ends the
 * run. */
#include <errno.h>
#include <string.h>

#include "scatter.h"

void gt_scatter_fail(gt_copy *copy, const gt_cmd *cmd) {
  gt_scatter *s = &copy->scatter;
  if (!s->failed) gt_end_failed(&s->ending, false, cmd);
  s->failed = s->lane.hopeless = true;
}

static void fail_program(gt_copy *copy, gt_result result) {
  gt_scatter *s = &copy->scatter;
  gt_end_with_error(&s->ending, result, result == GT_RESULT_TAPE_ENDED, result == GT_RESULT_INTERNAL ? -EINVAL : 0);
  s->failed = true;
}

void gt_scatter_drop(gt_copy *copy) {
  gt_scatter_tell_held(copy);
  copy->scatter.seg_open = false;
  gt_queue_drop(&copy->program.scatter);
}

void gt_scatter_consumed(gt_copy *copy) {
  gt_scatter *s = &copy->scatter;
  uint64_t before = atomic_load_explicit(&copy->consumed, memory_order_relaxed);
  uint64_t position = gt_pieces_advance(&s->pieces, before);
  if (position == before) return;
  atomic_store_explicit(&copy->stream_offset, copy->options.stream_offset + position, memory_order_relaxed);
  gt_publish_consumed(copy, position);
}

/* DISCARD and HOLD: done as soon as the bytes are there. */
static enum gt_step take_in_memory(gt_copy *copy, uint64_t there, uint64_t *need) {
  gt_scatter *s = &copy->scatter;
  uint64_t bytes = there < s->seg_left ? there : s->seg_left;
  if (gt_pieces_full(&s->pieces)) return GT_WAIT_COMMAND;
  if (!bytes && s->seg_left) {
    *need = s->position + 1;
    gt_scatter_digest(copy, 0);
    return GT_WAIT_SPACE;
  }
  gt_scatter_digest(copy, bytes);
  if (s->seg_left != UINT64_MAX) s->seg_left -= bytes;
  gt_pieces_add(&s->pieces, s->position, true);
  gt_count(&s->lane.stats.bytes, bytes);
  gt_scatter_consumed(copy);
  if (!s->seg_left) gt_scatter_drop(copy);
  return GT_GO;
}

/* FILEMARK, FLUSH, LOCATE, SPACE: everything before them has ended. */
static enum gt_step run_barrier(gt_copy *copy, const gt_seg *seg, uint64_t *need) {
  gt_scatter *s = &copy->scatter;
  if (s->taping && s->position > s->block_start) {
    if (s->next.valid) return GT_WAIT_COMMAND;
    gt_scatter_tape_cut(copy);
    return gt_scatter_tape_write(copy, need);
  }
  if (s->lane.in_use) return GT_WAIT_COMMAND;
  if (seg->op == GT_OP_FLUSH) {
    gt_scatter_checkpoint(copy, false);
  } else {
    gt_scatter_move(copy, seg);
  }
  /* The drive has come to a stop: it starts anew as at the beginning, and what it waits for until then is no defect. */
  s->streaming = s->fed = false;
  gt_scatter_drop(copy);
  return GT_GO;
}

/* No more comes from gather than is there. What does that mean for a segment that wants more? */
static enum gt_step run_short(gt_copy *copy, const gt_seg *seg) {
  if (copy->gather.ending.result != GT_RESULT_OK) return GT_END;
  if (seg->skip & GT_SEG_AS_GATHERED) { /* gather had no segment for it */
    fail_program(copy, GT_RESULT_INTERNAL);
    return GT_GO;
  }
  if (seg->bytes == UINT64_MAX) {
    gt_scatter_drop(copy);
    return GT_GO;
  }
  fail_program(copy, atomic_load(&copy->program.gather_to_mark) ? GT_RESULT_TAPE_ENDED : GT_RESULT_INTERNAL);
  return GT_GO;
}

static enum gt_step run_data(gt_copy *copy, const gt_seg *seg, bool gather_ended, uint64_t *need) {
  gt_scatter *s = &copy->scatter;
  uint64_t there = atomic_load(&copy->produced) - s->position;
  enum gt_step why;
  if (!s->seg_open) gt_scatter_open(copy, seg);
  if (s->failed) return GT_GO;
  /* A destination that is no tape takes what is left of a stream that ended early: it can go on inside a block. */
  s->draining = gather_ended;
  switch (seg->op) {
  case GT_OP_TAPE:
    if (!s->taping && !gt_scatter_tape_begin(copy, seg->lu)) return GT_GO;
    why =
        seg->skip & GT_SEG_AS_GATHERED ? gt_scatter_as_gathered(copy, there, need) : gt_scatter_tape(copy, there, need);
    break;
  case GT_OP_EXTENT: why = gt_scatter_extent(copy, seg, there, need); break;
  case GT_OP_COMPARE: why = gt_scatter_compare(copy, seg, there, need); break;
  default: why = take_in_memory(copy, there, need); break;
  }
  return why == GT_WAIT_SPACE && gather_ended ? run_short(copy, seg) : why;
}

/* All segments are used up, and no more will come. */
static enum gt_step run_out(gt_copy *copy, bool gather_ended, uint64_t *need) {
  gt_scatter *s = &copy->scatter;
  if (s->taping && s->position > s->block_start) {
    gt_scatter_tape_cut(copy);
    return gt_scatter_tape_write(copy, need);
  }
  gt_scatter_digest(copy, 0);
  if (gather_ended && copy->gather.ending.result != GT_RESULT_OK) return GT_END;
  if (atomic_load(&copy->produced) != s->position || gt_marks_peek(&copy->block_ends, 0)) {
    fail_program(copy, GT_RESULT_INTERNAL); /* gather makes more than scatter takes */
    return GT_GO;
  }
  if (s->lane.in_use || !gather_ended) return GT_WAIT_COMMAND;
  if (!copy->options.keep_member) gt_scatter_switch(copy, 0);
  return GT_END;
}

static enum gt_step step(gt_copy *copy, uint64_t *need, uint64_t *until) {
  gt_scatter *s = &copy->scatter;
  bool finished = atomic_load(&copy->finished), gather_ended = atomic_load(&copy->gather_state) == GT_ENDED;
  if (atomic_load(&copy->paused)) return GT_WAIT_TIME;
  if (gt_scatter_checkpoint_due(copy, until)) {
    if (s->lane.in_use) return GT_WAIT_COMMAND;
    gt_scatter_checkpoint(copy, false);
    return GT_GO;
  }
  if (s->next.valid && !s->write) return gt_scatter_tape_write(copy, need);
  const gt_seg *seg = gt_queue_peek(&copy->program.scatter, 0);
  if (seg) return seg->op >= GT_OP_FILEMARK ? run_barrier(copy, seg, need) : run_data(copy, seg, gather_ended, need);
  if (finished && !s->next.valid) return run_out(copy, gather_ended, need);
  gt_scatter_digest(copy, 0);
  return s->next.valid ? GT_WAIT_COMMAND : GT_WAIT_SEGS;
}

static void wait_for(gt_copy *copy, enum gt_step why, uint32_t seen, uint64_t need, uint64_t until) {
  gt_scatter *s = &copy->scatter;
  gt_park_want(&s->park, why == GT_WAIT_SPACE ? need : UINT64_MAX);
  uint64_t start = gt_clock_ns();
  bool idle = !s->lane.in_use;
  if (why == GT_WAIT_SPACE && s->start_by_ns && s->start_by_ns < until) until = s->start_by_ns;
  gt_lane_wait(&s->lane, seen, until);
  if (idle) gt_count(&s->lane.stats.wait_ns, gt_clock_ns() - start);
}

static void settle_commands(gt_copy *copy) {
  gt_scatter *s = &copy->scatter;
  for (;;) {
    uint32_t seen = gt_park_look(&s->park);
    if (!s->lane.in_use) return;
    gt_lane_wait(&s->lane, seen, UINT64_MAX);
  }
}

static void stop_gather(gt_copy *copy) {
  atomic_store(&copy->stop, true);
  gt_park_signal(&copy->gather.park);
  for (;;) {
    uint32_t seen = gt_park_look(&copy->scatter.park);
    if (atomic_load(&copy->gather_state) == GT_ENDED) return;
    gt_park_sleep(&copy->scatter.park, seen, NULL, UINT64_MAX);
  }
}

static void choose_ending(gt_copy *copy, bool gather_ended, gt_ending *ending) {
  gt_scatter *s = &copy->scatter;
  if (atomic_load(&copy->cancelled) && !s->ended) {
    /* Whoever cancelled wants to end the destination properly, and has to know that it does not answer. */
    if (s->failed) *ending = s->ending;
    ending->result = GT_RESULT_CANCELLED;
  } else if (s->failed)
    *ending = s->ending;
  else if (s->volume_full)
    ending->result = GT_RESULT_VOLUME_FULL;
  else if (gather_ended)
    *ending = copy->gather.ending;
}

static void post_done(gt_copy *copy, const gt_ending *ending) {
  gt_event event = copy->scatter.checkpoint;
  event.count = 0;
  event.type = GT_EV_DONE;
  event.result = ending->result;
  event.gather_side = ending->gather_side;
  event.error = ending->error;
  event.lu = ending->lu;
  event.status = ending->status;
  event.outcome = ending->outcome;
  event.sense_len = ending->sense_len;
  event.cdb_len = ending->cdb_len;
  event.lba = ending->object;
  memcpy(event.sense, ending->sense, sizeof event.sense);
  memcpy(event.cdb, ending->cdb, sizeof event.cdb);
  gt_events_post(&copy->events, &event);
}

static void end(gt_copy *copy) {
  gt_scatter *s = &copy->scatter;
  settle_commands(copy);
  gt_ending ending = {0};
  bool gather_ended = atomic_load(&copy->gather_state) == GT_ENDED;
  s->lane.abort_grace_ms = GT_FLUSH_GRACE_MS;
  /* A copy of what was taken of a segment that is cut short; what HOLD kept of one is worth nothing. */
  const gt_seg *seg = gt_queue_peek(&copy->program.scatter, 0);
  if (s->seg_open && seg->skip & GT_SEG_HELD) gt_scatter_tell_held(copy);
  /* What is on the destination is worth a checkpoint, whoever failed, as long as it was not the destination. */
  if (!s->failed) gt_scatter_checkpoint(copy, true);
  choose_ending(copy, gather_ended, &ending);
  stop_gather(copy);
  post_done(copy, &ending);
}

void *gt_scatter_main(void *arg) {
  gt_copy *copy = arg;
  gt_scatter *s = &copy->scatter;
  while (!s->failed && !s->volume_full && !atomic_load(&copy->cancelled)) {
    uint32_t seen = gt_park_look(&s->park);
    uint64_t need = UINT64_MAX, until = UINT64_MAX;
    enum gt_step why = step(copy, &need, &until);
    gt_ask_for_more(copy, why == GT_WAIT_SEGS && atomic_load(&copy->produced) > s->position);
    s->ended = why == GT_END;
    if (s->ended) break;
    if (why != GT_GO) wait_for(copy, why, seen, need, until);
  }
  end(copy);
  return NULL;
}
