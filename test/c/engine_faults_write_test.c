/* Tapes that fail as destinations, in every way and at every command: what was said to be on the medium is, nothing
 * that failed is called a success, and a run that goes on from the last checkpoint leaves the bytes of an undisturbed
 * one. */
#include "fault_kinds.h"

enum { BLOCK = 4096, SECTOR = 512, STREAM_BYTES = 50292 };

static gt_arena *arena;

static void sample(rig_program *p, const fake *disk) {
  rig_program_open(p);
  rig_inline(p, "header", 6, 0);
  rig_zeros(p, 506, 0);
  rig_extent(p, disk, 0, 10, 0, 5000, 1);
  rig_zeros(p, 120, 0);
  rig_extent(p, disk, 0, 100, 7, 20000, 2);
  rig_extent(p, disk, 0, 300, 0, 15600, 2);
  rig_zeros(p, 60, 0);
  rig_extent(p, disk, 0, 500, 0, 9000, 3);
  CHECK_EQ(p->stream_len, STREAM_BYTES);
}

static void to_tape_open(rig *r, fake *disk, fake *tape) {
  rig_open(r, arena, 1 << 16, BLOCK);
  r->options.lu_count = 2;
  r->lus[0] = rig_disk(disk), r->lus[1] = rig_tape(tape);
  r->options.checkpoint_bytes = 3 * BLOCK;
}

static void tape_program(rig_program *p, unsigned marks) {
  p->scatters = 0;
  rig_scatter(p, (gt_seg){.op = GT_OP_TAPE, .lu = 1, .bytes = UINT64_MAX});
  if (marks) rig_scatter(p, (gt_seg){.op = GT_OP_FILEMARK, .lu = 1, .addr = marks});
}

static bool digests_are(const rig *r, const rig *before, const rig_program *p) {
  static const struct {
    uint32_t tag;
    size_t at, len;
  } members[] = {{1, 512, 5000}, {2, 5632, 35600}, {3, 41292, 9000}};
  for (size_t m = 0; m < 3; m++) {
    const gt_event *found = NULL;
    for (size_t i = 0; i < before->count; i++) {
      const gt_event *e = &before->events[i];
      /* A digest holds over a failure only where a checkpoint covers it. */
      if (e->type == GT_EV_DIGEST && e->tag == members[m].tag && e->stream_offset <= before->done.stream_offset)
        found = e;
    }
    for (size_t i = 0; r && i < r->count; i++)
      if (r->events[i].type == GT_EV_DIGEST && r->events[i].tag == members[m].tag) found = &r->events[i];
    if (!found || found->bytes != members[m].len) return false;
    if (found->crc32c != gt_crc32c(0, p->stream + members[m].at, members[m].len)) return false;
  }
  return true;
}

static bool is_twin(const fake *tape, const rig_program *p, uint64_t marks) {
  uint64_t blocks = (p->stream_len + BLOCK - 1) / BLOCK;
  if (tape->count != blocks + marks || !rig_tape_is(tape, 0, p->stream, p->stream_len, BLOCK)) return false;
  for (uint64_t i = blocks; i < tape->count; i++)
    if (tape->objects[i].data) return false;
  return true;
}

/* Goes on with `p` on `tape` from the end of `before`. */
static void resume_on(const rig *before, const rig_program *p, fake *disk, fake *tape, unsigned marks) {
  rig_program rest;
  rig r;
  tape->script = NULL;
  tape->at = before->done.object;
  rig_cut(p, before->done.stream_offset, SECTOR, &rest);
  tape_program(&rest, marks);
  to_tape_open(&r, disk, tape);
  r.options.stream_offset = before->done.stream_offset;
  r.options.tape_object = before->done.object;
  r.options.digest = before->done.digest;
  CHECK_EQ(rig_run(&r, &rest), GT_RESULT_OK);
  CHECK(digests_are(&r, before, p));
  rig_close(&r);
  rig_program_close(&rest);
}

