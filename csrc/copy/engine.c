/* A run from the outside: start, control, close. */
#include "engine.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

/* What a run between immediate devices uses of its slice. */
enum { CACHED_BYTES = 8 << 20, CACHED_BLOCKS = 8 };

void gt_publish_produced(gt_copy *copy, uint64_t position) {
  atomic_store(&copy->produced, position);
  gt_park_reached(&copy->scatter.park, position);
}

void gt_publish_consumed(gt_copy *copy, uint64_t position) {
  atomic_store(&copy->consumed, position);
  gt_park_reached(&copy->gather.park, position);
}

void gt_end_with_error(gt_ending *ending, gt_result result, bool gather_side, int error) {
  *ending = (gt_ending){.result = (uint8_t)result, .gather_side = gather_side, .error = error};
}

void gt_end_with_command(gt_ending *ending, gt_result result, bool gather_side, const gt_cmd *cmd) {
  gt_end_with_error(ending, result, gather_side, 0);
  ending->lu = cmd->lu;
  ending->status = cmd->io.status;
  ending->outcome = cmd->io.outcome;
  ending->sense_len = cmd->io.sense_len;
  ending->cdb_len = cmd->io.cdb_len;
  memcpy(ending->sense, cmd->io.sense, sizeof ending->sense);
  memcpy(ending->cdb, cmd->io.cdb, sizeof ending->cdb);
}

void gt_end_failed(gt_ending *ending, bool gather_side, const gt_cmd *cmd) {
  /* GOOD with a residual that should not be there is no answer of the device either. */
  bool answered = cmd->io.outcome == GT_DELIVERED && (cmd->io.status || cmd->role == GT_ROLE_TAPE_READ);
  gt_end_with_command(ending, answered ? GT_RESULT_DEVICE_ERROR : GT_RESULT_TRANSPORT_ERROR, gather_side, cmd);
}

uint32_t gt_disk_limit(const gt_copy *copy, uint8_t index) {
  const gt_copy_lu *lu = &copy->lus[index];
  uint32_t limit = copy->io_bytes;
  if (lu->lu->limits.max_transfer < limit) limit = lu->lu->limits.max_transfer;
  if (lu->max_io_bytes && lu->max_io_bytes < limit) limit = lu->max_io_bytes;
  limit -= limit % lu->block_bytes;
  return limit ? limit : lu->block_bytes;
}

void gt_ask_for_more(gt_copy *copy, bool starving) {
  if (!atomic_load(&copy->hungry_armed) || atomic_load(&copy->finished)) return;
  uint64_t gather = gt_queue_count(&copy->program.gather), scatter = gt_queue_count(&copy->program.scatter);
  bool wanted;
  if (atomic_load(&copy->refused)) {
    wanted = gather + atomic_load(&copy->refused_gather) <= GT_QUEUE_SEGS &&
             scatter + atomic_load(&copy->refused_scatter) <= GT_QUEUE_SEGS &&
             gt_program_has_room(&copy->program, atomic_load(&copy->refused_inline));
  } else {
    wanted = starving || (gather < GT_LOW_SEGS && scatter < GT_LOW_SEGS);
  }
  if (!wanted || !atomic_exchange(&copy->hungry_armed, false)) return;
  gt_event event = {.type = GT_EV_HUNGRY};
  gt_events_post(&copy->events, &event);
}

/* Between devices that work at the speed of memory there is nothing to read ahead of: a ring that stays in the
 * processor's caches costs a seventh less processor time than one that does not. The host's page cache behind them is
 * the buffer that a drive with a motor needs the whole slice for. */
static uint64_t slice_wanted(const gt_copy *copy, uint64_t page) {
  const gt_copy_options *o = &copy->options;
  uint64_t enough = CACHED_BLOCKS * (uint64_t)gt_larger_block(copy);
  if (enough < CACHED_BYTES) enough = CACHED_BYTES;
  for (unsigned i = 0; i < o->lu_count; i++) {
    if (!copy->lus[i].lu->limits.immediate) return o->ring_bytes;
  }
  enough = (enough + page - 1) / page * page;
  return enough < o->ring_bytes ? enough : o->ring_bytes;
}

