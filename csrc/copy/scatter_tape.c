#include <errno.h>

#include "scatter.h"
#include "tape.h"

void gt_scatter_no_memory(gt_copy *copy) {
  gt_scatter *s = &copy->scatter;
  gt_end_with_error(&s->ending, GT_RESULT_INTERNAL, false, -ENOMEM);
  s->failed = true;
}

static void block_written(gt_copy *copy) {
  gt_scatter *s = &copy->scatter;
  const gt_block *block = &s->writing;
  if (!gt_crcs_add(&s->crcs, &copy->events, s->object, block->crc32c)) gt_scatter_no_memory(copy);
  s->object++;
  s->written = block->start + block->bytes;
  s->written_digest = block->digest;
  gt_count(&s->lane.stats.bytes, block->bytes);
  atomic_store_explicit(&copy->stream_offset, copy->options.stream_offset + s->written, memory_order_relaxed);
  gt_publish_consumed(copy, s->written);
}

/* Bytes of the block that did not get onto the medium: SSC-4 6.8 puts them into INFORMATION. */
static int64_t residue(const gt_cmd *cmd, int64_t unless_told) {
  return cmd->sense.has_information ? (int64_t)cmd->sense.information : unless_told;
}

/* A block is on the medium whole or not at all; anything else would be a medium that lies. */
static void end_of_volume(gt_copy *copy, const gt_cmd *cmd, int64_t left) {
  gt_scatter *s = &copy->scatter;
  s->volume_full = true;
  if (left == 0)
    block_written(copy);
  else if (left != (int64_t)cmd->io.data_len)
    gt_scatter_fail(copy, cmd);
}

static void write_ended(gt_cmd *cmd) {
  gt_copy *copy = cmd->lane->copy;
  gt_scatter *s = &copy->scatter;
  s->write = NULL;
  switch (cmd->verdict) {
  case GT_FINE: block_written(copy); break;
  /* Early warning: the block was written, unless the sense data say otherwise. */
  case GT_EARLY_WARNING: end_of_volume(copy, cmd, residue(cmd, 0)); break;
  /* VOLUME OVERFLOW: it was not. */
  case GT_NO_ROOM: end_of_volume(copy, cmd, residue(cmd, cmd->io.data_len)); break;
  default: gt_scatter_fail(copy, cmd);
  }
  gt_lane_put(cmd);
}

void gt_scatter_tape_cut(gt_copy *copy) {
  gt_scatter *s = &copy->scatter;
  s->next = (gt_block){.start = s->block_start,
                       .bytes = (uint32_t)(s->position - s->block_start),
                       .crc32c = s->digest.block_crc32c,
                       .valid = true};
  gt_digest_save(&s->digest, &s->next.digest);
  s->digest.block_crc32c = 0;
  s->block_start = s->position;
}

/* A drive that is fed too slowly stops, goes back and starts again, which takes seconds and wears the tape: it is
 * started when there is enough for a while. At first that is most of the ring. After the ring ran empty it is half of
 * it: a drive with a buffer of its own still has what it was given first, and most less half is what lies between it
 * and an empty buffer. But what stands still, because gather has no room or nothing more, is not waited for; nor does
 * a block wait for ever for what a limited or very slow source takes minutes to give: nothing is safe before it is on
 * tape. */
static bool may_start(gt_copy *copy, uint64_t *need) {
  gt_scatter *s = &copy->scatter;
  if (s->streaming) return true;
  int state = atomic_load(&copy->gather_state);
  uint64_t size = copy->ring.size, enough = s->written + (s->fed ? size / 2 : size - size / 8);
  bool more_comes = state == GT_RUNNING || state == GT_HELD_BACK;
  if (!more_comes || atomic_load(&copy->produced) >= enough) return true;
  uint64_t now = gt_clock_ns();
  if (!s->start_by_ns) s->start_by_ns = now + copy->options.tape_start_ms * (uint64_t)1000000;
  if (now >= s->start_by_ns) return true;
  *need = enough;
  return false;
}

static void end_tape_wait(gt_copy *copy) {
  gt_scatter *s = &copy->scatter;
  if (!s->idle_since_ns) return;
  gt_count(&copy->tape_wait_ns, gt_clock_ns() - s->idle_since_ns);
  s->idle_since_ns = 0;
}

enum gt_step gt_scatter_tape_write(gt_copy *copy, uint64_t *need) {
  gt_scatter *s = &copy->scatter;
  if (s->write) return GT_WAIT_COMMAND;
  if (!may_start(copy, need)) return GT_WAIT_SPACE;
  end_tape_wait(copy);
  gt_cmd *cmd = gt_lane_get(&s->lane);
  s->writing = s->next;
  s->next.valid = false;
  cmd->lu = s->tape_lu;
  cmd->role = GT_ROLE_TAPE_WRITE;
  cmd->ended = write_ended;
  cmd->io.timeout_ms = copy->options.tape_timeout_ms;
  gt_tape_write6(&cmd->io, gt_ring_at(&copy->ring, s->writing.start), s->writing.bytes);
  s->dirty[s->tape_lu] = true;
  s->streaming = s->fed = true;
  s->start_by_ns = 0;
  s->write = cmd;
  gt_lane_send(cmd);
  return GT_GO;
}

