#include <string.h>

#include "disk.h"
#include "scatter.h"

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

static void end_piece(gt_cmd *cmd) {
  gt_copy *copy = cmd->lane->copy;
  gt_scatter *s = &copy->scatter;
  if (cmd->verdict == GT_FINE) {
    gt_count(&s->lane.stats.bytes, cmd->bytes);
    gt_pieces_done(&s->pieces, cmd->piece);
    if (cmd->role == GT_ROLE_DISK_WRITE) s->cached[cmd->lu] = true;
  } else {
    gt_scatter_fail(copy, cmd);
  }
  gt_slot_put(&s->slots, cmd->slot);
  cmd->blocks = 0;
  gt_lane_put(cmd);
  gt_scatter_consumed(copy);
}

static void compare_ended(gt_cmd *cmd) {
  gt_copy *copy = cmd->lane->copy;
  const uint8_t *have = cmd->slot + cmd->skip, *want = gt_ring_at(&copy->ring, cmd->stream);
  if (cmd->verdict == GT_FINE && memcmp(have, want, cmd->bytes)) {
    uint32_t at = 0;
    while (have[at] == want[at])
      at++;
    gt_event event = {.type = GT_EV_MISCOMPARE,
                      .lu = cmd->lu,
                      .lba = cmd->lba + (cmd->skip + at) / copy->lus[cmd->lu].block_bytes,
                      .stream_offset = copy->options.stream_offset + cmd->stream + at};
    gt_events_post(&copy->events, &event);
  }
  end_piece(cmd);
}

/* May another command for lu go out? */
static bool lane_open(gt_copy *copy, uint8_t lu) {
  gt_scatter *s = &copy->scatter;
  if (s->lane.in_use && (s->lane.active != lu || s->lane.in_use >= copy->lus[lu].lu->limits.max_queue)) return false;
  return s->lane.free && !gt_pieces_full(&s->pieces);
}

/* Is a command outstanding for one of these blocks? All of them are at one unit. What is written to a block comes
 * after what an earlier extent put there, or else a block that two of them share may end up with either. */
static bool blocks_busy(const gt_lane *lane, uint64_t lba, uint64_t blocks) {
  for (uint16_t i = 0; lane->in_use && i < lane->depth; i++) {
    const gt_cmd *cmd = &lane->cmds[i];
    if (cmd->blocks && cmd->lba < lba + blocks && lba < cmd->lba + cmd->blocks) return true;
  }
  return false;
}

/* Takes `bytes` of the first segment: digests them, moves on, and returns a command for them. */
static gt_cmd *take_piece(gt_copy *copy, uint8_t lu, uint64_t lba, uint32_t skip, uint64_t bytes) {
  gt_scatter *s = &copy->scatter;
  uint32_t block = copy->lus[lu].block_bytes;
  gt_cmd *cmd = gt_lane_get(&s->lane);
  s->lane.active = lu;
  cmd->lu = lu;
  cmd->io.timeout_ms = copy->options.command_timeout_ms;
  cmd->lba = lba;
  cmd->skip = (uint16_t)skip;
  cmd->bytes = (uint32_t)bytes;
  cmd->blocks = (uint32_t)((skip + bytes + block - 1) / block);
  cmd->stream = s->position;
  gt_scatter_digest(copy, bytes);
  cmd->piece = gt_pieces_add(&s->pieces, s->position, false);
  s->seg_left -= bytes;
  return cmd;
}

static void send_write(gt_copy *copy, gt_cmd *cmd, void *data) {
  cmd->role = GT_ROLE_DISK_WRITE;
  cmd->ended = end_piece;
  copy->scatter.dirty[cmd->lu] = true;
  gt_disk_transfer16(&cmd->io, GT_WRITE_16, cmd->lba, cmd->blocks, data, cmd->blocks * copy->lus[cmd->lu].block_bytes);
  gt_lane_send(cmd);
}

/* Bytes to take now of those left in the segment: at most `most`, all of that or (draining) what is there. 0:
 * wait until *need. */
static uint64_t ready_bytes(gt_copy *copy, uint64_t most, uint64_t there, uint64_t *need) {
  gt_scatter *s = &copy->scatter;
  uint64_t want = least(s->seg_left, most);
  if (there >= want) return want;
  *need = s->position + want;
  return s->draining ? there : 0;
}

/* The block's bytes before `skip` stay as they are, and so do those behind the end with GT_SEG_KEEP: read, laid over,
 * written. Everything before must have ended, since it may be in this very block. */
static enum gt_step write_into_block(gt_copy *copy, const gt_seg *seg, uint64_t lba, uint32_t skip, uint64_t there,
                                     uint64_t *need) {
  gt_scatter *s = &copy->scatter;
  uint32_t block = copy->lus[seg->lu].block_bytes;
  if (s->lane.in_use) return GT_WAIT_COMMAND;
  uint64_t bytes = ready_bytes(copy, block - skip, there, need);
  if (!bytes) return GT_WAIT_SPACE;
  uint8_t *slot = gt_slot_get(&s->slots);
  gt_cmd *read = gt_lane_single(&s->lane, seg->lu, GT_ROLE_DISK_READ, copy->options.command_timeout_ms);
  gt_disk_transfer16(&read->io, GT_READ_16, lba, 1, slot, block);
  if (gt_lane_run(read) != GT_FINE) {
    gt_slot_put(&s->slots, slot);
    gt_scatter_fail(copy, read);
    return GT_GO;
  }
  const uint8_t *from = gt_ring_at(&copy->ring, s->position);
  memcpy(slot + skip, from, bytes);
  if (!(seg->skip & GT_SEG_KEEP)) memset(slot + skip + bytes, 0, block - skip - bytes);
  gt_cmd *cmd = take_piece(copy, seg->lu, lba, skip, bytes);
  cmd->slot = slot;
  send_write(copy, cmd, slot);
  if (!s->seg_left) gt_scatter_drop(copy);
  return GT_GO;
}

