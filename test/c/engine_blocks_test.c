/* Source and destination tapes whose blocks differ, what blocks as they are (AS_GATHERED) go together with, and what
 * they do not. */
#include "image_rig.h"

enum { BLOCK = 4096 };

static gt_arena *arena;

static void block_limits(void) {
  TEST("a block may have as many bytes as the larger limit, whichever side has it; one more ends the run behind those "
       "before it");
  static const struct {
    uint32_t source, destination, largest;
  } rows[] = {{0, BLOCK, BLOCK}, {65536, BLOCK, 65536}, {BLOCK, 65536, 65536}, {1, 512, 512}};
  for (int i = 0; i < 8; i++) {
    uint32_t largest = rows[i / 2].largest, too_large = i % 2;
    image m;
    image_open(&m, arena, rows[i / 2].source, rows[i / 2].destination);
    uint64_t seed = 3;
    put_block(m.from, 7, &seed);
    put_block(m.from, largest, &seed);
    if (too_large) put_block(m.from, largest + 1, &seed);
    put_mark(m.from);
    add_file(&m, 1);
    CHECK_EQ(rig_run(&m.r, &m.p), too_large ? GT_RESULT_BLOCK_TOO_LARGE : GT_RESULT_OK);
    CHECK_EQ(m.r.done.stream_offset, 7 + largest);
    check_same(&m, too_large ? 2 : 3);
    image_close(&m);
  }
}

static void reblocked(void) {
  TEST("tapes with blocks of different sizes, either of them the larger: the same bytes in blocks of the other size");
  for (int larger = 0; larger < 2; larger++) {
    uint32_t source = larger ? 65536 : 1000, block = larger ? 1024 : 65536;
    image m;
    image_open(&m, arena, source, block);
    uint64_t seed = 8;
    uint8_t *stream = malloc(1 << 20);
    size_t at = 0;
    while (at < 900000) {
      put_block(m.from, at % 3 ? source : 1 + (uint32_t)below(&seed, source), &seed);
      const fake_object *o = &m.from->objects[m.from->count - 1];
      memcpy(stream + at, o->data, o->bytes);
      at += o->bytes;
    }
    put_mark(m.from);
    m.p.gather[m.p.gathers++] = (gt_seg){.op = GT_OP_TAPE, .lu = 0, .bytes = UINT64_MAX};
    rig_scatter(&m.p, (gt_seg){.op = GT_OP_TAPE, .lu = 1, .bytes = UINT64_MAX});
    /* Neither drive could move the blocks of the other. */
    m.r.options.ring_bytes = 1 << 19;
    m.r.lus[0].max_io_bytes = source, m.r.lus[1].max_io_bytes = block;
    CHECK_EQ(rig_run(&m.r, &m.p), GT_RESULT_OK);
    CHECK(rig_tape_is(m.to, 0, stream, at, block));
    free(stream);
    image_close(&m);
  }
}

static void limits_checked(void) {
  TEST("a ring too small for four of the larger blocks and a drive too small for its side's are refused");
  image m;
  image_open(&m, arena, 65536, BLOCK);
  m.r.options.ring_bytes = 65536 * 4 - 4096;
  CHECK_EQ(rig_start(&m.r), -EINVAL);
  m.r.options.ring_bytes += 4096;
  m.r.options.source_block_bytes = (8 << 20) + 1;
  m.r.options.ring_bytes = 64 << 20;
  CHECK_EQ(rig_start(&m.r), -EINVAL);
  m.r.options.source_block_bytes = 65536;
  m.r.options.ring_bytes = 65536 * 4;
  m.r.lus[1].max_io_bytes = 4095;
  CHECK_EQ(rig_start(&m.r), -EINVAL);
  for (int small = 0; small < 2; small++) {
    for (int as_is = 0; as_is < 2; as_is++) {
      gt_seg gather = {.op = GT_OP_TAPE, .lu = 0, .bytes = UINT64_MAX};
      gt_seg scatter = {.op = GT_OP_TAPE, .lu = 1, .bytes = UINT64_MAX, .skip = as_is ? AS_IS : 0};
      size_t bad = 99;
      m.r.lus[small].max_io_bytes = BLOCK, m.r.lus[!small].max_io_bytes = 0;
      CHECK_EQ(rig_start(&m.r), 0);
      int result = gt_copy_append(m.r.copy, &gather, 1, &scatter, 1, NULL, 0, &bad);
      CHECK_EQ(result, small == 0 || as_is ? -EINVAL : 0);
      CHECK_EQ(bad, small == 0 ? 0 : as_is ? 1 : 2);
      /* And in the other order. */
      if (result && as_is) CHECK_EQ(gt_copy_append(m.r.copy, NULL, 0, &scatter, 1, NULL, 0, &bad), small ? -EINVAL : 0);
      if (result && as_is && !small) CHECK_EQ(gt_copy_append(m.r.copy, &gather, 1, NULL, 0, NULL, 0, &bad), -EINVAL);
      gt_copy_close(m.r.copy);
    }
  }
  m.r.copy = NULL;
  image_close(&m);
}

