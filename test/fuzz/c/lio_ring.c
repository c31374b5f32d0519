/* Whatever may stand in the memory that the kernel shares for its commands: each entry is one or is refused, its data
 * lie in the data area, a walk ends, and what an answer writes stays in the command ring. */
#include <errno.h>

#include "fuzz.h"
#include "lio/ring.h"

enum { RING = 4096, DATA = 4096, BEGIN = 128, WHOLE = BEGIN + RING + DATA, GUARD = 64 };

static _Alignas(64) uint8_t memory[WHOLE + GUARD];

static void put32(size_t at, uint32_t value) { memcpy(memory + at, &value, 4); }

static void must_lie_inside(const gt_tcmu_ring *ring, const gt_tcmu_entry *entry) {
  for (uint32_t i = 0; i < entry->pieces; i++) {
    gt_tcmu_piece piece;
    if (gt_tcmu_piece_of(ring, entry, i, &piece)) continue;
    MUST(piece.data >= memory + ring->start + ring->size && piece.data <= memory + WHOLE);
    MUST(piece.length <= (size_t)(memory + WHOLE - piece.data));
  }
  for (uint32_t i = 0; entry->op == GT_TCMU_TMR && i < entry->named; i++)
    (void)gt_tcmu_name_of(ring, entry, i);
}

/* As the front end does it: every entry is answered, the last ones first, at the tail. */
static void walk(gt_tcmu_ring *ring, uint32_t head) {
  gt_tcmu_entry entries[RING / 8];
  uint32_t count = 0;
  for (uint32_t at = ring->tail; at != head; at = gt_tcmu_next(ring, at, entries[count - 1].length)) {
    MUST(count < RING / 8);
    if (gt_tcmu_look(ring, at, head, &entries[count])) return;
    MUST(entries[count].length <= ring->size - at && entries[count].cdb_len <= GT_CDB_MAX);
    must_lie_inside(ring, &entries[count++]);
  }
  uint8_t sense[GT_SENSE_MAX];
  memset(sense, 0x70, sizeof sense);
  for (uint32_t i = 0; i < count; i++) {
    const gt_tcmu_entry *entry = &entries[i], *last = &entries[count - 1];
    if (entry->op == GT_TCMU_COMMAND) {
      if (last->op == GT_TCMU_COMMAND && last != entry) gt_tcmu_lend(ring, last->at, last->id, entry->id);
      gt_tcmu_answer_at(ring, entry->at, entry->id, &(gt_tcmu_answer){2, sizeof sense, sense, 512});
    }
    gt_tcmu_release(ring, gt_tcmu_next(ring, entry->at, entry->length));
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_in in = {data, size};
  gt_tcmu_ring ring;
  uint32_t head, shape = fuzz_u8(&in);
  memset(memory, 0, sizeof memory);
  memset(memory + WHOLE, 0xA5, GUARD);
  put32(0, 2 | 7 << 16);
  put32(4, shape & 1 ? fuzz_u16(&in) : BEGIN);
  put32(8, shape & 2 ? fuzz_u16(&in) : RING);
  put32(12, fuzz_u16(&in));
  put32(64, shape & 4 ? fuzz_u16(&in) : 0);
  size_t length = in.left < RING + DATA ? in.left : RING + DATA;
  fuzz_bytes(&in, memory + BEGIN, length);
  if (gt_tcmu_open(&ring, memory, WHOLE, NULL, 0) || gt_tcmu_head(&ring, &head)) return 0;
  if (gt_tcmu_rescue(&ring, head)) return 0;
  walk(&ring, head);
  for (size_t i = 0; i < GUARD; i++)
    MUST(memory[WHOLE + i] == 0xA5);
  return 0;
}