/* Ends inside a block: by a slot, the rest of the block as zeros. */
static bool write_tail(gt_copy *copy, uint8_t lu, uint64_t lba, uint64_t bytes) {
  gt_scatter *s = &copy->scatter;
  uint32_t block = copy->lus[lu].block_bytes;
  uint8_t *slot = gt_slot_get(&s->slots);
  if (!slot) return false;
  uint64_t whole = (bytes + block - 1) / block * block;
  memcpy(slot, gt_ring_at(&copy->ring, s->position), bytes);
  memset(slot + bytes, 0, whole - bytes);
  gt_cmd *cmd = take_piece(copy, lu, lba, 0, bytes);
  cmd->slot = slot;
  send_write(copy, cmd, slot);
  return true;
}

/* Takes the following extents into the same command as long as their blocks follow on the disk and their
 * bytes are there. Whole blocks only: what is kept behind them is no matter here. */
static void coalesce(gt_copy *copy, gt_cmd *cmd, uint64_t there) {
  gt_scatter *s = &copy->scatter;
  uint32_t block = copy->lus[cmd->lu].block_bytes, limit = gt_disk_limit(copy, cmd->lu);
  while (!s->seg_left) {
    const gt_seg *next = gt_queue_peek(&copy->program.scatter, 1);
    if (!next || next->op != GT_OP_EXTENT || next->lu != cmd->lu || next->skip & GT_SKIP_MAX ||
        next->addr != cmd->lba + cmd->blocks)
      return;
    uint64_t most = least(limit - cmd->bytes, there - cmd->bytes);
    uint64_t bytes = least(next->bytes, most);
    bytes -= bytes % block;
    if (!bytes || blocks_busy(&s->lane, next->addr, bytes / block)) return;
    gt_scatter_drop(copy);
    gt_scatter_open(copy, next);
    gt_scatter_digest(copy, bytes);
    s->seg_left -= bytes;
    cmd->bytes += (uint32_t)bytes;
    cmd->blocks += (uint32_t)(bytes / block);
    s->pieces.slots[cmd->piece % GT_PIECES].end = s->position;
  }
}

enum gt_step gt_scatter_extent(gt_copy *copy, const gt_seg *seg, uint64_t there, uint64_t *need) {
  gt_scatter *s = &copy->scatter;
  uint32_t block = copy->lus[seg->lu].block_bytes, limit = gt_disk_limit(copy, seg->lu);
  uint64_t at = (seg->skip & GT_SKIP_MAX) + seg->bytes - s->seg_left, lba = seg->addr + at / block;
  bool keep = seg->skip & GT_SEG_KEEP;
  if (!lane_open(copy, seg->lu)) return GT_WAIT_COMMAND;
  if (at % block || (keep && s->seg_left < block))
    return write_into_block(copy, seg, lba, (uint32_t)(at % block), there, need);
  uint64_t slot = least(s->slots.bytes, limit) / block * block;
  /* A short rest goes in one command, its tail with it unless that is to be laid over what is there. */
  uint64_t most = s->seg_left <= slot ? s->seg_left : least(s->seg_left - s->seg_left % block, limit);
  uint64_t bytes = ready_bytes(copy, most, there, need);
  if (!bytes) return GT_WAIT_SPACE;
  /* bytes > slot: drained in the middle of a long piece. */
  if (bytes % block && (keep || bytes > slot)) bytes -= bytes % block;
  if (!bytes) return write_into_block(copy, seg, lba, 0, there, need);
  if (blocks_busy(&s->lane, lba, (bytes + block - 1) / block)) return GT_WAIT_COMMAND;
  if (bytes % block) {
    if (!write_tail(copy, seg->lu, lba, bytes)) return GT_WAIT_COMMAND;
  } else {
    const uint8_t *from = gt_ring_at(&copy->ring, s->position);
    gt_cmd *cmd = take_piece(copy, seg->lu, lba, 0, bytes);
    coalesce(copy, cmd, there);
    send_write(copy, cmd, (void *)(uintptr_t)from);
  }
  if (!s->seg_left) gt_scatter_drop(copy);
  return GT_GO;
}

enum gt_step gt_scatter_compare(gt_copy *copy, const gt_seg *seg, uint64_t there, uint64_t *need) {
  gt_scatter *s = &copy->scatter;
  uint32_t block = copy->lus[seg->lu].block_bytes, limit = gt_disk_limit(copy, seg->lu);
  uint64_t at = seg->skip + seg->bytes - s->seg_left;
  uint32_t skip = (uint32_t)(at % block);
  if (!lane_open(copy, seg->lu)) return GT_WAIT_COMMAND;
  uint64_t bytes = ready_bytes(copy, least(s->slots.bytes, limit) / block * block - skip, there, need);
  if (!bytes) return GT_WAIT_SPACE;
  uint8_t *slot = gt_slot_get(&s->slots);
  if (!slot) return GT_WAIT_COMMAND;
  gt_cmd *cmd = take_piece(copy, seg->lu, seg->addr + at / block, skip, bytes);
  cmd->slot = slot;
  cmd->role = GT_ROLE_DISK_READ;
  cmd->ended = compare_ended;
  gt_disk_transfer16(&cmd->io, GT_READ_16, cmd->lba, cmd->blocks, slot, cmd->blocks * block);
  if (!s->seg_left) gt_scatter_drop(copy);
  gt_lane_send(cmd);
  return GT_GO;
}
