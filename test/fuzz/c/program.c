/* Segment programs at the engine's door: any segments, in any helpings. What is refused changes nothing; what is taken
 * comes out in order, and stays within its units and its inline bytes. */
#include <errno.h>

#include "copy/program.h"
#include "fuzz.h"

enum { SEGS = 24, LUS = 4, INLINE = 64 };

static void make_seg(fuzz_in *in, gt_seg *seg) {
  uint8_t shape = fuzz_u8(in);
  *seg = (gt_seg){.op = shape & 0x0F, .lu = fuzz_u8(in) % 5, .tag = fuzz_u8(in) % 4};
  if (shape & 0x10) {
    seg->addr = fuzz_u64(in), seg->bytes = fuzz_u64(in), seg->skip = fuzz_u16(in), seg->tag = fuzz_u32(in);
  } else {
    seg->addr = fuzz_u8(in), seg->bytes = fuzz_u8(in) * (shape & 0x20 ? 256u : 1u), seg->skip = fuzz_u8(in) % 4;
    if (shape & 0x40) seg->bytes = UINT64_MAX;
    if (shape & 0x80) seg->skip |= (uint16_t)(fuzz_u8(in) << 8);
  }
}

/* Whatever was taken may be carried out without another look. */
static void check_taken(const gt_seg *seg, const gt_copy_lu *lus, bool gather) {
  static const bool on_gather[12] = {0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1};
  static const bool on_scatter[12] = {0, 0, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1};
  MUST(seg->op && seg->op < 12 && (gather ? on_gather : on_scatter)[seg->op]);
  uint32_t skip = seg->skip & GT_SKIP_MAX, flags = seg->skip & ~(uint32_t)GT_SKIP_MAX;
  bool extent = seg->op == GT_OP_EXTENT, tape = seg->op == GT_OP_TAPE;
  MUST(!(gather && flags) && !(flags & ~(uint32_t)(GT_SEG_KEEP | GT_SEG_HELD | GT_SEG_AS_GATHERED)));
  if (flags & GT_SEG_KEEP) MUST(extent);
  if (flags & GT_SEG_AS_GATHERED) MUST(tape && seg->bytes == UINT64_MAX);
  if (flags & GT_SEG_HELD) MUST((extent || tape || seg->op == GT_OP_DISCARD) && seg->bytes - 1 < GT_HOLD_MAX);
  if (seg->op == GT_OP_EXTENT || seg->op == GT_OP_COMPARE) {
    const gt_copy_lu *lu = &lus[seg->lu];
    MUST(seg->lu < LUS && lu->type == 0 && seg->bytes && skip < lu->block_bytes && seg->addr < lu->blocks);
    unsigned __int128 end = (unsigned __int128)seg->addr * lu->block_bytes + skip + seg->bytes;
    MUST(end <= (unsigned __int128)lu->blocks * lu->block_bytes);
  }
  if (seg->op == GT_OP_TAPE || seg->op == GT_OP_LOCATE || seg->op == GT_OP_SPACE || seg->op == GT_OP_FILEMARK)
    MUST(seg->lu < LUS && lus[seg->lu].type == 1);
  if (seg->op == GT_OP_HOLD) MUST(seg->bytes && seg->bytes <= GT_HOLD_MAX);
}

static void take(gt_program *program, fuzz_in *in, const gt_copy_lu *lus, bool gather) {
  gt_queue *queue = gather ? &program->gather : &program->scatter;
  for (uint64_t count = fuzz_u8(in) % 32; count--;) {
    const gt_seg *seg = gt_queue_peek(queue, 0);
    if (!seg) return;
    check_taken(seg, lus, gather);
    bool is_inline = seg->op == GT_OP_INLINE;
    volatile uint8_t sum = 0;
    for (uint64_t i = 0; is_inline && i < seg->bytes; i++)
      sum = (uint8_t)(sum + ((const uint8_t *)(uintptr_t)seg->addr)[i]);
    gt_queue_drop(queue);
    if (is_inline) gt_program_free_inline(program);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_in in = {data, size};
  gt_copy_lu lus[LUS] = {{.block_bytes = 512, .blocks = 200},
                         {.block_bytes = 4096, .blocks = UINT64_MAX / 4096},
                         {.type = 1},
                         {.type = 1}};
  gt_program program = {0};
  MUST(gt_program_init(&program, lus, LUS, fuzz_u8(&in) & 1 ? fuzz_u64(&in) >> 1 : 0) == 0);
  while (in.left) {
    gt_seg segs[2][SEGS];
    size_t counts[2] = {fuzz_u8(&in) % SEGS, fuzz_u8(&in) % SEGS}, bad = 0, length = fuzz_u8(&in) % INLINE;
    for (int side = 0; side < 2; side++)
      for (size_t i = 0; i < counts[side]; i++)
        make_seg(&in, &segs[side][i]);
    uint8_t *bytes = malloc(length + 1);
    memset(bytes, 0x5A, length + 1);
    uint64_t waiting = gt_queue_count(&program.gather) + gt_queue_count(&program.scatter);
    gt_program_facts before = program.facts;
    int error = gt_program_append(&program, segs[0], counts[0], segs[1], counts[1], bytes, length, &bad);
    free(bytes);
    uint64_t now = gt_queue_count(&program.gather) + gt_queue_count(&program.scatter);
    MUST(error == 0 || error == -EINVAL || error == -ENOSPC);
    MUST(now == waiting + (error ? 0 : counts[0] + counts[1]));
    if (error == -EINVAL) MUST(bad < counts[0] + counts[1]);
    if (error) MUST(memcmp(&before, &program.facts, sizeof before) == 0);
    take(&program, &in, lus, true);
    take(&program, &in, lus, false);
  }
  gt_program_free(&program);
  return 0;
}
