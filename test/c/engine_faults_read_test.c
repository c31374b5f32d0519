/* Sources that fail: disks in every way and at every command, medium errors at every block, and tapes whose records
 * are not what they should be, at every record. */
#include "fault_kinds.h"

enum { BLOCK = 4096, SECTOR = 512, RECORDS = 9 };

static gt_arena *arena;

static void to_tape(rig *r, const rig_program *p, fake *disk, fake *tape, const gt_event *from) {
  rig_program rest;
  rig_cut(p, from->stream_offset, SECTOR, &rest);
  rig_scatter(&rest, (gt_seg){.op = GT_OP_TAPE, .lu = 1, .bytes = UINT64_MAX});
  rig_open(r, arena, 1 << 16, BLOCK);
  r->options.lu_count = 2;
  r->lus[0] = rig_disk(disk), r->lus[1] = rig_tape(tape);
  r->options.io_bytes = 4 * SECTOR;
  r->options.depth = 4;
  r->options.checkpoint_bytes = 3 * BLOCK;
  r->options.stream_offset = from->stream_offset;
  r->options.tape_object = from->object;
  r->options.digest = from->digest;
  tape->at = from->object;
  rig_run(r, &rest);
  rig_program_close(&rest);
}

static bool disk_fault(const fault_kind *kind, unsigned at) {
  fake *disk = fake_disk(SECTOR, 256, 7), *tape = fake_tape();
  fault_state state = {.stable = malloc(SECTOR * 256)};
  rig_program p;
  rig r, again;
  rig_program_open(&p);
  rig_extent(&p, disk, 0, 3, 100, 20000, 1);
  rig_extent(&p, disk, 0, 90, 0, 15000, 2);
  fault_arm(disk, &state, kind, at);
  to_tape(&r, &p, disk, tape, &(gt_event){0});
  if (state.hit) CHECK(fault_as_foretold("source disk", kind, kind->disk_read, &r, at));
  if (r.done.result != GT_RESULT_OK) {
    CHECK_EQ(r.done.gather_side, 1);
    CHECK_EQ(r.done.cdb[0], GT_READ_16);
    CHECK_EQ(r.done.stream_offset, r.done.object * BLOCK);
    CHECK_EQ(tape->count, r.done.object);
    disk->script = NULL;
    to_tape(&again, &p, disk, tape, &r.done);
    CHECK_EQ(again.done.result, GT_RESULT_OK);
    rig_close(&again);
  }
  CHECK(rig_tape_is(tape, 0, p.stream, p.stream_len, BLOCK));
  CHECK_EQ(tape->count, (p.stream_len + BLOCK - 1) / BLOCK);
  rig_close(&r);
  rig_program_close(&p);
  gt_lu_close(&disk->lu);
  gt_lu_close(&tape->lu);
  free(state.stable);
  return state.hit;
}

static void every_disk_fault(void) {
  for (size_t i = 0; i < FAULT_KINDS; i++) {
    unsigned at = 1;
    printf("source disk: %s at any command\n", fault_kinds[i].name);
    while (disk_fault(&fault_kinds[i], at))
      at++;
    CHECK(at > 15);
  }
}

/* LBAs [first, first + count) cannot be read, but for every `well`th one behind the first. */
static struct { uint64_t first, count, well; } bad;

static bool is_bad(uint64_t lba) {
  uint64_t in = lba - bad.first;
  return in < bad.count && (!bad.well || (in + 1) % bad.well);
}

static bool unreadable(fake *f, gt_io *io) {
  (void)f;
  uint64_t lba = gt_load_be64(io->cdb + 2), blocks = gt_load_be32(io->cdb + 10);
  uint64_t end = lba + blocks;
  while (lba < end && !is_bad(lba))
    lba++;
  if (io->cdb[0] != GT_READ_16 || lba == end) return false;
  memset(io->data, 0xdb, io->data_len); /* what a device leaves behind is not to be trusted */
  fake_error(io, GT_KEY_MEDIUM_ERROR, GT_ASC_UNRECOVERED_READ_ERROR);
  return true;
}

/* Extents of which some follow each other on the disk, one begins and two end inside a block, and two share blocks. */
static const struct {
  uint64_t lba;
  uint16_t skip;
  uint32_t bytes;
} extents[] = {{4, 0, 5 * SECTOR}, {9, 0, 3 * SECTOR}, {12, 0, 1000}, {20, 30, 2000}, {11, 0, 4 * SECTOR}, {30, 0, 1}};
enum { EXTENTS = sizeof extents / sizeof extents[0], LBAS = 34 };

