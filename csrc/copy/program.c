#include "program.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct gt_blob {
  gt_blob *next;
  uint64_t until; /* index of the gather segment after the last that refers to it */
  uint64_t bytes;
  uint8_t data[];
};

int gt_program_init(gt_program *program, const gt_copy_lu *lus, uint8_t lu_count, uint64_t stream_offset) {
  program->lus = lus;
  program->lu_count = lu_count;
  program->bytes_max = (uint64_t)INT64_MAX - stream_offset;
  for (int side = 0; side < 3; side++)
    program->facts.tape_lu[side] = -1;
  program->blobs_end = &program->blobs;
  pthread_mutex_init(&program->lock, NULL);
  program->gather.segs = malloc(GT_QUEUE_SEGS * sizeof(gt_seg));
  program->scatter.segs = malloc(GT_QUEUE_SEGS * sizeof(gt_seg));
  return program->gather.segs && program->scatter.segs ? 0 : -ENOMEM;
}

void gt_program_free(gt_program *program) {
  while (program->blobs) {
    gt_blob *blob = program->blobs;
    program->blobs = blob->next;
    free(blob);
  }
  free(program->gather.segs);
  free(program->scatter.segs);
  pthread_mutex_destroy(&program->lock);
}

static bool uses_lu(const gt_seg *seg) {
  return seg->op != GT_OP_INLINE && seg->op != GT_OP_ZEROS && seg->op != GT_OP_DISCARD && seg->op != GT_OP_HOLD;
}

static bool on_tape(const gt_seg *seg) {
  return seg->op == GT_OP_TAPE || seg->op == GT_OP_FILEMARK || seg->op == GT_OP_LOCATE || seg->op == GT_OP_SPACE;
}

static bool drive_moves(const gt_program *program, int lu, uint32_t bytes) {
  if (lu < 0 || !bytes) return true;
  const gt_copy_lu *drive = &program->lus[lu];
  return drive->lu->limits.max_transfer >= bytes && (!drive->max_io_bytes || drive->max_io_bytes >= bytes);
}

/* Can the drives move the blocks of their sides in one command? Those of AS_GATHERED are as long as either's. */
static bool blocks_fit(const gt_program *program, const gt_program_facts *facts) {
  uint32_t source = program->block_bytes[GT_SIDE_GATHER], destination = program->block_bytes[GT_SIDE_SCATTER];
  if (facts->as_gathered) source = destination = source > destination ? source : destination;
  return drive_moves(program, facts->tape_lu[GT_SIDE_GATHER], source) &&
         drive_moves(program, facts->tape_lu[GT_SIDE_SCATTER], destination);
}

/* Each unit serves one side only (the side's thread is its poller), and each side has one tape at most. */
static bool lu_fits(const gt_program *program, gt_program_facts *facts, const gt_seg *seg, int side) {
  if (!uses_lu(seg)) return true;
  if (seg->lu >= program->lu_count) return false;
  uint8_t type = program->lus[seg->lu].type;
  if (on_tape(seg) && type != 1) return false;
  if (facts->lu_side[seg->lu] != GT_SIDE_NONE && facts->lu_side[seg->lu] != side) return false;
  facts->lu_side[seg->lu] = (uint8_t)side;
  if (type != 1) return true;
  if (facts->tape_lu[side] >= 0 && facts->tape_lu[side] != seg->lu) return false;
  facts->tape_lu[side] = seg->lu;
  return blocks_fit(program, facts);
}

/* A stream of whole tape blocks is nothing else: what gather makes are files of a tape, and each of scatter's segments
 * takes one. Gather keeps account of blocks from its first segment on, so that it has to know by then. */
static bool joins_image(const gt_program *program, gt_program_facts *facts, const gt_seg *seg, int side) {
  if (side == GT_SIDE_GATHER) {
    if (seg->op != GT_OP_TAPE || seg->bytes != UINT64_MAX) facts->parts = true;
  } else if (seg->skip & GT_SEG_AS_GATHERED) {
    if (!facts->as_gathered && program->facts.medium[GT_SIDE_GATHER] != GT_MEDIUM_NONE) return false;
    facts->as_gathered = true;
  } else {
    facts->parts = true;
  }
  return !facts->as_gathered || (!facts->parts && blocks_fit(program, facts));
}

/* Does it go with those before it? Updates the facts. */
static bool joins(const gt_program *program, gt_program_facts *facts, const gt_seg *seg, int side) {
  if (seg->tag) {
    if (facts->tag_side != GT_SIDE_NONE && facts->tag_side != side) return false;
    facts->tag_side = (uint8_t)side;
  }
  if (seg->op >= GT_OP_FILEMARK) return true;
  if (side == GT_SIDE_SCATTER && facts->open_ended) return false;
  if (!joins_image(program, facts, seg, side)) return false;
  /* Bytes from memory go between those of any source. */
  if (seg->op != GT_OP_INLINE && seg->op != GT_OP_ZEROS) {
    uint8_t medium = seg->op == GT_OP_TAPE ? GT_MEDIUM_TAPE : GT_MEDIUM_OTHER;
    if (facts->medium[side] != GT_MEDIUM_NONE && facts->medium[side] != medium) return false;
    facts->medium[side] = medium;
  }
  if (seg->bytes == UINT64_MAX) {
    if (side == GT_SIDE_GATHER)
      facts->gather_to_mark = true;
    else if (!facts->as_gathered)
      facts->open_ended = true;
    return true;
  }
  if (seg->bytes > program->bytes_max - facts->bytes[side]) return false;
  facts->bytes[side] += seg->bytes;
  return true;
}

