#include <string.h>

#include "disk.h"
#include "internal.h"

/* One command's worth of an extent. */
typedef struct plan {
  uint64_t lba;
  uint32_t skip, bytes; /* stream bytes, after `skip` bytes of the first block */
  uint32_t blocks;
  bool aside; /* starts or ends inside a block: by a slot, since the ring must not be overrun */
} plan;

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

static plan plan_piece(const gt_copy *copy, const gt_seg *seg) {
  uint32_t block = copy->lus[seg->lu].block_bytes, limit = gt_disk_limit(copy, seg->lu);
  uint64_t at = seg->skip + copy->gather.seg_done, left = seg->bytes - copy->gather.seg_done;
  uint64_t slot = least(copy->gather.slots.bytes, limit) / block * block;
  plan p = {.lba = seg->addr + at / block, .skip = (uint32_t)(at % block)};
  if ((p.skip || left % block) && p.skip + left <= slot) {
    p.aside = true;
    p.bytes = (uint32_t)left;
  } else if (p.skip || left < block) {
    p.aside = true;
    p.bytes = (uint32_t)least(left, block - p.skip);
  } else {
    p.bytes = (uint32_t)least(left - left % block, limit);
  }
  p.blocks = (p.skip + p.bytes + block - 1) / block;
  return p;
}

static void fail_read(gt_copy *copy, gt_cmd *cmd) {
  gt_gather *g = &copy->gather;
  if (!g->failed) gt_end_failed(&g->ending, true, cmd);
  g->failed = g->lane.hopeless = true;
}

static void finish_read(gt_copy *copy, gt_cmd *cmd) {
  gt_gather *g = &copy->gather;
  if (cmd->slot) memcpy(gt_ring_at(&copy->ring, cmd->stream), cmd->slot + cmd->skip, cmd->bytes);
  gt_count(&g->lane.stats.bytes, cmd->bytes);
  gt_pieces_done(&g->pieces, cmd->piece);
  gt_slot_put(&g->slots, cmd->slot);
  gt_lane_put(cmd);
  gt_gather_advance(copy);
}

static void read_ended(gt_cmd *cmd) {
  gt_copy *copy = cmd->lane->copy;
  if (cmd->verdict == GT_FINE) {
    finish_read(copy, cmd);
  } else if (cmd->verdict == GT_MEDIUM && copy->options.zero_fill) {
    cmd->next = copy->gather.broken;
    copy->gather.broken = cmd;
  } else {
    fail_read(copy, cmd);
    gt_slot_put(&copy->gather.slots, cmd->slot);
    gt_lane_put(cmd);
  }
}

static void drop_extent(gt_copy *copy) {
  copy->gather.seg_done = 0;
  copy->gather.seg_open = false;
  gt_queue_drop(&copy->program.gather);
}

/* Takes the following extents into the same command as long as their blocks follow on the disk. */
static void coalesce(gt_copy *copy, plan *p, const gt_seg *seg) {
  uint32_t block = copy->lus[seg->lu].block_bytes, limit = gt_disk_limit(copy, seg->lu);
  uint64_t room = gt_ring_room(copy, copy->gather.allocated);
  while (copy->gather.seg_done == seg->bytes) {
    const gt_seg *next = gt_queue_peek(&copy->program.gather, 1);
    if (!next || next->op != GT_OP_EXTENT || next->lu != seg->lu || next->skip || next->addr != p->lba + p->blocks)
      return;
    uint64_t most = least(limit, room) - p->bytes;
    uint64_t bytes = least(next->bytes - next->bytes % block, most - most % block);
    if (!bytes || !gt_gather_tag(copy, next->tag, copy->gather.allocated + p->bytes)) return;
    drop_extent(copy);
    copy->gather.seg_open = true;
    copy->gather.seg_done = bytes;
    p->bytes += (uint32_t)bytes;
    p->blocks += (uint32_t)(bytes / block);
    seg = next;
  }
}

static void send_read(gt_copy *copy, gt_cmd *cmd, uint8_t lu, const plan *p, uint8_t *slot) {
  gt_gather *g = &copy->gather;
  uint32_t block = copy->lus[lu].block_bytes;
  cmd->lu = lu;
  cmd->role = GT_ROLE_DISK_READ;
  cmd->ended = read_ended;
  cmd->io.timeout_ms = copy->options.command_timeout_ms;
  cmd->lba = p->lba;
  cmd->blocks = p->blocks;
  cmd->skip = (uint16_t)p->skip;
  cmd->bytes = p->bytes;
  cmd->slot = slot;
  cmd->stream = g->allocated;
  g->allocated += p->bytes;
  cmd->piece = gt_pieces_add(&g->pieces, g->allocated, false);
  void *data = slot ? slot : gt_ring_at(&copy->ring, cmd->stream);
  gt_disk_transfer16(&cmd->io, GT_READ_16, p->lba, p->blocks, data, p->blocks * block);
  gt_lane_send(cmd);
}

