#include <stdlib.h>

#include "internal.h"

bool gt_pieces_full(const gt_pieces *pieces) { return pieces->next - pieces->first == GT_PIECES; }

uint64_t gt_pieces_add(gt_pieces *pieces, uint64_t end, bool done) {
  uint64_t last = pieces->next - 1;
  /* What is done already needs no place of its own behind a neighbour that is. */
  if (done && pieces->next != pieces->first && pieces->slots[last % GT_PIECES].done) {
    pieces->slots[last % GT_PIECES].end = end;
    return last;
  }
  pieces->slots[pieces->next % GT_PIECES].end = end;
  pieces->slots[pieces->next % GT_PIECES].done = done;
  return pieces->next++;
}

uint64_t gt_pieces_advance(gt_pieces *pieces, uint64_t watermark) {
  for (; pieces->first != pieces->next && pieces->slots[pieces->first % GT_PIECES].done; pieces->first++)
    watermark = pieces->slots[pieces->first % GT_PIECES].end;
  return watermark;
}

void gt_slots_init(gt_slots *slots, uint8_t *memory, uint64_t bytes, uint16_t wanted) {
  enum { SMALLEST = 4096, MOST = sizeof slots->free / sizeof slots->free[0] };
  if (wanted > MOST) wanted = MOST;
  slots->bytes = GT_SLOT_BYTES;
  /* A few slots of a smaller size serve better than one large one. */
  while (slots->bytes > SMALLEST && bytes / slots->bytes < (wanted < 4 ? wanted : 4))
    slots->bytes /= 2;
  for (uint64_t at = 0; slots->count < wanted && slots->bytes <= bytes - at; at += slots->bytes)
    slots->free[slots->count++] = memory + at;
}

uint8_t *gt_slot_get(gt_slots *slots) { return slots->count ? slots->free[--slots->count] : NULL; }

void gt_slot_put(gt_slots *slots, uint8_t *slot) {
  if (slot) slots->free[slots->count++] = slot;
}
