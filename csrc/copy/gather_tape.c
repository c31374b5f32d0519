#include <errno.h>

#include "../core/crc32c.h"
#include "internal.h"
#include "tape.h"

static void fail_tape(gt_copy *copy, gt_result result, const gt_cmd *cmd) {
  gt_gather *g = &copy->gather;
  if (g->failed) return;
  g->failed = g->lane.hopeless = true;
  if (result == GT_RESULT_DEVICE_ERROR)
    gt_end_failed(&g->ending, true, cmd);
  else
    gt_end_with_command(&g->ending, result, true, cmd);
}

/* Are the blocks of the destination those of the source? Set before gather's first segment is there. */
static bool as_gathered(gt_copy *copy) { return atomic_load(&copy->program.as_gathered); }

static uint32_t largest_block(gt_copy *copy) {
  return as_gathered(copy) ? gt_larger_block(copy) : copy->options.source_block_bytes;
}

/* Bytes of a block that is not as long as was asked; negative: the answers contradict each other. With ILI the
 * INFORMATION field is asked less actual, negative for a longer block (SSC-4 6.4). */
static int64_t block_bytes(const gt_cmd *cmd) {
  int64_t asked = cmd->io.data_len, resid = cmd->io.resid;
  if (!cmd->sense.has_information) return asked - resid;
  int64_t residue = (int32_t)(uint32_t)cmd->sense.information;
  if (residue > asked || (resid > 0 && resid != residue)) return -1;
  return asked - residue;
}

static void land(gt_copy *copy, const gt_cmd *cmd, int64_t bytes) {
  gt_gather *g = &copy->gather;
  if (bytes > (int64_t)cmd->io.data_len) {
    fail_tape(copy, GT_RESULT_BLOCK_TOO_LARGE, cmd);
    return;
  }
  if (bytes <= 0) {
    fail_tape(copy, GT_RESULT_DEVICE_ERROR, cmd);
    return;
  }
  if (copy->options.source_crcs) {
    uint32_t crc = gt_crc32c(0, gt_ring_at(&copy->ring, g->landed), (size_t)bytes);
    if (!gt_crcs_add(&g->crcs, &copy->events, g->object, crc)) {
      gt_end_with_error(&g->ending, GT_RESULT_INTERNAL, true, -ENOMEM);
      g->failed = true;
      return;
    }
  }
  gt_trail_block(&copy->trail, g->landed, g->object++, (uint32_t)bytes);
  g->landed += (uint64_t)bytes;
  /* There was room when the READ was sent. */
  if (as_gathered(copy)) gt_marks_push(&copy->block_ends, (gt_mark){.position = g->landed, .value = (uint32_t)bytes});
  gt_count(&g->lane.stats.bytes, (uint64_t)bytes);
}

static void read_ended(gt_cmd *cmd) {
  gt_copy *copy = cmd->lane->copy;
  gt_gather *g = &copy->gather;
  g->reading = NULL;
  switch (cmd->verdict) {
  case GT_FINE: land(copy, cmd, cmd->io.data_len); break;
  case GT_SHORT: land(copy, cmd, block_bytes(cmd)); break;
  case GT_FILEMARK: {
    const gt_seg *seg = gt_queue_peek(&copy->program.gather, 0);
    g->object++;
    g->at_mark = true;
    if (seg->bytes != UINT64_MAX) fail_tape(copy, GT_RESULT_TAPE_ENDED, cmd);
    break;
  }
  case GT_DATA_END: fail_tape(copy, GT_RESULT_TAPE_ENDED, cmd); break;
  default: fail_tape(copy, GT_RESULT_DEVICE_ERROR, cmd);
  }
  gt_lane_put(cmd);
}

/* Asks the drive where it stands, before the first block or after SPACE. False: failed. */
static bool learn_object(gt_copy *copy, uint8_t lu) {
  gt_gather *g = &copy->gather;
  uint64_t object = 0;
  bool known;
  if (gt_tape_position(&g->lane, lu, &object, &known) != GT_FINE) {
    fail_tape(copy, GT_RESULT_DEVICE_ERROR, &g->lane.single);
    return false;
  }
  g->object = known ? object : copy->options.tape_object;
  g->object_known = true;
  return true;
}

static void drop(gt_copy *copy) {
  copy->gather.seg_done = 0;
  copy->gather.seg_open = false;
  gt_queue_drop(&copy->program.gather);
}

/* The segment that lasts until the filemark is through, and so is the one that writes its blocks. */
static void end_at_mark(gt_copy *copy) {
  gt_gather *g = &copy->gather;
  g->at_mark = false;
  drop(copy);
  if (!as_gathered(copy)) return;
  gt_marks_push(&copy->block_ends, (gt_mark){.position = g->landed});
  gt_park_signal(&copy->scatter.park);
}

static void read_block(gt_copy *copy, uint8_t lu, uint32_t bytes) {
  gt_gather *g = &copy->gather;
  gt_cmd *cmd = gt_lane_get(&g->lane);
  cmd->lu = lu;
  cmd->role = GT_ROLE_TAPE_READ;
  cmd->ended = read_ended;
  cmd->io.timeout_ms = copy->options.tape_timeout_ms;
  gt_tape_read6(&cmd->io, gt_ring_at(&copy->ring, g->landed), bytes);
  gt_throttle_take(&copy->throttle, bytes);
  g->reading = cmd;
  gt_lane_send(cmd);
}

enum gt_step gt_gather_tape(gt_copy *copy, const gt_seg *seg, uint64_t *need) {
  gt_gather *g = &copy->gather;
  uint64_t left = seg->bytes - g->seg_done, there = g->landed - g->allocated;
  if (there) {
    uint64_t bytes = there < left ? there : left;
    g->allocated += bytes;
    g->seg_done += bytes;
    if (g->seg_done == seg->bytes) drop(copy);
    gt_publish_produced(copy, g->allocated);
    return GT_GO;
  }
  if (g->reading) return GT_WAIT_COMMAND;
  if (g->at_mark) {
    end_at_mark(copy);
    return GT_GO;
  }
  if (!g->object_known && !learn_object(copy, seg->lu)) return GT_GO;
  /* A READ ends at a block or at a filemark: one mark either way. */
  if (as_gathered(copy) && !gt_gather_may_mark(copy, &copy->block_ends)) return GT_WAIT_MARKS;
  uint32_t block = largest_block(copy);
  if (gt_ring_room(copy, g->landed) < block) {
    *need = g->landed + block - copy->ring.size;
    return GT_WAIT_SPACE;
  }
  read_block(copy, seg->lu, block);
  return GT_GO;
}

enum gt_step gt_gather_position(gt_copy *copy, const gt_seg *seg) {
  gt_gather *g = &copy->gather;
  if (g->lane.in_use) return GT_WAIT_COMMAND;
  g->landed = g->allocated; /* what was left of a block is dropped */
  gt_verdict verdict = seg->op == GT_OP_LOCATE ? gt_tape_locate(&g->lane, seg->lu, seg->addr)
                                               : gt_tape_space(&g->lane, seg->lu, GT_ROLE_TAPE_READ, (uint8_t)seg->skip,
                                                               (int64_t)seg->addr);
  if (verdict == GT_FILEMARK || verdict == GT_DATA_END)
    fail_tape(copy, GT_RESULT_TAPE_ENDED, &g->lane.single);
  else if (verdict != GT_FINE)
    fail_tape(copy, GT_RESULT_DEVICE_ERROR, &g->lane.single);
  g->object = seg->addr;
  g->object_known = seg->op == GT_OP_LOCATE;
  drop(copy);
  return GT_GO;
}
