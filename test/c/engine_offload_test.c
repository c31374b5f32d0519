/* What third-party copies ask of the engine: extents that keep what they do not cover, bytes that go where they go and
 * are told besides, and drives that differ in their blocks. */
#define RIG_STREAM_BYTES (1 << 23)
#include "engine_rig.h"

enum { BLOCK = 4096, KEEP = GT_SEG_KEEP, HELD = GT_SEG_HELD };

static gt_arena *arena;

static size_t below(uint64_t *seed, size_t limit) { return limit ? fake_random(seed) % limit : 0; }

static void put_block(fake *tape, const uint8_t *data, uint32_t bytes) {
  fake_object *o = &tape->objects[tape->count++];
  o->data = malloc(bytes);
  o->bytes = bytes;
  memcpy(o->data, data, bytes);
  tape->used += bytes;
}

static uint8_t *noise(size_t len, uint64_t seed) {
  uint8_t *data = malloc(len);
  for (size_t i = 0; i < len; i++)
    data[i] = (uint8_t)fake_random(&seed);
  return data;
}

static void open_pair(rig *r, fake *source, fake *destination) {
  rig_open(r, arena, 1 << 17, BLOCK);
  r->options.lu_count = 2;
  r->lus[0] = source->disk ? rig_disk(source) : rig_tape(source);
  r->lus[1] = destination->disk ? rig_disk(destination) : rig_tape(destination);
}

/* What a disk holds after an extent. */
static void lay(uint8_t *model, uint32_t block, const gt_seg *seg, const uint8_t *bytes) {
  size_t at = seg->addr * block + (seg->skip & GT_SKIP_MAX), end = at + seg->bytes;
  memcpy(model + at, bytes, seg->bytes);
  if (!(seg->skip & KEEP)) memset(model + end, 0, (block - end % block) % block);
}

/* Extents at random places of a few blocks, so that many share some, or lie over each other. */
static void keep_round(uint32_t block, uint64_t number) {
  uint64_t seed = number * 0x9e3779b97f4a7c15u | 1;
  enum { BLOCKS = 256 };
  fake *from = fake_disk(512, 4096, fake_random(&seed)), *to = fake_disk(block, BLOCKS, fake_random(&seed));
  uint8_t *model = malloc(block * BLOCKS);
  memcpy(model, to->disk, block * BLOCKS);
  rig r;
  rig_program p;
  rig_program_open(&p);
  size_t at = 0, reach = 1 + below(&seed, 40), next = 0, held = 0;
  for (size_t count = 1 + below(&seed, 40); count--;) {
    size_t most = block * (1 + below(&seed, below(&seed, 4) ? 3 : 100)), bytes = 1 + below(&seed, most);
    uint16_t skip = (uint16_t)(below(&seed, 2) ? below(&seed, block) : 0);
    if (!below(&seed, 3)) bytes -= bytes > block ? (skip + bytes) % block : 0;
    if (at + bytes > 4096 * 512) break;
    gt_seg seg = {.op = GT_OP_EXTENT, .lu = 1, .addr = below(&seed, reach), .skip = skip, .bytes = bytes};
    /* Behind the one before, as those are that go in one command. */
    if (next && below(&seed, 2) && next < 128) seg.addr = next;
    next = (skip + bytes) % block ? 0 : seg.addr + (skip + bytes) / block;
    if (below(&seed, 4)) seg.skip |= KEEP;
    if (below(&seed, 4) == 0) seg.skip |= HELD;
    rig_scatter(&p, seg);
    lay(model, block, &seg, from->disk + at);
    at += bytes;
  }
  rig_extent(&p, from, 0, 0, 0, at, 0);
  open_pair(&r, from, to);
  r.options.io_bytes = (uint32_t)(block << below(&seed, 6));
  CHECK_EQ(rig_run(&r, &p), GT_RESULT_OK);
  bool same = !memcmp(model, to->disk, block * BLOCKS);
  CHECK(same);
  for (size_t i = 0, start = 0; i < p.scatters; start += p.scatter[i++].bytes) {
    if (!(p.scatter[i].skip & HELD)) continue;
    const gt_event *event = rig_find(&r, GT_EV_HELD, held);
    CHECK(event && event->cookie == start && event->data_len == p.scatter[i].bytes &&
          !memcmp(event->data, from->disk + start, event->data_len));
    if (event) held = (size_t)(event - r.events) + 1;
  }
  if (!same) fprintf(stderr, "  block %u, seed %llu\n", block, (unsigned long long)number);
  rig_close(&r);
  rig_program_close(&p);
  free(model);
  gt_lu_close(&from->lu);
  gt_lu_close(&to->lu);
}

static void keeps(uint64_t first, uint64_t count) {
  TEST("KEEP: bytes of a block before and behind the extent stay, extents that share blocks come one over the other");
  for (uint64_t number = first; number < first + count; number++) {
    keep_round(512, number);
    keep_round(4096, number);
  }
}

/* A whole block behind a part of it, and the other way round: with answers in the opposite order the first would win.
 */