/* Marks in `lost` the stream bytes that lie in bad blocks, and zeroes them in the stream. */
static size_t lose(rig_program *p, uint8_t *lost) {
  size_t at = 0, count = 0;
  for (size_t i = 0; i < EXTENTS; at += extents[i++].bytes) {
    for (uint32_t b = 0; b < extents[i].bytes; b++) {
      bool gone = is_bad(extents[i].lba + (extents[i].skip + b) / SECTOR);
      lost[at + b] = gone;
      if (gone) p->stream[at + b] = 0;
      count += gone;
    }
  }
  return count;
}

/* Takes away from `lost` what the report names, block by block; false where it names what is not lost. */
static bool told_truly(const gt_event *e, uint8_t *lost) {
  size_t i = 0, at = 0, in = 0;
  for (; i < EXTENTS && e->stream_offset >= at + extents[i].bytes; i++)
    at += extents[i].bytes;
  in = e->stream_offset - at;
  for (uint64_t block = 0; block < e->blocks; block++) {
    size_t skip = i < EXTENTS ? (extents[i].skip + in) % SECTOR : 0;
    if (i == EXTENTS || extents[i].lba + (extents[i].skip + in) / SECTOR != e->lba + block) return false;
    size_t bytes = SECTOR - skip < extents[i].bytes - in ? SECTOR - skip : extents[i].bytes - in;
    for (size_t b = 0; b < bytes; b++)
      if (!lost[at + in + b]--) return false;
    in += bytes;
    if (in < extents[i].bytes) continue;
    at += extents[i++].bytes;
    in = 0;
  }
  return true;
}

static void zero_fill_at(uint64_t first, uint64_t count, uint64_t well, uint32_t io_bytes) {
  fake *disk = fake_disk(SECTOR, LBAS, 7), *to = fake_disk(SECTOR, 64, 9);
  rig_program p;
  rig r;
  rig_program_open(&p);
  for (size_t i = 0; i < EXTENTS; i++)
    rig_extent(&p, disk, 0, extents[i].lba, extents[i].skip, extents[i].bytes, (uint32_t)i + 1);
  uint8_t *lost = calloc(1, p.stream_len);
  bad.first = first, bad.count = count, bad.well = well;
  size_t bytes = lose(&p, lost);
  disk->script = unreadable;
  rig_scatter(&p, (gt_seg){.op = GT_OP_EXTENT, .lu = 1, .addr = 3, .bytes = p.stream_len});
  rig_open(&r, arena, 1 << 16, BLOCK);
  r.options.lu_count = 2;
  r.lus[0] = rig_disk(disk), r.lus[1] = rig_disk(to);
  r.options.zero_fill = true;
  r.options.io_bytes = io_bytes;
  r.options.depth = 1; /* so that disk reads merge */
  CHECK_EQ(rig_run(&r, &p), GT_RESULT_OK);
  CHECK(!memcmp(to->disk + 3 * SECTOR, p.stream, p.stream_len));
  CHECK(!bytes == !rig_count(&r, GT_EV_MEDIUM_ERROR));
  uint64_t blocks = 0;
  for (const gt_event *e = rig_find(&r, GT_EV_MEDIUM_ERROR, 0); e;
       e = rig_find(&r, GT_EV_MEDIUM_ERROR, (size_t)(e - r.events) + 1)) {
    CHECK(told_truly(e, lost));
    for (uint64_t b = 0; b < e->blocks; b++)
      CHECK(is_bad(e->lba + b));
    blocks += e->blocks;
  }
  CHECK_EQ(blocks, r.stats.medium_errors);
  size_t untold = 0;
  for (size_t b = 0; b < p.stream_len; b++)
    untold += lost[b] != 0;
  CHECK_EQ(untold, 0);
  CHECK_EQ(rig_count(&r, GT_EV_DIGEST), EXTENTS);
  rig_close(&r);
  rig_program_close(&p);
  free(lost);
  gt_lu_close(&disk->lu);
  gt_lu_close(&to->lu);
}

static void stop_at(uint64_t first) {
  fake *disk = fake_disk(SECTOR, LBAS, 7), *tape = fake_tape();
  rig_program p;
  rig r, again;
  rig_program_open(&p);
  for (size_t i = 0; i < EXTENTS; i++)
    rig_extent(&p, disk, 0, extents[i].lba, extents[i].skip, extents[i].bytes, (uint32_t)i + 1);
  uint8_t *lost = calloc(1, p.stream_len), *stream = malloc(p.stream_len);
  memcpy(stream, p.stream, p.stream_len);
  bad.first = first, bad.count = 1, bad.well = 0;
  size_t bytes = lose(&p, lost), at = 0;
  memcpy(p.stream, stream, p.stream_len);
  while (at < p.stream_len && !lost[at])
    at++;
  disk->script = unreadable;
  to_tape(&r, &p, disk, tape, &(gt_event){0});
  CHECK_EQ(r.done.result, bytes ? GT_RESULT_DEVICE_ERROR : GT_RESULT_OK);
  CHECK(!bytes || (r.done.gather_side && r.done.sense[2] == GT_KEY_MEDIUM_ERROR && r.done.stream_offset <= at));
  CHECK_EQ(rig_count(&r, GT_EV_MEDIUM_ERROR), 0);
  disk->script = NULL;
  if (bytes) {
    to_tape(&again, &p, disk, tape, &r.done);
    CHECK_EQ(again.done.result, GT_RESULT_OK);
    rig_close(&again);
  }
  CHECK(rig_tape_is(tape, 0, stream, p.stream_len, BLOCK));
  rig_close(&r);
  rig_program_close(&p);
  free(lost);
  free(stream);
  gt_lu_close(&disk->lu);
  gt_lu_close(&tape->lu);
}

