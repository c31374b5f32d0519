/* Random programs, backed up and restored: what comes back is what was there, whatever the sizes of blocks, ring and
 * pieces, and in whatever order commands end. argv[1]: first seed, argv[2]: how many. */
#include "engine_rig.h"

static gt_arena *arena;

typedef struct member {
  uint32_t tag;
  size_t start, bytes;
} member;

typedef struct archive {
  rig_program p;
  member members[256];
  size_t count;
} archive;

static size_t below(uint64_t *seed, size_t limit) { return limit ? fake_random(seed) % limit : 0; }

/* One member: a header, some extents (now and then following each other on the disk), the tail cut, padding. */
static void add_member(archive *a, const fake *disk, uint32_t tag, uint64_t *seed) {
  uint8_t header[512];
  memset(header, (int)tag, sizeof header);
  rig_inline(&a->p, header, sizeof header, 0);
  member *m = &a->members[a->count++];
  *m = (member){.tag = tag, .start = a->p.stream_len};
  uint64_t next = below(seed, disk->blocks / 2);
  for (size_t extents = below(seed, 6); extents--;) {
    size_t bytes = 512 * (1 + below(seed, below(seed, 8) ? 24 : 256));
    uint16_t skip = below(seed, 5) ? 0 : (uint16_t)below(seed, disk->block);
    if (disk->block == 512 || !below(seed, 3)) bytes -= below(seed, 2) ? 0 : below(seed, 511);
    rig_extent(&a->p, disk, 0, next, skip, bytes, tag);
    bool whole = (skip + bytes) % disk->block == 0;
    next = whole && below(seed, 2) ? next + (skip + bytes) / disk->block : below(seed, disk->blocks / 2);
  }
  m->bytes = a->p.stream_len - m->start;
  if (!m->bytes) a->count--;
  if (a->p.stream_len % 512) rig_zeros(&a->p, 512 - a->p.stream_len % 512, 0);
}

static void check_digests(const rig *r, const archive *a) {
  const gt_event *event = r->events - 1;
  size_t from = 0;
  for (size_t i = 0; i < a->count; i++) {
    event = rig_find(r, GT_EV_DIGEST, from);
    CHECK(event);
    if (!event) return;
    from = (size_t)(event - r->events) + 1;
    CHECK_EQ(event->tag, a->members[i].tag);
    CHECK_EQ(event->bytes, a->members[i].bytes);
    CHECK_EQ(event->crc32c, gt_crc32c(0, a->p.stream + a->members[i].start, a->members[i].bytes));
    CHECK_EQ(event->stream_offset, a->members[i].start + a->members[i].bytes);
  }
  CHECK(!rig_find(r, GT_EV_DIGEST, from));
}

/* Hands a program over in small helpings, as its caller would: more when the engine is hungry. */
static uint8_t run_in_helpings(rig *r, const rig_program *p, uint64_t *seed) {
  int result = rig_start(r);
  if (result) fprintf(stderr, "start: %d %s\n", result, r->err);
  CHECK_EQ(result, 0);
  size_t g = 0, s = 0, seen = 0, bad;
  while (g < p->gathers || s < p->scatters) {
    size_t gathers = below(seed, 30), scatters = below(seed, 30);
    if (gathers > p->gathers - g) gathers = p->gathers - g;
    if (scatters > p->scatters - s) scatters = p->scatters - s;
    CHECK_EQ(
        gt_copy_append(r->copy, p->gather + g, gathers, p->scatter + s, scatters, p->inline_bytes, p->inline_len, &bad),
        0);
    g += gathers, s += scatters;
    if (below(seed, 3)) continue;
    for (const gt_event *hungry;
         !(hungry = rig_find(r, GT_EV_HUNGRY, seen)) || !(seen = (size_t)(hungry - r->events) + 1);) {
      if (rig_take(r)) return r->done.result;
      if (!rig_find(r, GT_EV_HUNGRY, seen)) sem_wait(&r->notified);
    }
  }
  gt_copy_finish(r->copy);
  return rig_wait(r);
}