static void keeps_order(void) {
  TEST("a whole block that is written after, or before, a part of it");
  for (int kind = 0; kind < 3; kind++) {
    fake *from = fake_disk(512, 64, 3);
    for (uint64_t seed = 1; seed < 60; seed++) {
      fake *to = fake_disk(512, 64, seed);
      uint8_t model[3 * 512];
      memcpy(model, to->disk, sizeof model);
      gt_seg part = {.op = GT_OP_EXTENT, .lu = 1, .addr = 1, .skip = 100 | KEEP, .bytes = 200};
      gt_seg whole = {.op = GT_OP_EXTENT, .lu = 1, .addr = 0, .bytes = 3 * 512};
      gt_seg front = {.op = GT_OP_EXTENT, .lu = 1, .addr = 0, .bytes = 512}, rest = front;
      rest.addr = 1;
      /* The last are two extents that would go in one command, were it not for the part under way. */
      const gt_seg *order[3][4] = {{&whole, &part}, {&part, &whole}, {&part, &front, &rest}};
      rig r;
      rig_program p;
      rig_program_open(&p);
      size_t at = 0;
      for (int i = 0; order[kind][i]; i++) {
        const gt_seg *seg = order[kind][i];
        rig_scatter(&p, *seg);
        lay(model, 512, seg, from->disk + at);
        at += seg->bytes;
      }
      rig_extent(&p, from, 0, 0, 0, at, 0);
      open_pair(&r, from, to);
      CHECK_EQ(rig_run(&r, &p), GT_RESULT_OK);
      CHECK(!memcmp(model, to->disk, sizeof model));
      rig_close(&r);
      rig_program_close(&p);
      gt_lu_close(&to->lu);
    }
    gt_lu_close(&from->lu);
  }
}

static void keeps_when_drained(void) {
  TEST("a source that ends early, inside any block of an extent that keeps: what it gave is there, all else as it was");
  uint8_t *data = noise(3 * 4096, 9);
  for (uint32_t block = 512; block <= 4096; block *= 8) {
    for (uint32_t cut = 1; cut < 3 * 4096; cut += 333) {
      fake *tape = fake_tape(), *disk = fake_disk(block, 64, cut);
      uint8_t *model = malloc(64 * block);
      memcpy(model, disk->disk, 64 * block);
      for (uint32_t at = 0; at < cut; at += BLOCK)
        put_block(tape, data + at, cut - at < BLOCK ? cut - at : BLOCK);
      rig r;
      rig_program p;
      rig_program_open(&p);
      p.gather[p.gathers++] = (gt_seg){.op = GT_OP_TAPE, .bytes = 3 * 4096};
      rig_scatter(&p, (gt_seg){.op = GT_OP_EXTENT, .lu = 1, .addr = 2, .skip = 77 | KEEP | HELD, .bytes = 3 * 4096});
      memcpy(model + 2 * block + 77, data, cut);
      open_pair(&r, tape, disk);
      CHECK_EQ(rig_run(&r, &p), GT_RESULT_TAPE_ENDED);
      CHECK_EQ(r.done.stream_offset, cut);
      CHECK(!memcmp(model, disk->disk, 64 * block));
      const gt_event *held = rig_find(&r, GT_EV_HELD, 0);
      CHECK(held && held->data_len == cut && !memcmp(held->data, data, cut));
      rig_close(&r);
      rig_program_close(&p);
      free(model);
      gt_lu_close(&tape->lu);
      gt_lu_close(&disk->lu);
    }
  }
  free(data);
}

enum { LENGTHS = 8 };
static const size_t lengths[LENGTHS] = {1, 511, 512, 700, BLOCK, 5 * BLOCK + 1, 60000, GT_HOLD_MAX};

/* Every other segment is held; the stream offset does not begin at 0. */
static void held_to(uint8_t op) {
  static const uint64_t start = 1000001;
  fake *from = fake_disk(512, 8192, 21), *to = op == GT_OP_TAPE ? fake_tape() : fake_disk(4096, 2048, 22);
  rig r;
  rig_program p;
  rig_program_open(&p);
  size_t at = 0;
  for (size_t i = 0; i < 2 * LENGTHS; i++) {
    gt_seg seg = {.op = op, .lu = 1, .bytes = lengths[i / 2], .skip = i % 2 ? HELD : 0};
    if (op == GT_OP_EXTENT) seg.addr = at / 4096, seg.skip |= (uint16_t)(at % 4096);
    if (op == GT_OP_DISCARD) seg.lu = 0;
    rig_scatter(&p, seg);
    at += seg.bytes;
  }
  rig_extent(&p, from, 0, 0, 0, at, 7);
  open_pair(&r, from, to);
  r.options.stream_offset = start;
  CHECK_EQ(rig_run(&r, &p), GT_RESULT_OK);
  if (op == GT_OP_EXTENT) CHECK(!memcmp(to->disk, p.stream, at));
  if (op == GT_OP_TAPE) CHECK(rig_tape_is(to, 0, p.stream, at, BLOCK));
  CHECK_EQ(rig_find(&r, GT_EV_DIGEST, 0)->crc32c, gt_crc32c(0, p.stream, at));
  CHECK_EQ(rig_count(&r, GT_EV_HELD), LENGTHS);
  size_t offset = 0, seen = 0;
  for (size_t i = 0; i < LENGTHS; i++) {
    offset += lengths[i];
    const gt_event *held = rig_find(&r, GT_EV_HELD, seen);
    CHECK(held);
    if (!held) break;
    CHECK_EQ(held->cookie, start + offset);
    CHECK_EQ(held->data_len, lengths[i]);
    CHECK(held->data_len == lengths[i] && !memcmp(held->data, p.stream + offset, lengths[i]));
    CHECK_EQ(held->stream_offset, start + offset + lengths[i]);
    seen = (size_t)(held - r.events) + 1;
    offset += lengths[i];
  }
  rig_close(&r);
  rig_program_close(&p);
  gt_lu_close(&from->lu);
  gt_lu_close(&to->lu);
}