/* The drive is idle and its next block is not there: it stands still until there is enough for a while. A defect if
 * gather is at work on it, and not if gather is held back on purpose. */
static void note_tape_wait(gt_copy *copy) {
  gt_scatter *s = &copy->scatter;
  if (!s->streaming || s->write || atomic_load(&copy->paused)) return;
  int state = atomic_load(&copy->gather_state);
  if (state != GT_RUNNING && state != GT_HELD_BACK) return;
  s->streaming = false;
  if (state != GT_RUNNING) return;
  gt_count(&copy->tape_waits, 1);
  s->idle_since_ns = gt_clock_ns();
}

enum gt_step gt_scatter_tape(gt_copy *copy, uint64_t there, uint64_t *need) {
  gt_scatter *s = &copy->scatter;
  if (s->next.valid) return GT_WAIT_COMMAND;
  uint64_t end = s->block_start + copy->options.tape_block_bytes, room = end - s->position;
  uint64_t bytes = there < s->seg_left ? there : s->seg_left;
  if (bytes > room) bytes = room;
  gt_scatter_digest(copy, bytes);
  if (!bytes) {
    *need = s->seg_left < room ? s->position + s->seg_left : end;
    note_tape_wait(copy);
    return GT_WAIT_SPACE;
  }
  if (s->seg_left != UINT64_MAX) s->seg_left -= bytes;
  if (s->position == end) gt_scatter_tape_cut(copy);
  if (!s->seg_left) gt_scatter_drop(copy);
  return GT_GO;
}

/* A block is taken when the whole of it is there; where gather's segment ends there is a mark of its own. */
enum gt_step gt_scatter_as_gathered(gt_copy *copy, uint64_t there, uint64_t *need) {
  gt_scatter *s = &copy->scatter;
  if (s->next.valid) return GT_WAIT_COMMAND;
  const gt_mark *mark = gt_marks_peek(&copy->block_ends, 0);
  if (!mark || there < mark->position - s->position) {
    *need = mark ? mark->position : s->position + 1;
    gt_scatter_digest(copy, 0);
    note_tape_wait(copy);
    return GT_WAIT_SPACE;
  }
  bool block = mark->value != 0;
  gt_scatter_digest(copy, mark->position - s->position);
  gt_marks_drop(&copy->block_ends);
  gt_scatter_marked(copy);
  if (block)
    gt_scatter_tape_cut(copy);
  else
    gt_scatter_drop(copy);
  return GT_GO;
}

bool gt_scatter_position_agrees(gt_copy *copy, uint8_t lu) {
  gt_scatter *s = &copy->scatter;
  uint64_t object = 0;
  bool known;
  if (gt_tape_position(&s->lane, lu, &object, &known) != GT_FINE) {
    gt_scatter_fail(copy, &s->lane.single);
    return false;
  }
  if (!known || object == s->object) return true;
  gt_end_with_command(&s->ending, GT_RESULT_DEVICE_ERROR, false, &s->lane.single);
  s->ending.error = -ESPIPE;
  s->ending.object = object;
  s->failed = true;
  return false;
}

bool gt_scatter_tape_begin(gt_copy *copy, uint8_t lu) {
  gt_scatter *s = &copy->scatter;
  s->taping = true;
  s->tape_lu = lu;
  return gt_scatter_position_agrees(copy, lu);
}

static bool write_filemarks(gt_copy *copy, const gt_seg *seg) {
  gt_scatter *s = &copy->scatter;
  if (!s->taping && !gt_scatter_tape_begin(copy, seg->lu)) return false;
  s->dirty[seg->lu] = true;
  gt_verdict verdict = gt_tape_filemarks(&s->lane, seg->lu, (uint32_t)seg->addr);
  if (verdict != GT_FINE && verdict != GT_EARLY_WARNING) return false;
  s->object += seg->addr;
  return true;
}

/* After SPACE only the drive knows which object comes next. */
static bool learn_object(gt_copy *copy, uint8_t lu) {
  gt_scatter *s = &copy->scatter;
  uint64_t object = 0;
  bool known;
  if (gt_tape_position(&s->lane, lu, &object, &known) != GT_FINE) return false;
  if (known) s->object = object;
  return true;
}

void gt_scatter_move(gt_copy *copy, const gt_seg *seg) {
  gt_scatter *s = &copy->scatter;
  bool moved;
  if (seg->op == GT_OP_FILEMARK) {
    moved = write_filemarks(copy, seg);
  } else {
    if (!gt_scatter_flush(copy, seg->lu)) return;
    s->taping = true;
    s->tape_lu = seg->lu;
    if (seg->op == GT_OP_LOCATE) {
      moved = gt_tape_locate(&s->lane, seg->lu, seg->addr) == GT_FINE;
      s->object = seg->addr;
      if (moved) gt_scatter_position_agrees(copy, seg->lu);
    } else {
      moved = gt_tape_space(&s->lane, seg->lu, GT_ROLE_TAPE_WRITE, (uint8_t)seg->skip, (int64_t)seg->addr) == GT_FINE &&
              learn_object(copy, seg->lu);
    }
  }
  if (!moved) gt_scatter_fail(copy, &s->lane.single);
}
