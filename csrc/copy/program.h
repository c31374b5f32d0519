/* The two segment queues of a run and the checks at their door. One controlling thread appends, one engine
 * thread takes from each queue; neither waits for the other. */
#ifndef GT_PROGRAM_H
#define GT_PROGRAM_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine.h"

enum gt_side { GT_SIDE_NONE = 0, GT_SIDE_GATHER, GT_SIDE_SCATTER };
enum gt_medium { GT_MEDIUM_NONE = 0, GT_MEDIUM_TAPE, GT_MEDIUM_OTHER };

typedef struct gt_queue {
  gt_seg *segs;                 /* GT_QUEUE_SEGS of them, at index % GT_QUEUE_SEGS */
  _Atomic uint64_t taken, held; /* indexes: [taken, held) are waiting */
} gt_queue;

/* What later segments are held against. */
typedef struct gt_program_facts {
  uint64_t bytes[3];    /* by side: finite stream bytes appended */
  uint8_t medium[3];    /* by side: GT_MEDIUM_TAPE once TAPE was seen, GT_MEDIUM_OTHER once other data was */
  int16_t tape_lu[3];   /* by side; -1: none yet */
  uint8_t tag_side;     /* the side whose segments have tags */
  bool open_ended;      /* scatter has a segment that lasts until finish */
  bool gather_to_mark;  /* gather has a TAPE segment that lasts until a filemark */
  bool as_gathered;     /* scatter has a segment that takes blocks as they are */
  bool parts;           /* a side has data that does not go with those */
  uint8_t lu_side[256]; /* by lu: the side that uses it */
} gt_program_facts;

typedef struct gt_blob gt_blob; /* the inline bytes of one append */

typedef struct gt_program {
  const gt_copy_lu *lus;
  uint8_t lu_count;
  uint64_t bytes_max;      /* stream bytes that one side may describe */
  uint32_t block_bytes[3]; /* by side: longest tape block; 0: not checked. Set before the first append */
  gt_queue gather, scatter;
  gt_program_facts facts; /* the controlling thread's */
  _Atomic uint8_t tag_side;
  _Atomic bool gather_to_mark, as_gathered;
  pthread_mutex_t lock; /* blobs */
  gt_blob *blobs, **blobs_end;
  uint64_t inline_bytes; /* in blobs */
} gt_program;

/* Inline bytes that may wait in the queue. */
enum { GT_QUEUE_INLINE = 64u << 20 };

int gt_program_init(gt_program *program, const gt_copy_lu *lus, uint8_t lu_count, uint64_t stream_offset);
void gt_program_free(gt_program *program);
/* The segment by itself, whatever came before it. */
bool gt_seg_fits(const gt_program *program, const gt_seg *seg, int side, size_t inline_len);
/* As gt_copy_append. */
int gt_program_append(gt_program *program, const gt_seg *gather, size_t gathers, const gt_seg *scatter, size_t scatters,
                      const uint8_t *inline_bytes, size_t inline_len, size_t *bad);

/* For the engine's threads. The segment that is ahead by `ahead`, or NULL; an INLINE segment's addr is the
 * address of its bytes. It stays valid until it is dropped. */
const gt_seg *gt_queue_peek(const gt_queue *queue, uint64_t ahead);
void gt_queue_drop(gt_queue *queue);
uint64_t gt_queue_count(const gt_queue *queue);
/* Would an append with so many inline bytes find room for them? Any thread. */
bool gt_program_has_room(gt_program *program, uint64_t inline_bytes);
/* Frees inline bytes that no waiting gather segment refers to; call after dropping an INLINE segment. */
void gt_program_free_inline(gt_program *program);

#endif