static void medium_errors(void) {
  TEST("medium errors at every block: every byte that can be read is copied, every other one is told of, once");
  static const struct { uint64_t count, well; } runs[] = {{1, 0}, {2, 0}, {3, 2}, {9, 0}, {9, 3}};
  static const uint32_t transfers[] = {SECTOR, 4 * SECTOR, 64 * SECTOR};
  for (size_t i = 0; i < 5; i++)
    for (size_t j = 0; j < 3; j++)
      for (uint64_t lba = 0; lba < LBAS; lba++)
        zero_fill_at(lba, runs[i].count, runs[i].well, transfers[j]);
  TEST("without zero-fill each of them ends the run in front of it, and the run that goes on makes the same tape");
  for (uint64_t lba = 0; lba < LBAS; lba++)
    stop_at(lba);
}

/* What a tape may do at a record. */
typedef struct record_kind {
  const char *name;
  bool (*answer)(fake *f, gt_io *io);
  uint8_t result;
} record_kind;

static bool with_ili(fake *f, gt_io *io, int64_t information, bool told, int32_t resid) {
  f->at++;
  gt_sense sense = {.stream = true, .ili = true, .has_information = told, .information = (uint64_t)information};
  fake_check(io, &sense, resid);
  return true;
}
static bool too_long(fake *f, gt_io *io) { return with_ili(f, io, -1, true, 0); }
static bool contradictory(fake *f, gt_io *io) { return with_ili(f, io, 100, true, 300); }
static bool longer_than_asked(fake *f, gt_io *io) { return with_ili(f, io, io->data_len + 1, true, 0); }
static bool nothing_at_all(fake *f, gt_io *io) { return with_ili(f, io, io->data_len, true, (int32_t)io->data_len); }
static bool empty_good(fake *f, gt_io *io) {
  f->at++;
  fake_good(io, (int32_t)io->data_len);
  return true;
}
static bool a_mark(fake *f, gt_io *io) {
  f->at++;
  gt_sense sense = {.stream = true, .filemark = true, .asc = GT_ASC_FILEMARK_DETECTED, .has_information = true};
  sense.information = io->data_len;
  fake_check(io, &sense, (int32_t)io->data_len);
  return true;
}
static bool no_more(fake *f, gt_io *io) {
  (void)f;
  gt_sense sense = {.stream = true, .key = GT_KEY_BLANK_CHECK, .asc = GT_ASC_END_OF_DATA, .has_information = true};
  sense.information = io->data_len;
  fake_check(io, &sense, (int32_t)io->data_len);
  return true;
}
static bool end_of_medium(fake *f, gt_io *io) {
  (void)f;
  gt_sense sense = {.stream = true, .eom = true, .key = GT_KEY_MEDIUM_ERROR, .asc = GT_ASC_END_OF_MEDIUM};
  fake_check(io, &sense, (int32_t)io->data_len);
  return true;
}

static const record_kind records[] = {
    {"a record longer than asked for", too_long, GT_RESULT_BLOCK_TOO_LARGE},
    {"INFORMATION and residual that contradict each other", contradictory, GT_RESULT_DEVICE_ERROR},
    {"INFORMATION larger than what was asked for", longer_than_asked, GT_RESULT_DEVICE_ERROR},
    {"a record of no bytes", nothing_at_all, GT_RESULT_DEVICE_ERROR},
    {"GOOD for nothing", empty_good, GT_RESULT_DEVICE_ERROR},
    {"a filemark", a_mark, GT_RESULT_TAPE_ENDED},
    {"the end of data", no_more, GT_RESULT_TAPE_ENDED},
    {"the end of the medium", end_of_medium, GT_RESULT_TAPE_ENDED},
};

static const record_kind *doing;
static bool at_record(fake *f, gt_io *io) {
  if (io->cdb[0] != GT_READ_6 || f->at != f->counter) return false;
  return doing->answer(f, io);
}

static const uint32_t record_bytes[RECORDS] = {BLOCK, BLOCK, BLOCK, 1000, BLOCK, 1, 513, BLOCK, 4095};