static void set_sizes(rig *r, uint64_t *seed) {
  static const uint32_t blocks[] = {512, 1024, 4096, 10240, 12345, 65536};
  uint32_t block = blocks[below(seed, 6)];
  uint64_t ring = (4 * block + 4095) / 4096 * 4096;
  rig_open(r, arena, (ring < 16384 ? 16384 : ring) + 4096 * below(seed, 64), block);
  r->options.depth = (uint16_t)below(seed, 20);
  r->options.io_bytes = (uint32_t)(below(seed, 2) ? 0 : 512 << below(seed, 9));
  r->options.checkpoint_bytes = below(seed, 2) ? 0 : 1 + below(seed, 300000);
}

static void backup(const archive *a, fake *disk, fake *tape, uint64_t *seed, uint32_t *block) {
  rig r;
  set_sizes(&r, seed);
  r.options.lu_count = 2;
  *block = r.options.tape_block_bytes;
  r.lus[0] = rig_disk(disk), r.lus[1] = rig_tape(tape);
  CHECK_EQ(run_in_helpings(&r, &a->p, seed), GT_RESULT_OK);
  if (r.done.result) rig_say_done(&r);
  CHECK(rig_tape_is(tape, 0, a->p.stream, a->p.stream_len, *block));
  CHECK_EQ(tape->count, (a->p.stream_len + *block - 1) / *block + 1);
  check_digests(&r, a);
  CHECK_EQ(r.stats.gather.bytes + a->p.inline_len <= a->p.stream_len, true);
  rig_close(&r);
}

/* The scatter list that puts each member to a place of its own on another disk, in pieces; headers are held. */
static void plan_restore(const archive *a, rig_program *p, uint32_t block, uint64_t *seed) {
  size_t at = 0;
  uint64_t lba = 0;
  for (size_t i = 0; i <= a->count; i++) {
    size_t start = i < a->count ? a->members[i].start : a->p.stream_len;
    while (at < start) {
      size_t bytes = start - at < GT_HOLD_MAX ? start - at : GT_HOLD_MAX;
      bool hold = below(seed, 2);
      rig_scatter(p, (gt_seg){.op = hold ? GT_OP_HOLD : GT_OP_DISCARD, .addr = at, .bytes = bytes});
      at += bytes;
    }
    if (i == a->count) break;
    lba += below(seed, 3);
    for (size_t end = at + a->members[i].bytes; at < end;) {
      size_t bytes = block * (1 + below(seed, 40));
      if (bytes > end - at) bytes = end - at;
      rig_scatter(p, (gt_seg){.op = GT_OP_EXTENT, .lu = 1, .addr = lba, .bytes = bytes, .tag = a->members[i].tag});
      lba += (bytes + block - 1) / block + (below(seed, 2) ? 0 : below(seed, 3));
      at += bytes;
    }
  }
}

static void check_restored(const rig *r, const archive *a, const rig_program *p, const fake *to) {
  size_t at = 0, event = 0;
  for (size_t i = 0; i < p->scatters; i++) {
    const gt_seg *seg = &p->scatter[i];
    if (seg->op == GT_OP_EXTENT) CHECK(!memcmp(to->disk + seg->addr * to->block, a->p.stream + at, seg->bytes));
    if (seg->op == GT_OP_HOLD) {
      const gt_event *held = rig_find(r, GT_EV_HELD, event);
      CHECK(held && held->cookie == at && held->data_len == seg->bytes);
      CHECK(held && !memcmp(held->data, a->p.stream + at, seg->bytes));
      if (held) event = (size_t)(held - r->events) + 1;
    }
    at += seg->bytes;
  }
}