static void mixed_programs(void) {
  TEST("what does not go with whole blocks is refused, in either order; and so are they behind what was read before");
  gt_seg whole = {.op = GT_OP_TAPE, .lu = 0, .bytes = UINT64_MAX}, part = {.op = GT_OP_TAPE, .lu = 0, .bytes = 5};
  gt_seg zeros = {.op = GT_OP_ZEROS, .bytes = 5}, discard = {.op = GT_OP_DISCARD, .bytes = 5};
  gt_seg as_is = {.op = GT_OP_TAPE, .lu = 1, .bytes = UINT64_MAX, .skip = AS_IS}, blocks = as_is;
  blocks.skip = 0;
  const struct {
    const gt_seg *gather[2], *scatter[2];
    int results[2];
  } rows[] = {
      {{&whole, &whole}, {&as_is, &as_is}, {0, 0}},     {{NULL, &whole}, {&as_is, NULL}, {0, 0}},
      {{&whole, NULL}, {NULL, &as_is}, {0, -EINVAL}},   {{NULL, &part}, {&as_is, NULL}, {0, -EINVAL}},
      {{NULL, &zeros}, {&as_is, NULL}, {0, -EINVAL}},   {{&part, NULL}, {&as_is, NULL}, {-EINVAL, 0}},
      {{&zeros, NULL}, {NULL, &as_is}, {0, -EINVAL}},   {{NULL, NULL}, {&as_is, &discard}, {0, -EINVAL}},
      {{NULL, NULL}, {&discard, &as_is}, {0, -EINVAL}}, {{NULL, NULL}, {&as_is, &blocks}, {0, -EINVAL}},
      {{NULL, NULL}, {&blocks, &as_is}, {0, -EINVAL}},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    image m;
    image_open(&m, arena, 0, BLOCK);
    CHECK_EQ(rig_start(&m.r), 0);
    gt_copy_pause(m.r.copy);
    for (int k = 0; k < 2; k++) {
      size_t bad;
      const gt_seg *g = rows[i].gather[k], *s = rows[i].scatter[k];
      int result = gt_copy_append(m.r.copy, g, g != NULL, s, s != NULL, NULL, 0, &bad);
      CHECK_EQ(result, rows[i].results[k]);
      if (result != rows[i].results[k]) fprintf(stderr, "  row %zu\n", i);
    }
    image_close(&m);
  }
}

static void uneven(void) {
  TEST("a side with more files than the other is an error of the program's maker, also where they are empty");
  for (int kind = 0; kind < 4; kind++) {
    image m;
    image_open(&m, arena, 0, BLOCK);
    uint64_t seed = 4;
    for (int file = 0; file < 2; file++) {
      if (kind % 2) put_block(m.from, 100, &seed);
      put_mark(m.from);
    }
    add_file(&m, 1);
    add_file(&m, 2);
    if (kind < 2)
      m.p.gathers--;
    else
      m.p.scatters -= 2;
    CHECK_EQ(rig_run(&m.r, &m.p), GT_RESULT_INTERNAL);
    CHECK_EQ(m.r.done.error, -EINVAL);
    check_same(&m, kind % 2 ? 2 : 1);
    image_close(&m);
  }
}

static void large_between_immediate(void) {
  TEST("between devices in memory, too, the ring has room for the largest block of the source");
  gt_arena *large;
  CHECK_EQ(gt_arena_create(32 << 20, &large), 0);
  image m;
  image_open(&m, large, 8 << 20, 512);
  m.from->lu.limits.immediate = m.to->lu.limits.immediate = true;
  m.r.options.ring_bytes = 32 << 20;
  uint64_t seed = 14;
  put_block(m.from, 8 << 20, &seed);
  put_mark(m.from);
  m.to->lu.limits.max_transfer = 512;
  m.p.gather[m.p.gathers++] = (gt_seg){.op = GT_OP_TAPE, .lu = 0, .bytes = UINT64_MAX};
  rig_scatter(&m.p, (gt_seg){.op = GT_OP_TAPE, .lu = 1, .bytes = UINT64_MAX});
  CHECK_EQ(rig_run(&m.r, &m.p), GT_RESULT_OK);
  CHECK(rig_tape_is(m.to, 0, m.from->objects[0].data, 8 << 20, 512));
  image_close(&m);
  gt_arena_destroy(large);
}

int main(void) {
  CHECK_EQ(gt_arena_create(16 << 20, &arena), 0);
  block_limits();
  reblocked();
  limits_checked();
  mixed_programs();
  uneven();
  large_between_immediate();
  CHECK_EQ(gt_arena_free_bytes(arena), gt_arena_bytes(arena));
  gt_arena_destroy(arena);
  return check_end();
}
