/* Small programs on units in memory, with faults wherever the input wants them: a run ends with DONE once and last,
 * what it says is done is done, and what a checkpoint covers is there. */
#include "engine_rig.h"
#include "fuzz.h"

enum { SEGS = 24, BLOCK = 512, DISK = 256, STREAM = 1 << 17, FAULTS = 6, TAPE_BLOCK = 1024 };

typedef struct fault {
  uint8_t unit, nth, kind, sense_len, sense[20];
} fault;

typedef struct scene {
  fault faults[FAULTS];
  uint8_t fault_count;
  gt_seg gather[SEGS + 2], scatter[SEGS + 2];
  size_t gathers, scatters, bytes;
  uint8_t stream[STREAM], inline_bytes[4096];
  size_t inline_len;
} scene;

static scene s;
static fake *units[2];

static void carry_out(fake *f, gt_io *io) { f->disk ? fake_disk_run(f, io) : fake_tape_run(f, io); }

/* A device that errs but does not lie: what it calls done is done, and what it has not called done may be. */
static bool err(fake *f, gt_io *io) {
  const fault *fault = NULL;
  f->counter++;
  for (uint8_t i = 0; i < s.fault_count; i++)
    if (units[s.faults[i].unit] == f && s.faults[i].nth == f->counter) fault = &s.faults[i];
  if (!fault) return false;
  gt_sense sense;
  bool after = fault->kind & 8;
  if (after) carry_out(f, io);
  fake_good(io, (int32_t)io->data_len);
  switch (fault->kind & 7) {
  case 0: io->outcome = GT_TRANSPORT; return true;
  case 1: io->outcome = GT_TIMED_OUT; return true;
  case 2: io->status = GT_STATUS_RESERVATION_CONFLICT; return true;
  case 3:
    if (after) break; /* BUSY says that it was not carried out */
    io->status = GT_STATUS_BUSY;
    return true;
  case 4:
    /* GOOD, but not all of it was moved. */
    if (!io->data_len || !f->disk) break;
    io->resid = 1;
    return true;
  default: break;
  }
  io->status = GT_STATUS_CHECK_CONDITION;
  io->sense_len = fault->sense_len;
  memcpy(io->sense, fault->sense, fault->sense_len);
  bool parsed = gt_sense_parse(io->sense, io->sense_len, &sense);
  /* Keys that say "done", and those that say "not executed" of what was. */
  bool lies = parsed && !sense.deferred &&
              (sense.key <= GT_KEY_RECOVERED_ERROR ||
               (after && (sense.key == GT_KEY_UNIT_ATTENTION || sense.key == GT_KEY_ILLEGAL_REQUEST ||
                          sense.key == GT_KEY_NOT_READY || sense.key == GT_KEY_VOLUME_OVERFLOW)));
  if (lies || (parsed && !sense.deferred && !f->disk && (sense.key == GT_KEY_VOLUME_OVERFLOW || sense.filemark)))
    fake_error(io, GT_KEY_HARDWARE_ERROR, 0x4400);
  return true;
}

static void put(const void *bytes, size_t length) {
  memcpy(s.stream + s.bytes, bytes, length);
  s.bytes += length;
}

static void gather_disk(fuzz_in *in, const fake *disk, bool only_extents) {
  uint8_t shape = fuzz_u8(in);
  size_t length = 1 + fuzz_u16(in) % 6000;
  if (s.bytes + length > STREAM) return;
  gt_seg *seg = &s.gather[s.gathers++];
  *seg = (gt_seg){.op = GT_OP_EXTENT, .addr = fuzz_u8(in) % (DISK - 16), .bytes = length, .tag = shape >> 6};
  if (shape & 8) seg->skip = fuzz_u16(in) % BLOCK;
  if ((shape & 3) == 1 && !only_extents) seg->op = GT_OP_ZEROS, seg->addr = seg->skip = 0;
  if ((shape & 3) == 2 && !only_extents && s.inline_len + length <= sizeof s.inline_bytes) {
    seg->op = GT_OP_INLINE, seg->addr = s.inline_len, seg->skip = 0;
    fuzz_fill(s.inline_bytes + s.inline_len, length, shape);
    s.inline_len += length;
  }
  static const uint8_t zeros[8192];
  if (seg->op == GT_OP_ZEROS) put(zeros, length);
  if (seg->op == GT_OP_INLINE) put(s.inline_bytes + seg->addr, length);
  if (seg->op == GT_OP_EXTENT) put(disk->disk + seg->addr * BLOCK + seg->skip, length);
}

