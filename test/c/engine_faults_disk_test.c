/* What a destination disk may do wrong, as a table: any fault at any command of a run. What a checkpoint covers is
 * there when the power goes, and whoever goes on from it makes the same blocks. */
#include "fault_kinds.h"

enum { SECTOR = 512, BLOCK = 4096 };

static gt_arena *arena;

/* Destination disk: 60 blocks with a start and an end inside a block. */
enum { TO_LBA = 9, TO_SKIP = 100, TO_BYTES = 60 * SECTOR };

static void to_disk(rig *r, rig_program *p, fake *from, fake *to, size_t done) {
  size_t at = TO_SKIP + done;
  p->scatters = 0;
  rig_scatter(p, (gt_seg){.op = GT_OP_EXTENT,
                          .lu = 1,
                          .addr = TO_LBA + at / SECTOR,
                          .skip = (uint16_t)(at % SECTOR),
                          .bytes = TO_BYTES - done});
  rig_open(r, arena, 1 << 16, BLOCK);
  r->options.lu_count = 2;
  r->lus[0] = rig_disk(from), r->lus[1] = rig_disk(to);
  r->options.stream_offset = done;
  r->options.io_bytes = 4 * SECTOR;
  r->options.depth = 4;
  r->options.checkpoint_bytes = 10 * SECTOR;
}

static bool disk_fault(const fault_kind *kind, unsigned at) {
  fake *from = fake_disk(SECTOR, 256, 7), *to = fake_disk(SECTOR, 128, 11);
  fault_state state = {.stable = malloc(SECTOR * 128)};
  uint8_t *expected = malloc(SECTOR * 128);
  rig_program p, rest;
  rig r, again;
  rig_program_open(&p);
  rig_extent(&p, from, 0, 3, 0, TO_BYTES, 0);
  memcpy(expected, to->disk, SECTOR * 128);
  memcpy(expected + TO_LBA * SECTOR + TO_SKIP, p.stream, TO_BYTES);
  memset(expected + TO_LBA * SECTOR + TO_SKIP + TO_BYTES, 0, SECTOR - TO_SKIP); /* what is behind the last byte */
  fault_arm(to, &state, kind, at);
  to_disk(&r, &p, from, to, 0);
  rig_run(&r, &p);
  bool reads = state.opcode == GT_READ_16;
  if (state.hit)
    CHECK(fault_as_foretold("disk", kind, reads && !kind->deferred ? kind->disk_read : kind->disk_write, &r, at) ||
          reads);
  if (r.done.result != GT_RESULT_OK) {
    CHECK_EQ(r.done.gather_side, 0);
    /* Power off now: what a checkpoint covers is there. */
    memcpy(to->disk, state.stable, SECTOR * 128);
    CHECK(!memcmp(to->disk + TO_LBA * SECTOR + TO_SKIP, p.stream, r.done.stream_offset));
    to->script = NULL;
    rig_cut(&p, r.done.stream_offset, SECTOR, &rest);
    to_disk(&again, &rest, from, to, r.done.stream_offset);
    CHECK_EQ(rig_run(&again, &rest), GT_RESULT_OK);
    rig_close(&again);
    rig_program_close(&rest);
  }
  CHECK(!memcmp(to->disk, expected, SECTOR * 128));
  rig_close(&r);
  rig_program_close(&p);
  gt_lu_close(&from->lu);
  gt_lu_close(&to->lu);
  free(state.stable);
  free(expected);
  return state.hit;
}

static void every_disk_fault(void) {
  for (size_t i = 0; i < FAULT_KINDS; i++) {
    unsigned at = 1;
    printf("destination disk: %s at any command\n", fault_kinds[i].name);
    while (disk_fault(&fault_kinds[i], at))
      at++;
    CHECK(at > 15);
  }
}

int main(void) {
  CHECK_EQ(gt_arena_create(8 << 20, &arena), 0);
  every_disk_fault();
  CHECK_EQ(gt_arena_free_bytes(arena), gt_arena_bytes(arena));
  gt_arena_destroy(arena);
  return check_end();
}
