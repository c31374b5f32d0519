/* What gather tells scatter about positions of the stream: where members start (tags), from which tape objects the
 * bytes came, and where the source's blocks end. Bounded queues, one writer and one reader each. */
#ifndef GT_MARKS_H
#define GT_MARKS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct gt_mark {
  uint64_t position; /* stream byte of this run where it begins to hold */
  uint64_t object;   /* tape: object that starts there */
  uint32_t value;    /* tag; or length of this and the following tape blocks, 0: they differ; or that of one block */
} gt_mark;

typedef struct gt_marks {
  gt_mark *slots;
  uint32_t size;
  _Atomic uint64_t taken, held;
} gt_marks;

int gt_marks_init(gt_marks *marks, uint32_t size);
void gt_marks_free(gt_marks *marks);
uint32_t gt_marks_room(const gt_marks *marks);
void gt_marks_push(gt_marks *marks, gt_mark mark); /* needs room */
const gt_mark *gt_marks_peek(const gt_marks *marks, uint32_t ahead);
void gt_marks_drop(gt_marks *marks);

/* The source tape's blocks as runs of equal length. Where so many lengths differ that the queue is full the
 * reader gets a lower bound instead of the exact object: a resumed run then passes over more, never less. */
typedef struct gt_trail {
  gt_marks marks;
  gt_mark last;    /* writer: last run told, and */
  uint64_t blocks; /* how many blocks it has */
  bool told, vague;
} gt_trail;

void gt_trail_block(gt_trail *trail, uint64_t position, uint64_t object, uint32_t bytes);
/* Object that the byte at position came from (or an earlier one), and where in the stream that object starts.
 * Positions must not go back from call to call. False: nothing is known. */
bool gt_trail_find(gt_trail *trail, uint64_t position, uint64_t *object, uint64_t *start);

#endif