/* False when the run has no command of that number. */
static bool tape_fault(const fault_kind *kind, unsigned at) {
  fake *disk = fake_disk(SECTOR, 1024, 7), *tape = fake_tape();
  fault_state state = {0};
  rig_program p;
  rig r;
  sample(&p, disk);
  tape_program(&p, 2);
  fault_arm(tape, &state, kind, at);
  to_tape_open(&r, disk, tape);
  rig_run(&r, &p);
  if (state.hit)
    CHECK(fault_as_foretold("tape", kind, state.opcode == GT_READ_POSITION ? kind->tape_query : kind->tape_write, &r,
                            at));
  if (r.done.result == GT_RESULT_OK) {
    CHECK(digests_are(NULL, &r, &p));
  } else {
    CHECK_EQ(r.done.gather_side, 0);
    CHECK(r.done.object <= state.flushed && r.done.stream_offset <= r.done.object * BLOCK);
    CHECK(rig_tape_is(tape, 0, p.stream, r.done.stream_offset, BLOCK));
    resume_on(&r, &p, disk, tape, 2);
  }
  CHECK(is_twin(tape, &p, 2));
  rig_close(&r);
  rig_program_close(&p);
  gt_lu_close(&disk->lu);
  gt_lu_close(&tape->lu);
  return state.hit;
}

static void every_tape_fault(void) {
  for (size_t i = 0; i < FAULT_KINDS; i++) {
    unsigned at = 1;
    printf("tape: %s at any command\n", fault_kinds[i].name);
    while (tape_fault(&fault_kinds[i], at))
      at++;
    CHECK(at > 20);
  }
}

/* GOOD for a write that was never done: what a SCSI Response of "target failure" looks like to some initiators. */
static bool swallows(fake *f, gt_io *io) {
  fault_state *s = f->state;
  bool writes = io->cdb[0] == GT_WRITE_6 || (io->cdb[0] == GT_WRITE_FILEMARKS_6 && gt_load_be24(io->cdb + 2));
  if (!writes || ++s->seen != s->at) {
    fault_do(f, io, s);
    return true;
  }
  s->hit = true;
  fake_good(io, 0);
  return true;
}

static void swallowed_writes(void) {
  TEST("a block or filemark that is GOOD and not on the tape is found by the next checkpoint's READ POSITION");
  for (unsigned at = 1;; at++) {
    fake *disk = fake_disk(SECTOR, 1024, 7), *tape = fake_tape();
    fault_state state = {.at = at};
    rig_program p;
    rig r;
    sample(&p, disk);
    tape_program(&p, 1);
    tape->script = swallows;
    tape->state = &state;
    to_tape_open(&r, disk, tape);
    rig_run(&r, &p);
    if (state.hit) {
      CHECK_EQ(r.done.result, GT_RESULT_DEVICE_ERROR);
      CHECK_EQ(r.done.error, -ESPIPE);
      resume_on(&r, &p, disk, tape, 1);
    }
    CHECK(is_twin(tape, &p, 1));
    rig_close(&r);
    rig_program_close(&p);
    gt_lu_close(&disk->lu);
    gt_lu_close(&tape->lu);
    if (state.hit) continue;
    CHECK(at > 13);
    return;
  }
}