static void gather_tape(fuzz_in *in, fake *tape) {
  s.bytes = 1 + fuzz_u16(in) % 20000;
  fuzz_fill(s.stream, s.bytes, 1 + fuzz_u8(in));
  for (size_t at = 0; at < s.bytes; at += TAPE_BLOCK) {
    fake_object *object = &tape->objects[tape->count++];
    object->bytes = (uint32_t)(s.bytes - at < TAPE_BLOCK ? s.bytes - at : TAPE_BLOCK);
    object->data = malloc(object->bytes);
    memcpy(object->data, s.stream + at, object->bytes);
    tape->used += object->bytes;
  }
  s.gather[s.gathers++] = (gt_seg){.op = GT_OP_LOCATE, .lu = 0};
  s.gather[s.gathers++] = (gt_seg){.op = GT_OP_TAPE, .lu = 0, .bytes = s.bytes};
}

/* Each piece to a place of its own; no piece begins in a block of another. */
static void scatter_disk(fuzz_in *in, bool tags) {
  uint64_t lba = 0;
  for (size_t at = 0; at < s.bytes;) {
    uint8_t shape = fuzz_u8(in);
    size_t length = 1 + fuzz_u16(in) % 4000;
    if (length > s.bytes - at || s.scatters + 1 == SEGS) length = s.bytes - at;
    uint64_t blocks = (length + BLOCK - 1) / BLOCK;
    gt_seg seg = {.op = GT_OP_EXTENT, .lu = 1, .addr = lba, .bytes = length, .tag = tags ? shape >> 6 : 0};
    if ((shape & 3) == 1 || lba + blocks > DISK) seg.op = GT_OP_DISCARD, seg.addr = 0;
    if ((shape & 3) == 2 && length <= GT_HOLD_MAX) seg.op = GT_OP_HOLD, seg.addr = at;
    if (seg.op == GT_OP_EXTENT) lba += blocks;
    s.scatter[s.scatters++] = seg;
    at += length;
  }
}

static void check_restored(const rig *r, const fake *to) {
  size_t at = 0, held = 0;
  for (size_t i = 0; i < s.scatters; i++) {
    const gt_seg *seg = &s.scatter[i];
    if (seg->op == GT_OP_EXTENT) MUST(!memcmp(to->disk + seg->addr * BLOCK, s.stream + at, seg->bytes));
    if (seg->op == GT_OP_HOLD) {
      const gt_event *event = rig_find(r, GT_EV_HELD, held);
      MUST(event && event->cookie == at && event->data_len == seg->bytes);
      MUST(!memcmp(event->data, s.stream + at, seg->bytes));
      held = (size_t)(event - r->events) + 1;
    }
    at += seg->bytes;
  }
}

static void check_events(const rig *r, const fake *tape) {
  uint64_t covered = 0;
  MUST(rig_count(r, GT_EV_DONE) == 1 && r->events[r->count - 1].type == GT_EV_DONE);
  for (size_t i = 0; i < r->count; i++) {
    const gt_event *e = &r->events[i];
    MUST(e->type != GT_EV_MISCOMPARE && e->type != GT_EV_MEDIUM_ERROR);
    if (e->type == GT_EV_DIGEST) {
      MUST(e->stream_offset <= s.bytes && e->bytes <= e->stream_offset);
      MUST(e->crc32c == gt_crc32c(0, s.stream + e->stream_offset - e->bytes, e->bytes));
    }
    if (e->type != GT_EV_CHECKPOINT) continue;
    MUST(e->stream_offset >= covered && e->stream_offset <= s.bytes);
    covered = e->stream_offset;
    uint64_t objects = (covered + TAPE_BLOCK - 1) / TAPE_BLOCK;
    if (tape) MUST(e->object >= objects && e->object <= objects + 1);
    if (tape) MUST(rig_tape_is(tape, 0, s.stream, covered, TAPE_BLOCK));
  }
}