static fake *recorded(const uint8_t *data) {
  fake *tape = fake_tape();
  for (size_t i = 0, at = 0; i < RECORDS; at += record_bytes[i++]) {
    fake_object *o = &tape->objects[tape->count++];
    o->bytes = record_bytes[i];
    o->data = malloc(o->bytes);
    memcpy(o->data, data + at, o->bytes);
  }
  return tape;
}

static void from_tape(rig *r, fake *tape, fake *disk, const gt_event *from, size_t all) {
  rig_program p;
  uint64_t aside = from->stream_offset - from->cookie;
  rig_program_open(&p);
  p.gather[p.gathers++] = (gt_seg){.op = GT_OP_LOCATE, .addr = from->object};
  p.gather[p.gathers++] = (gt_seg){.op = GT_OP_TAPE, .bytes = all - from->cookie};
  if (aside) rig_scatter(&p, (gt_seg){.op = GT_OP_DISCARD, .bytes = aside});
  rig_scatter(&p, (gt_seg){.op = GT_OP_EXTENT,
                           .lu = 1,
                           .addr = 2 + from->stream_offset / SECTOR,
                           .skip = (uint16_t)(from->stream_offset % SECTOR),
                           .bytes = all - from->stream_offset});
  rig_open(r, arena, 1 << 16, BLOCK);
  r->options.lu_count = 2;
  r->lus[0] = rig_tape(tape), r->lus[1] = rig_disk(disk);
  r->options.stream_offset = from->cookie;
  rig_run(r, &p);
  rig_program_close(&p);
}

/* Reads a tape that goes wrong at record `at`, and then the rest of it once it is well again. */
static void tape_goes_wrong(const char *name, uint8_t result, size_t at, fault_state *state) {
  uint64_t seed = 5;
  size_t all = 0, before = 0;
  for (size_t i = 0; i < RECORDS; all += record_bytes[i++])
    before += i < at ? record_bytes[i] : 0;
  uint8_t *data = malloc(all);
  for (size_t i = 0; i < all; i++)
    data[i] = (uint8_t)fake_random(&seed);
  fake *tape = recorded(data), *disk = fake_disk(SECTOR, 128, 3);
  if (state) {
    fault_arm(tape, state, state->kind, state->at);
  } else {
    tape->script = at_record;
    tape->counter = at;
  }
  rig r, again;
  from_tape(&r, tape, disk, &(gt_event){0}, all);
  bool hit = !state || state->hit;
  if (hit && r.done.result != result) printf("  %s at %zu\n", name, at);
  CHECK_EQ(r.done.result, hit ? result : GT_RESULT_OK);
  if (r.done.result != GT_RESULT_OK) {
    CHECK_EQ(r.done.gather_side, 1);
    if (!state || state->opcode == GT_READ_6) {
      CHECK_EQ(r.done.stream_offset, before);
      CHECK_EQ(r.done.cdb[0], GT_READ_6);
    }
    CHECK(!memcmp(disk->disk + 2 * SECTOR, data, r.done.stream_offset));
    tape->script = NULL;
    from_tape(&again, tape, disk, &r.done, all);
    CHECK_EQ(again.done.result, GT_RESULT_OK);
    rig_close(&again);
  }
  CHECK(!memcmp(disk->disk + 2 * SECTOR, data, all));
  rig_close(&r);
  free(data);
  gt_lu_close(&tape->lu);
  gt_lu_close(&disk->lu);
}

static void every_record(void) {
  for (size_t k = 0; k < sizeof records / sizeof records[0]; k++) {
    printf("source tape: %s in place of any record\n", records[k].name);
    doing = &records[k];
    for (size_t at = 0; at < RECORDS; at++)
      tape_goes_wrong(doing->name, doing->result, at, NULL);
  }
  for (size_t k = 0; k < FAULT_KINDS; k++) {
    const fault_kind *kind = &fault_kinds[k];
    if (kind->key == GT_KEY_RECOVERED_ERROR && kind->after) continue; /* that is GOOD with a word more */
    printf("source tape: %s at any record\n", kind->name);
    /* What a write that cannot be repeated does, a read does too: both move the tape. */
    uint8_t ends = kind->outcome ? GT_RESULT_TRANSPORT_ERROR : GT_RESULT_DEVICE_ERROR;
    for (size_t at = 0; at < RECORDS; at++) {
      fault_state state = {.kind = kind, .at = 2 + (unsigned)at}; /* LOCATE, and the reads */
      tape_goes_wrong(kind->name, kind->tape_write == MENDED ? GT_RESULT_OK : ends, at, &state);
    }
  }
}

int main(void) {
  CHECK_EQ(gt_arena_create(8 << 20, &arena), 0);
  every_disk_fault();
  medium_errors();
  every_record();
  CHECK_EQ(gt_arena_free_bytes(arena), gt_arena_bytes(arena));
  gt_arena_destroy(arena);
  return check_end();
}