/* Backs up over tapes of that capacity; returns how many it took. */
static unsigned over_tapes(uint64_t early_at, uint64_t full_at, bool (*script)(fake *, gt_io *)) {
  fake *disk = fake_disk(SECTOR, 1024, 7);
  rig_program p, rest;
  gt_digest_state digest = {0};
  uint64_t at = 0;
  unsigned tapes = 0;
  uint8_t result = GT_RESULT_VOLUME_FULL;
  sample(&p, disk);
  for (; result == GT_RESULT_VOLUME_FULL && tapes < 40; tapes++) {
    fake *tape = fake_tape();
    rig r;
    tape->early_at = early_at, tape->full_at = full_at, tape->script = script;
    rig_cut(&p, at, SECTOR, &rest);
    tape_program(&rest, 0);
    to_tape_open(&r, disk, tape);
    r.options.stream_offset = at;
    r.options.digest = digest;
    result = rig_run(&r, &rest);
    CHECK(result == GT_RESULT_OK || result == GT_RESULT_VOLUME_FULL);
    CHECK(rig_tape_is(tape, 0, p.stream + at, r.done.stream_offset - at, BLOCK));
    CHECK_EQ(tape->count, (r.done.stream_offset - at + BLOCK - 1) / BLOCK);
    if (r.done.stream_offset < p.stream_len) CHECK_EQ((r.done.stream_offset - at) % BLOCK, 0);
    at = r.done.stream_offset;
    digest = r.done.digest;
    rig_close(&r);
    rig_program_close(&rest);
    gt_lu_close(&tape->lu);
  }
  CHECK_EQ(at, p.stream_len);
  rig_program_close(&p);
  gt_lu_close(&disk->lu);
  return tapes;
}

/* Early warning for a block that was not written, and says so: NO SENSE, EOM, INFORMATION is the whole block. */
static bool warns_instead(fake *f, gt_io *io) {
  if (io->cdb[0] != GT_WRITE_6 || f->used + io->data_len <= f->early_at) return false;
  gt_sense sense = {.stream = true, .eom = true, .asc = GT_ASC_END_OF_MEDIUM, .has_information = true};
  sense.information = io->data_len;
  fake_check(io, &sense, (int32_t)io->data_len);
  return true;
}

static void every_capacity(void) {
  TEST("tapes of every capacity: early warning, the end without one, or both, at any block of any of them");
  for (uint64_t blocks = 1; blocks <= 14; blocks++) {
    CHECK_EQ(over_tapes(blocks * BLOCK - 1, 0, NULL), (12 + blocks) / blocks);
    CHECK(over_tapes(0, blocks * BLOCK, NULL) >= 13 / blocks);
    CHECK(over_tapes(blocks * BLOCK - 1, (blocks + 1) * BLOCK, NULL) >= 13 / blocks);
    CHECK(over_tapes(blocks * BLOCK, 0, warns_instead) >= 13 / blocks);
  }
  TEST("early warning at the very last block: the volume is full, and nothing is left for the next");
  CHECK_EQ(over_tapes(STREAM_BYTES - 1, 0, NULL), 2);
}

/* A block of which half is on the medium. */
static bool writes_half(fake *f, gt_io *io) {
  if (io->cdb[0] != GT_WRITE_6 || f->at != f->counter) return false;
  gt_sense sense = {.stream = true, .eom = true, .asc = GT_ASC_END_OF_MEDIUM, .has_information = true};
  sense.information = io->data_len / 2;
  fake_check(io, &sense, (int32_t)io->data_len / 2);
  return true;
}

static void half_blocks(void) {
  TEST("an end of medium inside a block, at any block, is no volume to go on behind");
  for (uint64_t object = 0; object < 12; object++) {
    fake *disk = fake_disk(SECTOR, 1024, 7), *tape = fake_tape();
    rig_program p;
    rig r;
    sample(&p, disk);
    tape_program(&p, 0);
    tape->script = writes_half;
    tape->counter = object;
    to_tape_open(&r, disk, tape);
    CHECK_EQ(rig_run(&r, &p), GT_RESULT_DEVICE_ERROR);
    CHECK_EQ(r.done.object, object / 3 * 3);
    rig_close(&r);
    rig_program_close(&p);
    gt_lu_close(&disk->lu);
    gt_lu_close(&tape->lu);
  }
}

int main(void) {
  CHECK_EQ(gt_arena_create(8 << 20, &arena), 0);
  every_tape_fault();
  swallowed_writes();
  every_capacity();
  half_blocks();
  CHECK_EQ(gt_arena_free_bytes(arena), gt_arena_bytes(arena));
  gt_arena_destroy(arena);
  return check_end();
}
