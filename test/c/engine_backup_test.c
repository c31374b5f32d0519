/* disk → tape over scripted units. */
#include "engine_rig.h"

static gt_arena *arena;

static void small_backup(void) {
  TEST("inline bytes, an extent and zeros go to tape in blocks, with digests, block CRCs and a checkpoint");
  fake *disk = fake_disk(512, 1024, 7), *tape = fake_tape();
  rig_program p;
  rig_program_open(&p);
  rig_inline(&p, "header", 6, 0);
  rig_zeros(&p, 506, 0);
  rig_extent(&p, disk, 0, 10, 0, 5000, 1);
  rig_zeros(&p, 120, 0);
  rig_extent(&p, disk, 0, 100, 7, 9000, 2);
  rig_scatter(&p, (gt_seg){.op = GT_OP_TAPE, .lu = 1, .bytes = UINT64_MAX});
  rig_scatter(&p, (gt_seg){.op = GT_OP_FILEMARK, .lu = 1, .addr = 2});
  rig r;
  rig_open(&r, arena, 1 << 16, 4096);
  r.options.lu_count = 2;
  r.options.sha256 = true;
  r.lus[0] = rig_disk(disk), r.lus[1] = rig_tape(tape);
  CHECK_EQ(rig_run(&r, &p), GT_RESULT_OK);
  rig_say_done(&r);
  CHECK(rig_tape_is(tape, 0, p.stream, p.stream_len, 4096));
  CHECK_EQ(tape->count, (p.stream_len + 4095) / 4096 + 2);
  CHECK_EQ(r.done.stream_offset, p.stream_len);
  CHECK_EQ(r.done.object, tape->count);
  CHECK_EQ(rig_count(&r, GT_EV_DIGEST), 2);
  const gt_event *digest = rig_find(&r, GT_EV_DIGEST, 0);
  uint8_t want[32];
  gt_sha256 sha;
  gt_sha256_init(&sha);
  gt_sha256_update(&sha, p.stream + 512, 5000);
  gt_sha256_digest(&sha, want);
  CHECK(digest && digest->tag == 1 && digest->bytes == 5000 && digest->crc32c == gt_crc32c(0, p.stream + 512, 5000));
  CHECK(digest && !memcmp(digest->sha256, want, 32) && digest->stream_offset == 5512);
  const gt_event *crcs = rig_find(&r, GT_EV_BLOCK_CRCS, 0);
  CHECK(crcs && crcs->object == 0 && crcs->count == tape->count - 2);
  for (uint32_t i = 0; crcs && i < crcs->count; i++)
    CHECK_EQ(gt_load_le32(crcs->data + 4 * i), gt_crc32c(0, tape->objects[i].data, tape->objects[i].bytes));
  rig_close(&r);
  rig_program_close(&p);
  gt_lu_close(&disk->lu);
  gt_lu_close(&tape->lu);
}

int main(void) {
  CHECK_EQ(gt_arena_create(8 << 20, &arena), 0);
  small_backup();
  CHECK_EQ(gt_arena_free_bytes(arena), gt_arena_bytes(arena));
  gt_arena_destroy(arena);
  return check_end();
}
