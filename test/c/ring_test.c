/* The parts that the engine stands on: arena and mirrored ring, marks, throttle, pieces. */
#include "copy/internal.h"

#include <errno.h>

#include "check.h"
#include "copy/arena.h"
#include "copy/grains.h"
#include "core/crc32c.h"

static void arena_slices(void) {
  TEST("slices of the arena do not overlap, come back, and are refused when none is long enough");
  gt_arena *arena;
  uint64_t a, b, c, d;
  CHECK_EQ(gt_arena_create(10 * 4096, &arena), 0);
  CHECK_EQ(gt_arena_lend(arena, 4 * 4096, &a), 0);
  CHECK_EQ(gt_arena_lend(arena, 4 * 4096, &b), 0);
  CHECK_EQ(gt_arena_lend(arena, 4 * 4096, &c), -ENOMEM);
  CHECK_EQ(gt_arena_lend(arena, 2 * 4096, &c), 0);
  CHECK_EQ(gt_arena_free_bytes(arena), 0);
  CHECK(a + 4 * 4096 <= b || b + 4 * 4096 <= a);
  gt_arena_give_back(arena, a);
  CHECK_EQ(gt_arena_free_bytes(arena), 4 * 4096);
  CHECK_EQ(gt_arena_lend(arena, 8 * 4096, &d), -ENOMEM);
  CHECK_EQ(gt_arena_lend(arena, 3 * 4096, &d), 0);
  CHECK_EQ(d, a);
  gt_arena_give_back(arena, b);
  gt_arena_give_back(arena, c);
  gt_arena_give_back(arena, d);
  CHECK_EQ(gt_arena_free_bytes(arena), 10 * 4096);
  CHECK_EQ(gt_arena_create(0, &arena), -EINVAL);
  CHECK_EQ(gt_arena_create(UINT64_MAX, &arena), -EINVAL);
  gt_arena_destroy(arena);
}

static void mirror(void) {
  TEST("a piece over the ring's end is contiguous, and the slots lie apart from it");
  gt_arena *arena;
  gt_ring ring;
  CHECK_EQ(gt_arena_create(32 * 4096, &arena), 0);
  CHECK_EQ(gt_ring_map(&ring, arena, 16 * 4096, 2 * 4096), 0);
  CHECK_EQ(ring.size, 14 * 4096);
  uint8_t *piece = gt_ring_at(&ring, 3 * ring.size - 100);
  for (int i = 0; i < 200; i++)
    piece[i] = (uint8_t)i;
  CHECK_EQ(ring.base[0], 100);
  CHECK_EQ(ring.base[99], 199);
  CHECK_EQ(ring.base[ring.size - 1], 99);
  CHECK_EQ(*gt_ring_at(&ring, 3 * ring.size), 100);
  memset(ring.aside, 0xee, ring.aside_bytes);
  CHECK_EQ(ring.base[0], 100);
  gt_ring other;
  CHECK_EQ(gt_ring_map(&other, arena, 16 * 4096, 4096), 0);
  memset(other.base, 0, other.size);
  CHECK_EQ(ring.base[0], 100);
  CHECK_EQ(ring.aside[ring.aside_bytes - 1], 0xee);
  gt_ring third;
  CHECK_EQ(gt_ring_map(&third, arena, 4096 * 16, 4096), -ENOMEM);
  gt_ring_unmap(&ring);
  gt_ring_unmap(&other);
  CHECK_EQ(gt_arena_free_bytes(arena), 32 * 4096);
  gt_arena_destroy(arena);
}

/* Bytes of address space that are arena. */
static uint64_t mapped(void) {
  uint64_t bytes = 0;
  char line[512];
  FILE *maps = fopen("/proc/self/maps", "r");
  if (!maps) return 0;
  while (fgets(line, sizeof line, maps)) {
    char *end;
    uint64_t from = strtoull(line, &end, 16);
    if (strstr(line, "gantry-arena")) bytes += strtoull(end + 1, NULL, 16) - from;
  }
  fclose(maps);
  return bytes;
}