/* An eighth of the slice at most goes to the slots, and no more than the two sides can use. */
static int map_ring(gt_copy *copy) {
  const gt_copy_options *o = &copy->options;
  uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), most = 2ull * o->depth * GT_SLOT_BYTES;
  uint64_t slice = slice_wanted(copy, page), aside = slice / 8 < most ? slice / 8 : most;
  aside -= aside % (2 * page);
  if (!aside) aside = 2 * page;
  int result = gt_ring_map(&copy->ring, o->arena, slice, aside);
  if (result) return result;
  gt_slots_init(&copy->gather.slots, copy->ring.aside, aside / 2, o->depth);
  gt_slots_init(&copy->scatter.slots, copy->ring.aside + aside / 2, aside / 2, o->depth);
  copy->io_bytes = o->io_bytes < copy->ring.size / 4 ? o->io_bytes : (uint32_t)(copy->ring.size / 4);
  return 0;
}

static void start_state(gt_copy *copy) {
  const gt_copy_options *o = &copy->options;
  gt_scatter *s = &copy->scatter;
  copy->started_ns = gt_clock_ns();
  gt_throttle_init(&copy->throttle, o->bytes_per_s, copy->started_ns);
  gt_digest_init(&s->digest, o->sha256, &o->digest);
  copy->program.block_bytes[GT_SIDE_GATHER] = o->source_block_bytes;
  copy->program.block_bytes[GT_SIDE_SCATTER] = o->tape_block_bytes;
  copy->gather.tag = o->digest.tag;
  s->written_digest = o->digest;
  s->object = o->tape_object;
  s->checkpoint_ns = copy->started_ns;
  s->checkpoint = (gt_event){.stream_offset = o->stream_offset, .object = o->tape_object, .digest = o->digest};
  s->checkpoint.cookie = o->stream_offset;
  atomic_store(&copy->stream_offset, o->stream_offset);
  atomic_store(&copy->hungry_armed, true);
}

static int allocate(gt_copy *copy) {
  const gt_copy_options *o = &copy->options;
  gt_scatter *s = &copy->scatter;
  copy->lus = malloc(o->lu_count * sizeof *copy->lus);
  s->dirty = calloc(o->lu_count, sizeof *s->dirty);
  s->cached = calloc(o->lu_count, sizeof *s->cached);
  int result = copy->lus && s->dirty && s->cached ? 0 : -ENOMEM;
  if (copy->lus) memcpy(copy->lus, o->lus, o->lu_count * sizeof *copy->lus);
  int parts[] = {
      gt_program_init(&copy->program, copy->lus, o->lu_count, o->stream_offset),
      gt_crcs_init(&s->crcs),
      gt_crcs_init(&copy->gather.crcs),
      gt_events_init(&copy->events, o->notify, o->notify_context),
      gt_marks_init(&copy->tags, GT_TAGS),
      gt_marks_init(&copy->trail.marks, GT_TRAIL),
      gt_marks_init(&copy->block_ends, GT_BLOCK_ENDS),
      gt_lane_init(&copy->gather.lane, copy, &copy->gather.park, true, o->depth),
      gt_lane_init(&s->lane, copy, &s->park, false, o->depth),
  };
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
    result = result ? result : parts[i];
  return result;
}

static void release(gt_copy *copy) {
  gt_lane_free(&copy->gather.lane);
  gt_lane_free(&copy->scatter.lane);
  gt_marks_free(&copy->tags);
  gt_marks_free(&copy->trail.marks);
  gt_marks_free(&copy->block_ends);
  gt_program_free(&copy->program);
  gt_events_free(&copy->events);
  gt_ring_unmap(&copy->ring);
  free(copy->scatter.dirty);
  free(copy->scatter.cached);
  gt_crcs_free(&copy->scatter.crcs);
  gt_crcs_free(&copy->gather.crcs);
  free(copy->scatter.held);
  free(copy->lus);
  free(copy);
}

/* The engine's threads take no signals: those belong to the process's main thread. */
static int start_threads(gt_copy *copy) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(&copy->gather_thread, NULL, gt_gather_main, copy);
  if (!error) {
    error = pthread_create(&copy->scatter_thread, NULL, gt_scatter_main, copy);
    if (error) {
      atomic_store(&copy->stop, true);
      gt_park_signal(&copy->gather.park);
      pthread_join(copy->gather_thread, NULL);
    }
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error) return -error;
  pthread_setname_np(copy->gather_thread, "gantry-gather");
  pthread_setname_np(copy->scatter_thread, "gantry-scatter");
  return 0;
}