/* Index of the first wrong segment, or `count`. */
static size_t check(const gt_program *program, gt_program_facts *facts, const gt_seg *segs, size_t count, int side,
                    size_t inline_len) {
  for (size_t i = 0; i < count; i++) {
    if (!gt_seg_fits(program, &segs[i], side, inline_len) || !lu_fits(program, facts, &segs[i], side) ||
        !joins(program, facts, &segs[i], side))
      return i;
  }
  return count;
}

static bool has_room(const gt_queue *queue, size_t count) { return count <= GT_QUEUE_SEGS - gt_queue_count(queue); }

/* How many of the segments lie before the end of the last INLINE one: 0, nobody needs the bytes. */
static size_t inline_end(const gt_seg *gather, size_t gathers) {
  while (gathers && gather[gathers - 1].op != GT_OP_INLINE)
    gathers--;
  return gathers;
}

static gt_blob *make_blob(const gt_queue *queue, size_t end, const uint8_t *bytes, size_t len) {
  gt_blob *blob = malloc(sizeof *blob + len);
  if (!blob) return NULL;
  *blob = (gt_blob){.bytes = len, .until = atomic_load_explicit(&queue->held, memory_order_relaxed) + end};
  memcpy(blob->data, bytes, len);
  return blob;
}

static void push(gt_queue *queue, const gt_seg *segs, size_t count, const gt_blob *blob) {
  uint64_t held = atomic_load_explicit(&queue->held, memory_order_relaxed);
  for (size_t i = 0; i < count; i++) {
    gt_seg *slot = &queue->segs[(held + i) % GT_QUEUE_SEGS];
    *slot = segs[i];
    if (slot->op == GT_OP_INLINE) slot->addr = blob ? (uint64_t)(uintptr_t)(blob->data + segs[i].addr) : 0;
  }
  atomic_store(&queue->held, held + count);
}

static bool keep_blob(gt_program *program, gt_blob *blob) {
  pthread_mutex_lock(&program->lock);
  bool room = blob->bytes <= GT_QUEUE_INLINE - program->inline_bytes;
  if (room) {
    program->inline_bytes += blob->bytes;
    *program->blobs_end = blob;
    program->blobs_end = &blob->next;
  }
  pthread_mutex_unlock(&program->lock);
  return room;
}

int gt_program_append(gt_program *program, const gt_seg *gather, size_t gathers, const gt_seg *scatter, size_t scatters,
                      const uint8_t *inline_bytes, size_t inline_len, size_t *bad) {
  *bad = 0;
  if (gathers > GT_QUEUE_SEGS || scatters > GT_QUEUE_SEGS || inline_len > GT_QUEUE_INLINE) return -EINVAL;
  gt_program_facts facts = program->facts;
  size_t wrong = check(program, &facts, gather, gathers, GT_SIDE_GATHER, inline_len);
  if (wrong == gathers) wrong += check(program, &facts, scatter, scatters, GT_SIDE_SCATTER, 0);
  *bad = wrong;
  if (wrong < gathers + scatters) return -EINVAL;
  if (!has_room(&program->gather, gathers) || !has_room(&program->scatter, scatters)) return -ENOSPC;
  gt_blob *blob = NULL;
  size_t end = inline_len ? inline_end(gather, gathers) : 0;
  if (end) {
    blob = make_blob(&program->gather, end, inline_bytes, inline_len);
    if (!blob) return -ENOMEM;
    if (!keep_blob(program, blob)) {
      free(blob);
      return -ENOSPC;
    }
  }
  program->facts = facts;
  atomic_store(&program->tag_side, facts.tag_side);
  atomic_store(&program->gather_to_mark, facts.gather_to_mark);
  atomic_store(&program->as_gathered, facts.as_gathered);
  push(&program->scatter, scatter, scatters, NULL);
  push(&program->gather, gather, gathers, blob);
  return 0;
}

uint64_t gt_queue_count(const gt_queue *queue) {
  /* Read in this order the difference is never too small for the appender, and never too large for the taker. */
  uint64_t taken = atomic_load(&queue->taken);
  return atomic_load(&queue->held) - taken;
}

const gt_seg *gt_queue_peek(const gt_queue *queue, uint64_t ahead) {
  uint64_t at = atomic_load_explicit(&queue->taken, memory_order_relaxed) + ahead;
  return at < atomic_load_explicit(&queue->held, memory_order_acquire) ? &queue->segs[at % GT_QUEUE_SEGS] : NULL;
}

void gt_queue_drop(gt_queue *queue) {
  uint64_t taken = atomic_load_explicit(&queue->taken, memory_order_relaxed);
  atomic_store_explicit(&queue->taken, taken + 1, memory_order_release);
}

bool gt_program_has_room(gt_program *program, uint64_t inline_bytes) {
  pthread_mutex_lock(&program->lock);
  bool room = inline_bytes <= GT_QUEUE_INLINE - program->inline_bytes;
  pthread_mutex_unlock(&program->lock);
  return room;
}

void gt_program_free_inline(gt_program *program) {
  uint64_t taken = atomic_load_explicit(&program->gather.taken, memory_order_relaxed);
  pthread_mutex_lock(&program->lock);
  while (program->blobs && program->blobs->until <= taken) {
    gt_blob *gone = program->blobs;
    program->blobs = gone->next;
    program->inline_bytes -= gone->bytes;
    free(gone);
  }
  if (!program->blobs) program->blobs_end = &program->blobs;
  pthread_mutex_unlock(&program->lock);
}