static void views(void) {
  TEST("a ring of the shape of the last one has its mapping; any other has one of its own, and none is left behind");
  gt_arena *arena;
  gt_ring one, two;
  CHECK_EQ(gt_arena_create(64 << 20, &arena), 0);
  CHECK_EQ(gt_ring_map(&one, arena, 16 * 4096, 2 * 4096), 0);
  const uint8_t *first = one.base;
  CHECK_EQ(mapped(), (2 * 14 + 2) * 4096);
  gt_ring_unmap(&one);
  CHECK_EQ(mapped(), (2 * 14 + 2) * 4096);
  CHECK_EQ(gt_ring_map(&one, arena, 16 * 4096, 2 * 4096), 0);
  CHECK(one.base == first);
  CHECK_EQ(mapped(), (2 * 14 + 2) * 4096);
  *gt_ring_at(&one, one.size) = 77;
  CHECK_EQ(one.base[one.size], 77);
  /* At the same time, so at another place of the arena. */
  CHECK_EQ(gt_ring_map(&two, arena, 16 * 4096, 2 * 4096), 0);
  CHECK(two.base != first);
  two.base[0] = 5;
  CHECK_EQ(one.base[0], 77);
  gt_ring_unmap(&one);
  gt_ring_unmap(&two);
  CHECK_EQ(mapped(), (2 * 14 + 2) * 4096);
  /* The view that is kept is that of `two`; of another place, or of another shape, it is of no use. */
  CHECK_EQ(gt_ring_map(&one, arena, 16 * 4096, 2 * 4096), 0);
  CHECK(one.base[0] == 77);
  gt_ring_unmap(&one);
  CHECK_EQ(gt_ring_map(&one, arena, 16 * 4096, 4096), 0);
  one.aside[0] = 9;
  CHECK_EQ(one.base[0], 77);
  gt_ring_unmap(&one);
  /* Too large to be kept in place of it. */
  CHECK_EQ(gt_ring_map(&two, arena, 32 << 20, 4096), 0);
  gt_ring_unmap(&two);
  CHECK_EQ(mapped(), (2 * 15 + 1) * 4096);
  CHECK_EQ(gt_arena_free_bytes(arena), 64 << 20);
  gt_arena_destroy(arena);
  CHECK_EQ(mapped(), 0);
}

static void pieces_in_order(void) {
  TEST("pieces that end in any order move the watermark in order");
  static gt_pieces pieces;
  uint64_t a = gt_pieces_add(&pieces, 10, false), b = gt_pieces_add(&pieces, 20, false);
  gt_pieces_add(&pieces, 30, true);
  gt_pieces_add(&pieces, 35, true);
  CHECK_EQ(gt_pieces_advance(&pieces, 0), 0);
  gt_pieces_done(&pieces, b);
  CHECK_EQ(gt_pieces_advance(&pieces, 0), 0);
  gt_pieces_done(&pieces, a);
  CHECK_EQ(gt_pieces_advance(&pieces, 0), 35);
  CHECK_EQ(gt_pieces_advance(&pieces, 35), 35);
  for (int i = 0; i < GT_PIECES; i++)
    gt_pieces_add(&pieces, 40, false);
  CHECK(gt_pieces_full(&pieces));
}

static void trail(void) {
  TEST("the object that a byte came from is found again, exactly or from below");
  gt_trail t = {0};
  CHECK_EQ(gt_marks_init(&t.marks, 8), 0);
  uint64_t object, start;
  CHECK(!gt_trail_find(&t, 0, &object, &start));
  for (uint64_t i = 0; i < 100; i++)
    gt_trail_block(&t, i * 1000, 5 + i, 1000);
  gt_trail_block(&t, 100000, 105, 300);
  gt_trail_block(&t, 100300, 107, 1000); /* a filemark lies between */
  CHECK(gt_trail_find(&t, 0, &object, &start) && object == 5 && start == 0);
  CHECK(gt_trail_find(&t, 999, &object, &start) && object == 5 && start == 0);
  CHECK(gt_trail_find(&t, 50500, &object, &start) && object == 55 && start == 50000);
  CHECK(gt_trail_find(&t, 100001, &object, &start) && object == 105 && start == 100000);
  CHECK(gt_trail_find(&t, 100300, &object, &start) && object == 107 && start == 100300);
  /* Every block of another length: more runs than there are places. */
  uint64_t at = 101300;
  for (uint64_t i = 0; i < 50; at += 10 + i, i++)
    gt_trail_block(&t, at, 108 + i, (uint32_t)(10 + i));
  CHECK(gt_trail_find(&t, at - 1, &object, &start) && object <= 157 && object >= 108 && start <= at - 1);
  /* After the reader caught up the writer tells exactly again. */
  for (uint64_t i = 0; i < 5; i++)
    gt_trail_block(&t, at + 1000 * i, 158 + i, 1000);
  CHECK(gt_trail_find(&t, at + 2500, &object, &start) && object == 160 && start == at + 2000);
  gt_marks_free(&t.marks);
}

