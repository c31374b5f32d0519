/* Making what was written durable, and saying so. */
#include "disk.h"
#include "scatter.h"
#include "tape.h"

static bool flush_disk(gt_copy *copy, uint8_t lu) {
  gt_scatter *s = &copy->scatter;
  gt_cmd *cmd = gt_lane_single(&s->lane, lu, GT_ROLE_DISK_WRITE, copy->options.command_timeout_ms);
  /* SBC-3 5.28, the whole medium, IMMED 0. A disk without the command has no cache to lose. */
  cmd->io.cdb[0] = GT_SYNCHRONIZE_CACHE_16;
  cmd->io.cdb_len = 16;
  gt_verdict verdict = gt_lane_run(cmd);
  if (verdict == GT_UNSUPPORTED) {
    cmd = gt_lane_single(&s->lane, lu, GT_ROLE_DISK_WRITE, copy->options.command_timeout_ms);
    cmd->io.cdb[0] = GT_SYNCHRONIZE_CACHE_10;
    cmd->io.cdb_len = 10;
    verdict = gt_lane_run(cmd);
  }
  if (verdict != GT_FINE && verdict != GT_UNSUPPORTED) {
    gt_scatter_fail(copy, cmd);
    return false;
  }
  s->cached[lu] = false;
  return true;
}

bool gt_scatter_flush(gt_copy *copy, uint8_t lu) {
  gt_scatter *s = &copy->scatter;
  if (!s->dirty[lu]) return true;
  s->dirty[lu] = false;
  if (copy->lus[lu].type != 1) return copy->options.leave_cached || flush_disk(copy, lu);
  gt_verdict verdict = gt_tape_filemarks(&s->lane, lu, 0);
  if (verdict != GT_FINE && verdict != GT_EARLY_WARNING) {
    gt_scatter_fail(copy, &s->lane.single);
    return false;
  }
  return gt_scatter_position_agrees(copy, lu);
}

bool gt_scatter_checkpoint(gt_copy *copy, bool last) {
  gt_scatter *s = &copy->scatter;
  for (unsigned lu = 0; lu < copy->options.lu_count; lu++) {
    if (!gt_scatter_flush(copy, (uint8_t)lu)) return false;
  }
  if (!gt_crcs_tell(&s->crcs, &copy->events)) gt_scatter_no_memory(copy);
  if (s->failed) return false;
  if (!s->taping) {
    s->written = s->position;
    gt_digest_save(&s->digest, &s->written_digest);
  }
  gt_event event = {.type = GT_EV_CHECKPOINT, .digest = s->written_digest, .object = s->object, .count = last};
  event.stream_offset = copy->options.stream_offset + s->written;
  event.cookie = event.stream_offset;
  uint64_t start;
  if (!s->taping && gt_trail_find(&copy->trail, s->written, &event.object, &start))
    event.cookie = copy->options.stream_offset + start;
  s->checkpoint = event;
  s->checkpoint_position = s->written;
  s->checkpoint_ns = gt_clock_ns();
  gt_events_post(&copy->events, &event);
  return true;
}

static uint64_t progress(const gt_scatter *s) { return s->taping ? s->written : s->position; }

bool gt_scatter_checkpoint_due(gt_copy *copy, uint64_t *until) {
  const gt_scatter *s = &copy->scatter;
  uint64_t since = progress(s) - s->checkpoint_position;
  if (!since) return false;
  if (copy->options.checkpoint_bytes && since >= copy->options.checkpoint_bytes) return true;
  if (!copy->options.checkpoint_ms) return false;
  *until = s->checkpoint_ns + copy->options.checkpoint_ms * 1000000ull;
  return gt_clock_ns() >= *until;
}
