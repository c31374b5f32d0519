#include "marks.h"

#include <errno.h>
#include <stdlib.h>

int gt_marks_init(gt_marks *marks, uint32_t size) {
  marks->slots = malloc(size * sizeof *marks->slots);
  marks->size = size;
  return marks->slots ? 0 : -ENOMEM;
}

void gt_marks_free(gt_marks *marks) { free(marks->slots); }

uint32_t gt_marks_room(const gt_marks *marks) {
  return marks->size -
         (uint32_t)(atomic_load_explicit(&marks->held, memory_order_relaxed) - atomic_load(&marks->taken));
}

void gt_marks_push(gt_marks *marks, gt_mark mark) {
  uint64_t held = atomic_load_explicit(&marks->held, memory_order_relaxed);
  marks->slots[held % marks->size] = mark;
  atomic_store_explicit(&marks->held, held + 1, memory_order_release);
}

const gt_mark *gt_marks_peek(const gt_marks *marks, uint32_t ahead) {
  uint64_t at = atomic_load_explicit(&marks->taken, memory_order_relaxed) + ahead;
  return at < atomic_load_explicit(&marks->held, memory_order_acquire) ? &marks->slots[at % marks->size] : NULL;
}

void gt_marks_drop(gt_marks *marks) { atomic_fetch_add(&marks->taken, 1); }

void gt_trail_block(gt_trail *trail, uint64_t position, uint64_t object, uint32_t bytes) {
  const gt_mark *last = &trail->last;
  bool follows = trail->told && !trail->vague && last->value == bytes && object == last->object + trail->blocks &&
                 position == last->position + trail->blocks * bytes;
  if (follows) {
    trail->blocks++;
    return;
  }
  uint32_t room = gt_marks_room(&trail->marks);
  /* The last place is for the mark that says "from here on they differ"; after it a run is told again only
   * when that leaves a place. */
  if (room < 1 || (trail->vague && room < 2)) return;
  trail->vague = room < 2;
  trail->last = (gt_mark){.position = position, .object = object, .value = trail->vague ? 0 : bytes};
  trail->blocks = 1;
  trail->told = true;
  gt_marks_push(&trail->marks, trail->last);
}

bool gt_trail_find(gt_trail *trail, uint64_t position, uint64_t *object, uint64_t *start) {
  for (const gt_mark *next; (next = gt_marks_peek(&trail->marks, 1)) && next->position <= position;)
    gt_marks_drop(&trail->marks);
  const gt_mark *run = gt_marks_peek(&trail->marks, 0);
  if (!run || run->position > position) return false;
  uint64_t blocks = run->value ? (position - run->position) / run->value : 0;
  *object = run->object + blocks;
  *start = run->position + blocks * run->value;
  return true;
}