static void restore(const archive *a, fake *tape, fake *to, uint32_t block, uint64_t *seed) {
  rig r;
  rig_program p;
  rig_program_open(&p);
  set_sizes(&r, seed);
  if (r.options.tape_block_bytes < block) {
    r.options.tape_block_bytes = block;
    r.options.ring_bytes = (4 * block + 4095) / 4096 * 4096 + 16384;
  }
  r.options.lu_count = 2;
  r.lus[0] = rig_tape(tape), r.lus[1] = rig_disk(to);
  p.gather[p.gathers++] = (gt_seg){.op = GT_OP_LOCATE, .lu = 0, .addr = 0};
  if (below(seed, 2)) {
    p.gather[p.gathers++] = (gt_seg){.op = GT_OP_TAPE, .lu = 0, .bytes = UINT64_MAX};
  } else {
    for (size_t left = a->p.stream_len; left;) {
      size_t bytes = 1 + below(seed, left);
      p.gather[p.gathers++] = (gt_seg){.op = GT_OP_TAPE, .lu = 0, .bytes = bytes};
      left -= bytes;
    }
  }
  plan_restore(a, &p, to->block, seed);
  CHECK_EQ(run_in_helpings(&r, &p, seed), GT_RESULT_OK);
  if (r.done.result) rig_say_done(&r);
  check_restored(&r, a, &p, to);
  check_digests(&r, a);
  rig_close(&r);
  /* And the same list as COMPARE finds no difference, then one where a byte was changed. */
  size_t changed = 0;
  for (int spoiled = 0; spoiled < 2; spoiled++) {
    for (size_t i = 0; i < p.scatters; i++) {
      if (p.scatter[i].op == GT_OP_EXTENT) {
        p.scatter[i].op = GT_OP_COMPARE;
        changed = p.scatter[i].addr * to->block + p.scatter[i].bytes - 1;
      }
    }
    if (spoiled) to->disk[changed] ^= 1;
    set_sizes(&r, seed);
    r.options.tape_block_bytes = block;
    r.options.ring_bytes = (4 * block + 4095) / 4096 * 4096 + 16384;
    r.options.lu_count = 2;
    r.lus[0] = rig_tape(tape), r.lus[1] = rig_disk(to);
    CHECK_EQ(run_in_helpings(&r, &p, seed), GT_RESULT_OK);
    CHECK_EQ(rig_count(&r, GT_EV_MISCOMPARE), spoiled && a->count ? 1 : 0);
    const gt_event *miss = rig_find(&r, GT_EV_MISCOMPARE, 0);
    if (miss) CHECK_EQ(miss->lba, changed / to->block);
    rig_close(&r);
  }
  rig_program_close(&p);
}

static void round_trip(uint64_t number) {
  uint64_t seed = number * 0x9e3779b97f4a7c15u | 1;
  static const uint32_t blocks[] = {512, 4096, 520};
  fake *disk = fake_disk(blocks[below(&seed, 3)], 2048, fake_random(&seed)), *tape = fake_tape();
  fake *to = fake_disk(blocks[below(&seed, 2)], 8192, fake_random(&seed));
  if (!below(&seed, 4)) disk->seed = 0;
  tape->locates = below(&seed, 2);
  tape->tells_position = below(&seed, 2);
  archive a = {0};
  rig_program_open(&a.p);
  for (uint32_t tag = 1, members = (uint32_t)below(&seed, 20); tag <= members; tag++)
    add_member(&a, disk, tag, &seed);
  rig_inline(&a.p, "end", 3, 0);
  if (below(&seed, 2)) {
    rig_scatter(&a.p, (gt_seg){.op = GT_OP_TAPE, .lu = 1, .bytes = UINT64_MAX});
  } else {
    for (size_t left = a.p.stream_len; left;) {
      size_t bytes = 1 + below(&seed, left);
      rig_scatter(&a.p, (gt_seg){.op = GT_OP_TAPE, .lu = 1, .bytes = bytes});
      left -= bytes;
    }
  }
  rig_scatter(&a.p, (gt_seg){.op = GT_OP_FILEMARK, .lu = 1, .addr = 1});
  uint32_t block;
  int before = check_failures;
  backup(&a, disk, tape, &seed, &block);
  restore(&a, tape, to, block, &seed);
  if (check_failures != before) fprintf(stderr, "seed %llu\n", (unsigned long long)number);
  rig_program_close(&a.p);
  gt_lu_close(&disk->lu);
  gt_lu_close(&tape->lu);
  gt_lu_close(&to->lu);
}

int main(int argc, char **argv) {
  uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 0) : 1, count = argc > 2 ? strtoull(argv[2], NULL, 0) : 40;
  TEST("random lists come back from tape byte for byte, with the digests of every member, and compare equal");
  CHECK_EQ(gt_arena_create(16 << 20, &arena), 0);
  for (uint64_t number = first; number < first + count; number++)
    round_trip(number);
  CHECK_EQ(gt_arena_free_bytes(arena), gt_arena_bytes(arena));
  gt_arena_destroy(arena);
  return check_end();
}
