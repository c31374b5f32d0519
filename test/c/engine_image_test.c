/* Tapes block by block as they are (AS_GATHERED). */
#include <time.h>

#include "image_rig.h"

enum { BLOCK = 4096 };

static gt_arena *arena;

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
    image_open(&m, arena, 0, BLOCK);
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
  image_open(&m, arena, 0, BLOCK);
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
      image_open(&m, arena, 0, BLOCK);
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

/* As a copy manager does that stops behind two filemarks in a row: one file at a time, and a look at how far it went.
 */
static void file_by_file(void) {
  TEST("files appended one after the other, each with a flush that tells its end: an empty one is known by that");
  image m;
  image_open(&m, arena, 0, BLOCK);
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
    image_open(&m, arena, 0, BLOCK);
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
  image_open(&m, arena, 0, BLOCK);
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

static void ends_in_time(void) {
  TEST("a file is ended on the destination while the source still looks for the next one's first block");
  image m;
  image_open(&m, arena, 0, BLOCK);
  uint64_t seed = 13;
  for (int file = 0; file < 2; file++) {
    put_block(m.from, 100, &seed);
    put_mark(m.from);
    add_file(&m, 1);
  }
  m.from->hold_from = 3; /* READ POSITION and a block */
  m.r.options.tape_start_ms = 1;
  CHECK_EQ(rig_start(&m.r), 0);
  CHECK_EQ(rig_append(&m.r, &m.p), 0);
  gt_copy_finish(m.r.copy);
  while (m.to->commands < 2) /* READ POSITION and WRITE */
    nap();
  nap();
  m.from->hold_from = 4; /* the filemark, and nothing more */
  gt_lu_wake(&m.from->lu);
  while (m.to->commands < 3) /* WRITE FILEMARKS */
    nap();
  m.from->hold_from = 0;
  gt_lu_wake(&m.from->lu);
  CHECK_EQ(rig_wait(&m.r), GT_RESULT_OK);
  check_same(&m, 4);
  image_close(&m);
}

static void cut_short(void) {
  TEST("closed or cancelled at any moment: whole blocks on the destination, as many as the end says");
  for (int i = 0; i < 40; i++) {
    image m;
    image_open(&m, arena, 0, BLOCK);
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
  file_by_file();
  volume_full();
  reads_ahead();
  ends_in_time();
  cut_short();
  CHECK_EQ(gt_arena_free_bytes(arena), gt_arena_bytes(arena));
  gt_arena_destroy(arena);
  return check_end();
}