static void throttle(void) {
  TEST("the throttle lets through its rate, bursts a tenth of a second, and follows a change");
  gt_throttle t;
  uint64_t now = 1000000000, sent = 0;
  gt_throttle_init(&t, 1000000, now);
  for (uint64_t end = now + 10000000000u; now < end;) {
    uint64_t until = gt_throttle_until(&t, now);
    if (until) {
      CHECK(until > now);
      now = until;
      continue;
    }
    gt_throttle_take(&t, 64000);
    sent += 64000;
  }
  CHECK(sent >= 9900000 && sent <= 10200000);
  gt_throttle_until(&t, now += 3600000000000u);
  for (sent = 0; !gt_throttle_until(&t, now); sent += 1000)
    gt_throttle_take(&t, 1000);
  CHECK(sent >= 100000 && sent <= 102000);
  atomic_store(&t.rate, 0);
  CHECK_EQ(gt_throttle_until(&t, now), 0);
}

enum { GRAIN = GT_GRAIN_BYTES, GRAIN_RING = 4 * GRAIN };

static gt_ring filled_ring(gt_arena **arena) {
  gt_ring ring;
  CHECK_EQ(gt_arena_create(GRAIN_RING, arena), 0);
  CHECK_EQ(gt_ring_map(&ring, *arena, GRAIN_RING, 0), 0);
  for (uint32_t i = 0; i < GRAIN_RING; i++)
    ring.base[i] = (uint8_t)(i * 2654435761u >> 24);
  return ring;
}

static void grain_sums(void) {
  TEST("the CRC of a stretch is the same, whichever of its grains were worked out before, over the ring's end too");
  gt_arena *arena;
  gt_ring ring = filled_ring(&arena);
  static const uint64_t cuts[] = {0, 1, GRAIN - 1, GRAIN, GRAIN + 1, 2 * GRAIN, 3 * GRAIN - 7, 4 * GRAIN};
  for (uint64_t lap = 0; lap < 3; lap++) {
    uint64_t base = lap * 5 * GRAIN;
    gt_grains_make(&ring, base, base + GRAIN + 5, base + 3 * GRAIN + 9);
    for (size_t a = 0; a < sizeof cuts / sizeof cuts[0]; a++)
      for (size_t b = a; b < sizeof cuts / sizeof cuts[0]; b++) {
        uint64_t from = base + cuts[a], to = base + cuts[b];
        CHECK_EQ(gt_grains_crc32c(&ring, from, to), gt_crc32c(0, gt_ring_at(&ring, from), to - from));
      }
  }
  gt_ring_unmap(&ring);
  gt_arena_destroy(arena);
}

static void grain_use(void) {
  TEST("grains are worked out only when enough is there already, and one of an earlier lap is not taken for a new one");
  gt_arena *arena;
  gt_ring ring = filled_ring(&arena);
  uint32_t before = gt_crc32c(0, ring.base + GRAIN, GRAIN);
  gt_grains_make(&ring, 0, GRAIN - 1, 2 * GRAIN); /* too little is there */
  ring.base[GRAIN]++;
  uint32_t after = gt_crc32c(0, ring.base + GRAIN, GRAIN);
  CHECK_EQ(gt_grains_crc32c(&ring, GRAIN, 2 * GRAIN), after);
  ring.base[GRAIN]--;
  gt_grains_make(&ring, 0, GRAIN, 2 * GRAIN);
  ring.base[GRAIN]++; /* what was worked out stands: a change in memory shows when the copy is read back */
  CHECK_EQ(gt_grains_crc32c(&ring, GRAIN, 2 * GRAIN), before);
  uint64_t places = gt_ring_grains(GRAIN_RING), later = (1 + 4 * places) * GRAIN; /* same place, same bytes */
  CHECK_EQ(gt_grains_crc32c(&ring, later, later + GRAIN), after);
  gt_ring_unmap(&ring);
  gt_arena_destroy(arena);
}

int main(void) {
  arena_slices();
  mirror();
  views();
  grain_sums();
  grain_use();
  pieces_in_order();
  trail();
  throttle();
  return check_end();
}