static void held(void) {
  TEST("HELD: the bytes are on disk or tape or nowhere, and each held segment is told with its stream offset");
  held_to(GT_OP_EXTENT);
  held_to(GT_OP_TAPE);
  held_to(GT_OP_DISCARD);
}

static void flags_checked(void) {
  TEST("flags where they mean nothing are refused");
  enum { D, T };
  static const struct {
    const char *what;
    gt_seg seg;
    bool gather, wrong;
  } rows[] = {
      {"KEEP", {.op = 2, .bytes = 1, .skip = KEEP | 511}, false, false},
      {"KEEP and HELD", {.op = 2, .bytes = 1, .skip = KEEP | HELD}, false, false},
      {"KEEP with a skip of a block", {.op = 2, .bytes = 1, .skip = KEEP | 512}, false, true},
      {"KEEP past the capacity", {.op = 2, .addr = 99, .bytes = 512, .skip = KEEP | 1}, false, true},
      {"KEEP to gather", {.op = 2, .bytes = 1, .skip = KEEP}, true, true},
      {"KEEP of tape", {.op = 4, .lu = T, .bytes = 1, .skip = KEEP}, false, true},
      {"KEEP of COMPARE", {.op = 7, .bytes = 1, .skip = KEEP}, false, true},
      {"HELD of COMPARE", {.op = 7, .bytes = 1, .skip = HELD}, false, true},
      {"HELD of HOLD", {.op = 6, .bytes = 1, .skip = HELD}, false, true},
      {"HELD of a filemark", {.op = 8, .lu = T, .addr = 1, .skip = HELD}, false, true},
      {"HELD to gather", {.op = 4, .lu = T, .bytes = 1, .skip = HELD}, true, true},
      {"HELD of the most", {.op = 5, .bytes = GT_HOLD_MAX, .skip = HELD}, false, false},
      {"HELD of more", {.op = 5, .bytes = GT_HOLD_MAX + 1, .skip = HELD}, false, true},
      {"HELD of nothing", {.op = 5, .skip = HELD}, false, true},
      {"HELD of tape without an end", {.op = 4, .lu = T, .bytes = UINT64_MAX, .skip = HELD}, false, true},
      {"HELD and a skip of DISCARD", {.op = 5, .bytes = 1, .skip = HELD | 1}, false, true},
      {"AS_GATHERED with an end", {.op = 4, .lu = T, .bytes = 9, .skip = GT_SEG_AS_GATHERED}, false, true},
      {"AS_GATHERED of an extent", {.op = 2, .bytes = 512, .skip = GT_SEG_AS_GATHERED}, false, true},
      {"AS_GATHERED to gather", {.op = 4, .lu = T, .bytes = UINT64_MAX, .skip = GT_SEG_AS_GATHERED}, true, true},
      {"an unknown flag", {.op = 2, .bytes = 1, .skip = 0x1000}, false, true},
      {"SPACE with a flag", {.op = 11, .lu = T, .skip = 1 | KEEP}, false, true},
  };
  fake *disk = fake_disk(512, 100, 1), *tape = fake_tape();
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    rig r;
    size_t bad = 99;
    open_pair(&r, disk, tape);
    CHECK_EQ(rig_start(&r), 0);
    gt_copy_pause(r.copy);
    int result = gt_copy_append(r.copy, &rows[i].seg, rows[i].gather, &rows[i].seg, !rows[i].gather, NULL, 0, &bad);
    CHECK_EQ(result, rows[i].wrong ? -EINVAL : 0);
    CHECK_EQ(bad, rows[i].wrong ? 0 : 1);
    if ((result != 0) != rows[i].wrong) fprintf(stderr, "  %s\n", rows[i].what);
    rig_close(&r);
  }
  gt_lu_close(&disk->lu);
  gt_lu_close(&tape->lu);
}

int main(int argc, char **argv) {
  uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 0) : 1, count = argc > 2 ? strtoull(argv[2], NULL, 0) : 60;
  CHECK_EQ(gt_arena_create(16 << 20, &arena), 0);
  keeps(first, count);
  keeps_order();
  keeps_when_drained();
  held();
  flags_checked();
  CHECK_EQ(gt_arena_free_bytes(arena), gt_arena_bytes(arena));
  gt_arena_destroy(arena);
  return check_end();
}