static void play(fuzz_in *in, rig *r) {
  uint8_t acts = fuzz_u8(in);
  size_t bad = 0, cut = s.gathers ? fuzz_u8(in) % s.gathers : 0;
  MUST(rig_start(r) == 0);
  MUST(gt_copy_append(r->copy, s.gather, cut, s.scatter, s.scatters, s.inline_bytes, s.inline_len, &bad) == 0);
  if (acts & 1) gt_copy_pause(r->copy);
  MUST(gt_copy_append(r->copy, s.gather + cut, s.gathers - cut, NULL, 0, s.inline_bytes, s.inline_len, &bad) == 0);
  if (acts & 1) gt_copy_resume(r->copy);
  if ((acts & 6) == 6) gt_copy_cancel(r->copy);
  gt_copy_finish(r->copy);
  if ((acts & 24) != 24) rig_wait(r); /* else it is closed under way */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static gt_arena *arena;
  fuzz_in in = {data, size};
  if (!arena) MUST(gt_arena_create(1 << 20, &arena) == 0);
  uint8_t kind = fuzz_u8(&in), sizes = fuzz_u8(&in);
  s.gathers = s.scatters = s.bytes = s.inline_len = 0;
  s.fault_count = fuzz_u8(&in) % (FAULTS + 1);
  for (uint8_t i = 0; i < s.fault_count; i++) {
    fault *f = &s.faults[i];
    *f = (fault){.unit = fuzz_u8(&in) & 1, .nth = (uint8_t)(1 + fuzz_u8(&in) % 24), .kind = fuzz_u8(&in)};
    if ((f->kind & 7) >= 5) f->sense_len = fuzz_u8(&in) % 20, fuzz_bytes(&in, f->sense, f->sense_len);
  }
  bool from_tape = kind % 3 == 2, to_tape = kind % 3 == 0;
  units[0] = from_tape ? fake_tape() : fake_disk(BLOCK, DISK, 1 + (kind >> 4));
  units[1] = to_tape ? fake_tape() : fake_disk(BLOCK, DISK, 2 + (kind >> 4));
  for (int i = 0; i < 2; i++)
    units[i]->script = err;
  if (kind & 8) units[0]->tells_position = units[1]->tells_position = units[0]->locates = false;
  if (from_tape)
    gather_tape(&in, units[0]);
  else
    for (unsigned i = 1 + fuzz_u8(&in) % (SEGS - 1); i--;)
      gather_disk(&in, units[0], false);
  if (to_tape)
    s.scatter[s.scatters++] = (gt_seg){.op = GT_OP_TAPE, .lu = 1, .bytes = UINT64_MAX};
  else
    scatter_disk(&in, from_tape);
  if (to_tape) s.scatter[s.scatters++] = (gt_seg){.op = GT_OP_FILEMARK, .lu = 1, .addr = 1};
  rig r;
  rig_open(&r, arena, 16384 + 4096 * (sizes & 7), TAPE_BLOCK);
  r.options.lu_count = 2;
  r.lus[0] = from_tape ? rig_tape(units[0]) : rig_disk(units[0]);
  r.lus[1] = to_tape ? rig_tape(units[1]) : rig_disk(units[1]);
  r.options.depth = (uint16_t)(1 + (sizes >> 3 & 3));
  r.options.io_bytes = 512u << (sizes >> 5);
  r.options.checkpoint_bytes = sizes & 0x80 ? 3000 : 0;
  r.options.retry_limit = 2;
  r.options.busy_limit_ms = 1;
  play(&in, &r);
  bool ended = r.count && r.events[r.count - 1].type == GT_EV_DONE;
  uint8_t result = r.done.result;
  if (ended) check_events(&r, to_tape ? units[1] : NULL);
  if (ended && result == GT_RESULT_OK) {
    if (to_tape) MUST(rig_tape_is(units[1], 0, s.stream, s.bytes, TAPE_BLOCK));
    if (to_tape) MUST(units[1]->count == (s.bytes + TAPE_BLOCK - 1) / TAPE_BLOCK + 1);
    if (!to_tape) check_restored(&r, units[1]);
  }
  rig_close(&r);
  for (int i = 0; i < 2; i++)
    gt_lu_close(&units[i]->lu);
  MUST(gt_arena_free_bytes(arena) == gt_arena_bytes(arena));
  return 0;
}
