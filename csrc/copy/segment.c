/* Is a segment right by itself? */
#include "program.h"

static bool extent_fits(const gt_program *program, const gt_seg *seg) {
  if (seg->lu >= program->lu_count || program->lus[seg->lu].type != 0) return false;
  const gt_copy_lu *lu = &program->lus[seg->lu];
  uint32_t skip = seg->skip & GT_SKIP_MAX;
  if (!seg->bytes || skip >= lu->block_bytes || seg->bytes > INT64_MAX) return false;
  uint64_t blocks = (skip + seg->bytes + lu->block_bytes - 1) / lu->block_bytes;
  return seg->addr <= lu->blocks && blocks <= lu->blocks - seg->addr;
}

/* SPACE(6) has 24 signed bits; a count that does not fit is sent as SPACE(16). */
static bool positioning_fits(const gt_seg *seg) {
  if (seg->bytes) return false;
  if (seg->op == GT_OP_FILEMARK) return seg->addr <= 0xffffff && !seg->skip;
  if (seg->op == GT_OP_SPACE) return seg->skip == 0 || seg->skip == 1 || seg->skip == 3;
  return !seg->skip;
}

static bool inline_fits(const gt_seg *seg, size_t inline_len) {
  return seg->addr <= inline_len && seg->bytes <= inline_len - seg->addr;
}

static bool skips(const gt_seg *seg) { return seg->skip & GT_SKIP_MAX; }

static uint16_t flags_of(uint8_t op) {
  switch (op) {
  case GT_OP_EXTENT: return GT_SEG_KEEP | GT_SEG_HELD;
  case GT_OP_TAPE: return GT_SEG_HELD | GT_SEG_AS_GATHERED;
  case GT_OP_DISCARD: return GT_SEG_HELD;
  default: return 0;
  }
}

static bool flags_fit(const gt_seg *seg, bool gather) {
  uint16_t flags = seg->skip & (uint16_t)~GT_SKIP_MAX;
  if (flags & ~(gather ? 0 : flags_of(seg->op))) return false;
  if (flags & GT_SEG_HELD && (!seg->bytes || seg->bytes > GT_HOLD_MAX)) return false;
  return !(flags & GT_SEG_AS_GATHERED) || seg->bytes == UINT64_MAX;
}

bool gt_seg_fits(const gt_program *program, const gt_seg *seg, int side, size_t inline_len) {
  bool gather = side == GT_SIDE_GATHER;
  if (!flags_fit(seg, gather)) return false;
  switch (seg->op) {
  case GT_OP_INLINE: return gather && !seg->skip && inline_fits(seg, inline_len);
  case GT_OP_ZEROS: return gather && !seg->skip && seg->bytes <= INT64_MAX;
  case GT_OP_EXTENT: return extent_fits(program, seg);
  case GT_OP_COMPARE: return !gather && extent_fits(program, seg);
  case GT_OP_TAPE: return seg->bytes && !skips(seg) && (seg->bytes <= INT64_MAX || seg->bytes == UINT64_MAX);
  case GT_OP_DISCARD: return !gather && !skips(seg) && (seg->bytes <= INT64_MAX || seg->bytes == UINT64_MAX);
  case GT_OP_HOLD: return !gather && !seg->skip && seg->bytes && seg->bytes <= GT_HOLD_MAX;
  case GT_OP_FILEMARK:
  case GT_OP_FLUSH: return !gather && positioning_fits(seg);
  case GT_OP_LOCATE:
  case GT_OP_SPACE: return positioning_fits(seg);
  default: return false;
  }
}
