/* What the tests of tape images share: two tapes, a run between them, and how the one compares with the other. */
#ifndef IMAGE_RIG_H
#define IMAGE_RIG_H

#define RIG_STREAM_BYTES (1 << 20)
#include "engine_rig.h"

enum { AS_IS = GT_SEG_AS_GATHERED };

static inline size_t below(uint64_t *seed, size_t limit) { return limit ? fake_random(seed) % limit : 0; }

static inline void put_mark(fake *tape) { tape->objects[tape->count++] = (fake_object){0}; }

static inline void put_block(fake *tape, uint32_t bytes, uint64_t *seed) {
  fake_object *o = &tape->objects[tape->count++];
  o->data = malloc(bytes);
  o->bytes = bytes;
  for (uint32_t i = 0; i < bytes; i++)
    o->data[i] = (uint8_t)fake_random(seed);
  tape->used += bytes;
}

/* Both tapes and a run between them. */
typedef struct image {
  fake *from, *to;
  rig r;
  rig_program p;
} image;

static inline void image_open(image *m, gt_arena *arena, uint32_t source_block, uint32_t block) {
  m->from = fake_tape(), m->to = fake_tape();
  rig_open(&m->r, arena, 1 << 18, block);
  m->r.options.source_block_bytes = source_block;
  m->r.options.lu_count = 2;
  m->r.lus[0] = rig_tape(m->from), m->r.lus[1] = rig_tape(m->to);
  rig_program_open(&m->p);
}

static inline void add_file(image *m, uint32_t tag) {
  m->p.gather[m->p.gathers++] = (gt_seg){.op = GT_OP_TAPE, .lu = 0, .bytes = UINT64_MAX};
  rig_scatter(&m->p, (gt_seg){.op = GT_OP_TAPE, .lu = 1, .bytes = UINT64_MAX, .skip = AS_IS, .tag = tag});
  rig_scatter(&m->p, (gt_seg){.op = GT_OP_FILEMARK, .lu = 1, .addr = 1});
}

static inline void image_close(image *m) {
  rig_close(&m->r);
  rig_program_close(&m->p);
  gt_lu_close(&m->from->lu);
  gt_lu_close(&m->to->lu);
}

/* The first `count` objects of the destination are those of the source, and there are no more. */
static inline void check_same(const image *m, uint64_t count) {
  CHECK_EQ(m->to->count, count);
  for (uint64_t i = 0; i < count && i < m->to->count; i++) {
    const fake_object *a = &m->from->objects[i], *b = &m->to->objects[i];
    bool same = a->bytes == b->bytes && !a->data == !b->data && (!a->data || !memcmp(a->data, b->data, a->bytes));
    CHECK(same);
    if (!same) return;
  }
}

#endif