enum gt_step gt_gather_extent(gt_copy *copy, const gt_seg *seg, uint64_t *need) {
  gt_gather *g = &copy->gather;
  uint8_t lu = seg->lu;
  if (g->lane.in_use && (g->lane.active != lu || g->lane.in_use >= copy->lus[lu].lu->limits.max_queue))
    return GT_WAIT_COMMAND;
  if (!g->lane.free || gt_pieces_full(&g->pieces)) return GT_WAIT_COMMAND;
  plan p = plan_piece(copy, seg);
  if (gt_ring_room(copy, g->allocated) < p.bytes) {
    *need = g->allocated + p.bytes - copy->ring.size;
    return GT_WAIT_SPACE;
  }
  uint8_t *slot = NULL;
  if (p.aside && !(slot = gt_slot_get(&g->slots))) return GT_WAIT_COMMAND;
  g->lane.active = lu;
  g->seg_done += p.bytes;
  if (!p.aside) coalesce(copy, &p, seg);
  seg = gt_queue_peek(&copy->program.gather, 0);
  if (g->seg_done == seg->bytes) drop_extent(copy);
  gt_throttle_take(&copy->throttle, p.bytes);
  send_read(copy, gt_lane_get(&g->lane), lu, &p, slot);
  return GT_GO;
}

/* Blocks of a broken command that could not be read, as a run. */
typedef struct lost {
  uint32_t first, count; /* relative to the command's */
  uint8_t sense[GT_SENSE_MAX];
  uint8_t sense_len;
} lost;

static void tell_lost(gt_copy *copy, const gt_cmd *broken, lost *run) {
  if (!run->count) return;
  uint64_t block = copy->lus[broken->lu].block_bytes, at = run->first * block;
  gt_event event = {.type = GT_EV_MEDIUM_ERROR,
                    .lu = broken->lu,
                    .gather_side = 1,
                    .status = GT_STATUS_CHECK_CONDITION,
                    .lba = broken->lba + run->first,
                    .blocks = run->count,
                    .bytes = run->count * block,
                    .sense_len = run->sense_len};
  memcpy(event.sense, run->sense, sizeof event.sense);
  event.stream_offset = copy->options.stream_offset + broken->stream + (at > broken->skip ? at - broken->skip : 0);
  gt_count(&copy->medium_errors, run->count);
  gt_events_post(&copy->events, &event);
  run->count = 0;
}

static void lose_block(gt_copy *copy, const gt_cmd *broken, uint32_t first, const gt_io *io, lost *run) {
  if (run->count && run->first + run->count != first) tell_lost(copy, broken, run);
  if (!run->count) {
    run->first = first;
    run->sense_len = io->sense_len;
    memcpy(run->sense, io->sense, sizeof run->sense);
  }
  run->count++;
}

/* Reads blocks [first, first + count) of the broken command again; where they cannot be read, their halves.
 * False: something other than the medium went wrong. */
static bool read_again(gt_copy *copy, const gt_cmd *broken, uint32_t first, uint32_t count, bool known_bad, lost *run) {
  uint32_t block = copy->lus[broken->lu].block_bytes;
  uint8_t *data = (uint8_t *)broken->io.data + (uint64_t)first * block;
  const gt_io *failed = &broken->io;
  if (!known_bad) {
    gt_cmd *cmd = gt_lane_single(&copy->gather.lane, broken->lu, GT_ROLE_DISK_READ, broken->io.timeout_ms);
    gt_disk_transfer16(&cmd->io, GT_READ_16, broken->lba + first, count, data, count * block);
    gt_verdict verdict = gt_lane_run(cmd);
    if (verdict == GT_FINE) return true;
    if (verdict != GT_MEDIUM) {
      fail_read(copy, cmd);
      return false;
    }
    failed = &cmd->io;
  }
  if (count == 1) {
    memset(data, 0, block);
    lose_block(copy, broken, first, failed, run);
    return true;
  }
  uint32_t half = count / 2;
  return read_again(copy, broken, first, half, false, run) &&
         read_again(copy, broken, first + half, count - half, false, run);
}

void gt_gather_repair(gt_copy *copy) {
  gt_gather *g = &copy->gather;
  while (g->broken) {
    gt_cmd *broken = g->broken;
    g->broken = broken->next;
    lost run = {0};
    bool mended = !g->failed && read_again(copy, broken, 0, broken->blocks, true, &run);
    tell_lost(copy, broken, &run);
    if (mended) {
      finish_read(copy, broken);
    } else {
      gt_slot_put(&g->slots, broken->slot);
      gt_lane_put(broken);
    }
  }
}