int gt_copy_start(const gt_copy_options *options, gt_copy **out, char *err, size_t err_len) {
  int result = gt_copy_check_options(options, err, err_len);
  if (result) return result;
  gt_copy *copy = calloc(1, sizeof *copy);
  if (!copy) return -ENOMEM;
  copy->options = *options;
  gt_copy_set_defaults(&copy->options);
  result = allocate(copy);
  if (!result) result = map_ring(copy);
  copy->options.lus = copy->lus;
  if (!result) {
    start_state(copy);
    result = start_threads(copy);
  }
  if (result) {
    if (err && err_len) snprintf(err, err_len, "The copy cannot start: %s.", strerror(-result));
    release(copy);
    return result;
  }
  *out = copy;
  return 0;
}

static void signal_both(gt_copy *copy) {
  gt_park_signal(&copy->gather.park);
  gt_park_signal(&copy->scatter.park);
}

int gt_copy_append(gt_copy *copy, const gt_seg *gather, size_t gathers, const gt_seg *scatter, size_t scatters,
                   const uint8_t *inline_bytes, size_t inline_len, size_t *bad) {
  size_t wrong = 0;
  if (atomic_load(&copy->finished)) return -EINVAL;
  int result = gt_program_append(&copy->program, gather, gathers, scatter, scatters, inline_bytes, inline_len, &wrong);
  if (bad) *bad = wrong;
  if (result == -ENOSPC) {
    atomic_store(&copy->refused_gather, (uint32_t)gathers);
    atomic_store(&copy->refused_scatter, (uint32_t)scatters);
    atomic_store(&copy->refused_inline, (uint32_t)inline_len);
  }
  if (result && result != -ENOSPC) return result;
  atomic_store(&copy->refused, result == -ENOSPC);
  atomic_store(&copy->hungry_armed, true);
  signal_both(copy);
  return result;
}

void gt_copy_finish(gt_copy *copy) {
  atomic_store(&copy->finished, true);
  signal_both(copy);
}

void gt_copy_pause(gt_copy *copy) {
  atomic_store(&copy->paused, true);
  signal_both(copy);
}

void gt_copy_resume(gt_copy *copy) {
  atomic_store(&copy->paused, false);
  signal_both(copy);
}

void gt_copy_cancel(gt_copy *copy) {
  atomic_store(&copy->cancelled, true);
  signal_both(copy);
}

void gt_copy_rate(gt_copy *copy, uint64_t bytes_per_s) {
  atomic_store(&copy->throttle.rate, bytes_per_s);
  gt_park_signal(&copy->gather.park);
}

static uint64_t read_counter(_Atomic uint64_t *counter) { return atomic_load_explicit(counter, memory_order_relaxed); }

static void stage_stats(gt_lane_stats *from, gt_stage_stats *to) {
  to->bytes = read_counter(&from->bytes);
  to->commands = read_counter(&from->commands);
  to->retries = read_counter(&from->retries);
  to->busy_ns = read_counter(&from->busy_ns);
  to->wait_ns = read_counter(&from->wait_ns);
}

void gt_copy_stats_get(gt_copy *copy, gt_copy_stats *out) {
  memset(out, 0, sizeof *out);
  stage_stats(&copy->gather.lane.stats, &out->gather);
  stage_stats(&copy->scatter.lane.stats, &out->scatter);
  out->tape_waits = read_counter(&copy->tape_waits);
  out->tape_wait_ns = read_counter(&copy->tape_wait_ns);
  out->throttle_ns = read_counter(&copy->throttle_ns);
  out->stream_offset = read_counter(&copy->stream_offset);
  out->medium_errors = read_counter(&copy->medium_errors);
  out->started_ns = copy->started_ns;
  out->now_ns = gt_clock_ns();
}

size_t gt_copy_take(gt_copy *copy, gt_event *events, size_t max) { return gt_events_take(&copy->events, events, max); }

void gt_copy_close(gt_copy *copy) {
  if (!copy) return;
  gt_events_discard(&copy->events);
  gt_copy_cancel(copy);
  pthread_join(copy->scatter_thread, NULL);
  pthread_join(copy->gather_thread, NULL);
  release(copy);
}
