/* Tapes block by block as they are (AS_GATHERED), and source and destination tapes whose blocks differ. */
#define RIG_STREAM_BYTES (1 << 20)
#include <time.h>

#include "engine_rig.h"

enum { BLOCK = 4096, AS_IS = GT_SEG_AS_GATHERED };

static gt_arena *arena;

static size_t below(uint64_t *seed, size_t limit) { return limit ? fake_random(seed) % limit : 0; }

static void put_mark(fake *tape) { tape->objects[tape->count++] = (fake_object){0}; }

static void put_block(fake *tape, uint32_t bytes, uint64_t *seed) {
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

static void image_open(image *m, uint32_t source_block, uint32_t block) {
  m->from = fake_tape(), m->to = fake_tape();
  rig_open(&m->r, arena, 1 << 18, block);
  m->r.options.source_block_bytes = source_block;
  m->r.options.lu_count = 2;
  m->r.lus[0] = rig_tape(m->from), m->r.lus[1] = rig_tape(m->to);
  rig_program_open(&m->p);
}

static void add_file(image *m, uint32_t tag) {
  m->p.gather[m->p.gathers++] = (gt_seg){.op = GT_OP_TAPE, .lu = 0, .bytes = UINT64_MAX};
  rig_scatter(&m->p, (gt_seg){.op = GT_OP_TAPE, .lu = 1, .bytes = UINT64_MAX, .skip = AS_IS, .tag = tag});
  rig_scatter(&m->p, (gt_seg){.op = GT_OP_FILEMARK, .lu = 1, .addr = 1});
}

static void image_close(image *m) {
  rig_close(&m->r);
  rig_program_close(&m->p);
  gt_lu_close(&m->from->lu);
  gt_lu_close(&m->to->lu);
}

/* The first `count` objects of the destination are those of the source, and there are no more. */
static void check_same(const image *m, uint64_t count) {
  CHECK_EQ(m->to->count, count);
  for (uint64_t i = 0; i < count && i < m->to->count; i++) {
    const fake_object *a = &m->from->objects[i], *b = &m->to->objects[i];
    bool same = a->bytes == b->bytes && !a->data == !b->data && (!a->data || !memcmp(a->data, b->data, a->bytes));
    CHECK(same);
    if (!same) return;
  }
}

/* Every block's CRC is told once and in order, every file's digest is that of its bytes. */
static void check_told(const image *m) {
  uint64_t object = 0, bytes = 0;
  uint32_t tag = 1, file = 0;
  size_t digest = 0;
  for (size_t i = 0; i < m->r.count; i++) {
    const gt_event *e = &m->r.events[i];
    for (uint32_t k = 0; e->type == GT_EV_BLOCK_CRCS && k < e->count; k++, object++) {
      object = k ? object : e->object;
      const fake_object *o = &m->to->objects[object];
      CHECK_EQ(gt_load_le32(e->data + 4 * k), gt_crc32c(0, o->data, o->bytes));
    }
  }
  for (uint64_t i = 0; i < m->from->count; i++) {
    const fake_object *o = &m->from->objects[i];
    bytes += o->bytes;
    if (o->data) file = gt_crc32c(file, o->data, o->bytes);
    if (o->data) continue;
    const gt_event *e = rig_find(&m->r, GT_EV_DIGEST, digest);
    CHECK(e && e->tag == tag && e->crc32c == file && e->stream_offset == bytes);
    if (!e) return;
    digest = (size_t)(e - m->r.events) + 1;
    tag++, file = 0;
  }
}

static void mixed(uint64_t first, uint64_t count) {
  TEST("blocks of any length come out one by one as they are, in files of thousands, of one, and of none");
  for (uint64_t number = first; number < first + count; number++) {
    uint64_t seed = number * 0x9e3779b97f4a7c15u | 1;
    image m;
    image_open(&m, 0, BLOCK);
    m.r.options.ring_bytes = 1 << (15 + below(&seed, 4));
    m.r.options.checkpoint_bytes = below(&seed, 2) ? 1 + below(&seed, 100000) : 0;
    m.r.options.sha256 = below(&seed, 2);
    m.to->tells_position = below(&seed, 2);
    uint32_t files = 1 + (uint32_t)below(&seed, 6), biggest = (uint32_t)below(&seed, files);
    for (uint32_t file = 0; file < files; file++) {
      size_t blocks = below(&seed, 3) ? below(&seed, 40) : below(&seed, 2);
      if (file == biggest) blocks = 3000;
      while (blocks--) {
        size_t kind = below(&seed, 8);
        put_block(m.from,
                  kind == 0   ? 1
                  : kind == 1 ? BLOCK
                              : 1 + (uint32_t)below(&seed, kind < 6 ? 100 : BLOCK),
                  &seed);
      }
      put_mark(m.from);
      add_file(&m, file + 1);
    }
    CHECK_EQ(rig_run(&m.r, &m.p), GT_RESULT_OK);
    CHECK_EQ(m.r.done.stream_offset, m.from->used);
    CHECK_EQ(m.r.done.object, m.from->count);
    check_same(&m, m.from->count);
    check_told(&m);
    image_close(&m);
  }
}

static void tiny(void) {
  TEST("more blocks of one byte than are kept account of at a time: gather waits for scatter, and nothing is lost");
  image m;
  image_open(&m, 0, BLOCK);
  uint64_t seed = 5;
  for (int i = 0; i < 40000; i++)
    put_block(m.from, 1, &seed);
  put_mark(m.from);
  add_file(&m, 1);
  CHECK_EQ(rig_run(&m.r, &m.p), GT_RESULT_OK);
  check_same(&m, 40001);
  check_told(&m);
  image_close(&m);
}

static void data_end(void) {
  TEST("the end of data in place of a filemark: TAPE_ENDED with every block before it written, and no filemark");
  static const int files[] = {0, 1, 3};
  for (int rest = 0; rest < 600; rest += rest ? 299 : 1) {
    for (int k = 0; k < 3; k++) {
      image m;
      image_open(&m, 0, BLOCK);
      uint64_t seed = 9;
      for (int file = 0; file <= files[k]; file++) {
        for (int i = 0; i < (file == files[k] ? rest : 50); i++)
          put_block(m.from, 1 + (uint32_t)below(&seed, BLOCK), &seed);
        if (file < files[k]) put_mark(m.from);
        add_file(&m, (uint32_t)file + 1);
      }
      add_file(&m, 99);
      CHECK_EQ(rig_run(&m.r, &m.p), GT_RESULT_TAPE_ENDED);
      CHECK_EQ(m.r.done.gather_side, 1);
      CHECK_EQ(m.r.done.cdb[0], GT_READ_6);
      CHECK_EQ(m.r.done.stream_offset, m.from->used);
      CHECK_EQ(m.r.done.object, m.from->count);
      check_same(&m, m.from->count);
      image_close(&m);
    }
  }
}

static void block_limits(void) {
  TEST("a block may have as many bytes as the larger limit, whichever side has it; one more ends the run behind those "
       "before it");
  static const struct {
    uint32_t source, destination, largest;
  } rows[] = {{0, BLOCK, BLOCK}, {65536, BLOCK, 65536}, {BLOCK, 65536, 65536}, {1, 512, 512}};
  for (int i = 0; i < 8; i++) {
    uint32_t largest = rows[i / 2].largest, too_large = i % 2;
    image m;
    image_open(&m, rows[i / 2].source, rows[i / 2].destination);
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
    image_open(&m, source, block);
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
  image_open(&m, 65536, BLOCK);
  m.r.options.ring_bytes = 65536 * 4 - 4096;
  CHECK_EQ(rig_start(&m.r), -EINVAL);
  m.r.options.ring_bytes += 4096;
  m.r.options.source_block_bytes = (8 << 20) + 1;
  CHECK_EQ(rig_start(&m.r), -EINVAL);
  m.r.options.source_block_bytes = 65536;
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
    image_open(&m, 0, BLOCK);
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
    image_open(&m, 0, BLOCK);
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

/* As a copy manager does that stops behind two filemarks in a row: one file at a time, and a look at how far it went.
 */
static void file_by_file(void) {
  TEST("files appended one after the other, each with a flush that tells its end: an empty one is known by that");
  image m;
  image_open(&m, 0, BLOCK);
  uint64_t seed = 6, offset = UINT64_MAX;
  for (int file = 0; file < 5; file++) {
    for (int i = 0; i < 20 * (file != 3); i++)
      put_block(m.from, 1 + (uint32_t)below(&seed, BLOCK), &seed);
    put_mark(m.from);
  }
  CHECK_EQ(rig_start(&m.r), 0);
  size_t seen = 0;
  for (bool more = true; more;) {
    m.p.gathers = m.p.scatters = 0;
    add_file(&m, 0);
    rig_scatter(&m.p, (gt_seg){.op = GT_OP_FLUSH, .lu = 1});
    CHECK_EQ(rig_append(&m.r, &m.p), 0);
    const gt_event *cp;
    while (!(cp = rig_find(&m.r, GT_EV_CHECKPOINT, seen)) && !rig_take(&m.r))
      if (!rig_find(&m.r, GT_EV_CHECKPOINT, seen)) sem_wait(&m.r.notified);
    if (!cp) break;
    seen = (size_t)(cp - m.r.events) + 1;
    more = cp->stream_offset != offset;
    offset = cp->stream_offset;
  }
  gt_copy_finish(m.r.copy);
  CHECK_EQ(rig_wait(&m.r), GT_RESULT_OK);
  check_same(&m, 64);
  image_close(&m);
}

static void volume_full(void) {
  TEST("a destination that is full ends at a block's edge");
  for (uint64_t full = 1; full < 40000; full += 3001) {
    image m;
    image_open(&m, 0, BLOCK);
    uint64_t seed = 11, written = 0, objects = 0;
    m.to->full_at = full;
    for (int i = 0; i < 40; i++)
      put_block(m.from, 1 + (uint32_t)below(&seed, BLOCK), &seed);
    put_mark(m.from);
    add_file(&m, 1);
    while (written + m.from->objects[objects].bytes <= full)
      written += m.from->objects[objects++].bytes;
    CHECK_EQ(rig_run(&m.r, &m.p), GT_RESULT_VOLUME_FULL);
    CHECK_EQ(m.r.done.stream_offset, written);
    check_same(&m, objects);
    image_close(&m);
  }
}

static void nap(void) { nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); }

static void reads_ahead(void) {
  TEST("blocks are read while one is being written: a destination that does not answer leaves the ring full behind it");
  image m;
  image_open(&m, 0, BLOCK);
  uint64_t seed = 12;
  for (int i = 0; i < 1000; i++)
    put_block(m.from, BLOCK, &seed);
  put_mark(m.from);
  add_file(&m, 1);
  m.to->hold_from = 3; /* READ POSITION, the first WRITE, and nothing more */
  CHECK_EQ(rig_start(&m.r), 0);
  CHECK_EQ(rig_append(&m.r, &m.p), 0);
  gt_copy_finish(m.r.copy);
  /* The ring has 64 blocks less the slots beside it, and one more when the first was written. */
  while (m.to->commands < 2 || m.from->commands < 1 + 50)
    nap();
  CHECK(m.from->commands < 1 + 70);
  m.to->hold_from = 0;
  gt_lu_wake(&m.to->lu);
  CHECK_EQ(rig_wait(&m.r), GT_RESULT_OK);
  check_same(&m, 1001);
  image_close(&m);
}

static void cut_short(void) {
  TEST("closed or cancelled at any moment: whole blocks on the destination, as many as the end says");
  for (int i = 0; i < 40; i++) {
    image m;
    image_open(&m, 0, BLOCK);
    uint64_t seed = 100 + (uint64_t)i;
    for (int k = 0; k < 4000; k++)
      put_block(m.from, 1 + (uint32_t)below(&seed, 50), &seed);
    put_mark(m.from);
    add_file(&m, 1);
    m.r.options.ring_bytes = 1 << 15;
    CHECK_EQ(rig_start(&m.r), 0);
    CHECK_EQ(rig_append(&m.r, &m.p), 0);
    unsigned until = (unsigned)below(&seed, 4000);
    while (m.from->commands < until)
      nap();
    if (i % 2) gt_copy_cancel(m.r.copy);
    if (i % 2) CHECK_EQ(rig_wait(&m.r), GT_RESULT_CANCELLED);
    uint64_t bytes = 0, objects = 0;
    while (i % 2 && bytes < m.r.done.stream_offset)
      bytes += m.from->objects[objects++].bytes;
    if (i % 2) CHECK_EQ(bytes, m.r.done.stream_offset);
    if (i % 2) check_same(&m, objects + (objects == 4000 && m.to->count == 4001));
    image_close(&m);
  }
}

int main(int argc, char **argv) {
  uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 0) : 1, count = argc > 2 ? strtoull(argv[2], NULL, 0) : 12;
  CHECK_EQ(gt_arena_create(16 << 20, &arena), 0);
  mixed(first, count);
  tiny();
  data_end();
  block_limits();
  reblocked();
  limits_checked();
  mixed_programs();
  uneven();
  file_by_file();
  volume_full();
  reads_ahead();
  cut_short();
  CHECK_EQ(gt_arena_free_bytes(arena), gt_arena_bytes(arena));
  gt_arena_destroy(arena);
  return check_end();
}
