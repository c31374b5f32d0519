/* Every way in which a command may go wrong, given to a fake unit at the command of any number, and what a unit with
 * a volatile buffer loses by it. */
#ifndef FAULT_KINDS_H
#define FAULT_KINDS_H

#define RIG_STREAM_BYTES (1 << 18)
#define FAKE_OBJECTS 1024
#include "engine_rig.h"

enum { CAPACITY_CHANGED = 0x2A09, ANOTHER_UNIT = 0x3F03, SPACE_EXHAUSTED = 0x2707 };

typedef enum fault_end {
  MENDED, /* by repeating the command, or because it was done */
  ENDS,   /* the run, at its last checkpoint */
  EITHER, /* as the moment has it; what is left behind has to be right all the same */
} fault_end;

typedef struct fault_kind {
  const char *name;
  uint8_t outcome, status, key;
  uint16_t asc;
  bool deferred;
  bool after;   /* the command is done before */
  bool forgets; /* what was not flushed is lost, and a tape rewound */
  fault_end disk_read, disk_write, tape_write, tape_query;
} fault_kind;

#define CHECKED .status = GT_STATUS_CHECK_CONDITION
#define FATE(dr, dw, tw, tq) .disk_read = (dr), .disk_write = (dw), .tape_write = (tw), .tape_query = (tq)

static const fault_kind fault_kinds[] = {
    {"BUSY", .status = GT_STATUS_BUSY, FATE(MENDED, MENDED, MENDED, MENDED)},
    {"TASK SET FULL", .status = GT_STATUS_TASK_SET_FULL, FATE(MENDED, MENDED, MENDED, MENDED)},
    {"TASK ABORTED", .status = GT_STATUS_TASK_ABORTED, FATE(MENDED, MENDED, ENDS, MENDED)},
    {"RESERVATION CONFLICT", .status = GT_STATUS_RESERVATION_CONFLICT, FATE(ENDS, ENDS, ENDS, ENDS)},
    {"becoming ready", CHECKED, .key = GT_KEY_NOT_READY, .asc = GT_ASC_BECOMING_READY,
     FATE(MENDED, MENDED, MENDED, MENDED)},
    {"no medium", CHECKED, .key = GT_KEY_NOT_READY, .asc = GT_ASC_MEDIUM_NOT_PRESENT, FATE(ENDS, ENDS, ENDS, ENDS)},
    {"recovered error", CHECKED, .key = GT_KEY_RECOVERED_ERROR, .asc = 0x1701, .after = true,
     FATE(MENDED, MENDED, MENDED, MENDED)},
    {"medium error", CHECKED, .key = GT_KEY_MEDIUM_ERROR, .asc = GT_ASC_WRITE_ERROR, FATE(ENDS, ENDS, ENDS, ENDS)},
    {"medium error that loses the buffer", CHECKED, .key = GT_KEY_MEDIUM_ERROR, .asc = GT_ASC_WRITE_ERROR,
     .forgets = true, FATE(ENDS, ENDS, ENDS, ENDS)},
    {"hardware error", CHECKED, .key = GT_KEY_HARDWARE_ERROR, .asc = GT_ASC_INTERNAL_TARGET_FAILURE,
     FATE(ENDS, ENDS, ENDS, ENDS)},
    {"LBA out of range", CHECKED, .key = GT_KEY_ILLEGAL_REQUEST, .asc = GT_ASC_LBA_OUT_OF_RANGE,
     FATE(ENDS, ENDS, ENDS, ENDS)},
    {"write protected", CHECKED, .key = GT_KEY_DATA_PROTECT, .asc = GT_ASC_WRITE_PROTECTED,
     FATE(ENDS, ENDS, ENDS, ENDS)},
    {"no room on a thin disk", CHECKED, .key = GT_KEY_DATA_PROTECT, .asc = SPACE_EXHAUSTED,
     FATE(ENDS, ENDS, ENDS, ENDS)},
    {"aborted command", CHECKED, .key = GT_KEY_ABORTED_COMMAND, .asc = 0x4700, FATE(MENDED, MENDED, ENDS, MENDED)},
    {"deferred error that loses the buffer", CHECKED, .key = GT_KEY_MEDIUM_ERROR, .asc = GT_ASC_WRITE_ERROR,
     .deferred = true, .forgets = true, FATE(MENDED, ENDS, ENDS, ENDS)},
    {"deferred recovered error", CHECKED, .key = GT_KEY_RECOVERED_ERROR, .asc = GT_ASC_WRITE_ERROR, .deferred = true,
     FATE(MENDED, ENDS, ENDS, ENDS)},
    {"deferred end of medium", CHECKED, .key = GT_KEY_VOLUME_OVERFLOW, .asc = GT_ASC_END_OF_MEDIUM, .deferred = true,
     .forgets = true, FATE(MENDED, ENDS, ENDS, ENDS)},
    {"reset that loses the buffer", CHECKED, .key = GT_KEY_UNIT_ATTENTION, .asc = GT_ASC_POWER_ON_OR_RESET,
     .forgets = true, FATE(MENDED, EITHER, ENDS, ENDS)},
    {"another medium", CHECKED, .key = GT_KEY_UNIT_ATTENTION, .asc = GT_ASC_MEDIUM_MAY_HAVE_CHANGED,
     FATE(ENDS, ENDS, ENDS, ENDS)},
    {"another unit", CHECKED, .key = GT_KEY_UNIT_ATTENTION, .asc = ANOTHER_UNIT, FATE(ENDS, ENDS, ENDS, ENDS)},
    {"capacity changed", CHECKED, .key = GT_KEY_UNIT_ATTENTION, .asc = CAPACITY_CHANGED,
     FATE(ENDS, ENDS, MENDED, MENDED)},
    {"mode parameters changed", CHECKED, .key = GT_KEY_UNIT_ATTENTION, .asc = GT_ASC_MODE_PARAMETERS_CHANGED,
     FATE(MENDED, MENDED, MENDED, MENDED)},
    {"link lost, command not done", .outcome = GT_TRANSPORT, FATE(MENDED, MENDED, ENDS, MENDED)},
    {"link lost, command done", .outcome = GT_TRANSPORT, .after = true, FATE(MENDED, MENDED, ENDS, MENDED)},
    {"timed out, command not done", .outcome = GT_TIMED_OUT, FATE(MENDED, MENDED, ENDS, MENDED)},
    {"timed out, command done", .outcome = GT_TIMED_OUT, .after = true, FATE(MENDED, MENDED, ENDS, MENDED)},
};
enum { FAULT_KINDS = sizeof fault_kinds / sizeof fault_kinds[0] };

/* What a fake unit is to do, and what came of it. */
typedef struct fault_state {
  const fault_kind *kind;
  unsigned at, seen; /* commands; at 0: never */
  bool hit;
  uint8_t opcode;   /* of the command that was hit */
  uint64_t flushed; /* tape: objects that are on the medium */
  uint8_t *stable;  /* disk: what is on the medium */
} fault_state;

static inline void fault_forget(fake *f, fault_state *s) {
  if (f->disk) {
    memcpy(f->disk, s->stable, f->block * f->blocks);
    return;
  }
  f->at = s->flushed;
  fake_tape_cut(f);
  f->at = 0;
}

static inline void fault_do(fake *f, gt_io *io, fault_state *s) {
  if (!f->disk) {
    fake_tape_run(f, io);
    if (io->cdb[0] == GT_WRITE_FILEMARKS_6) s->flushed = f->count;
    return;
  }
  fake_disk_run(f, io);
  if (s->stable && io->cdb[0] == GT_SYNCHRONIZE_CACHE_16) memcpy(s->stable, f->disk, f->block * f->blocks);
}

static inline bool fault_script(fake *f, gt_io *io) {
  fault_state *s = f->state;
  const fault_kind *kind = s->kind;
  if (++s->seen != s->at) return fault_do(f, io, s), true;
  s->hit = true;
  s->opcode = io->cdb[0];
  if (kind->forgets) fault_forget(f, s);
  if (kind->after) fault_do(f, io, s);
  bool recovered = kind->after && kind->key == GT_KEY_RECOVERED_ERROR;
  gt_sense sense = {.key = kind->key, .asc = kind->asc, .deferred = kind->deferred, .stream = !f->disk};
  fake_good(io, recovered ? 0 : (int32_t)io->data_len);
  io->outcome = kind->outcome;
  io->status = kind->status;
  if (kind->status == GT_STATUS_CHECK_CONDITION)
    io->sense_len = (uint8_t)gt_sense_build(&sense, s->at % 2, io->sense, GT_SENSE_MAX);
  return true;
}

static inline void fault_arm(fake *f, fault_state *s, const fault_kind *kind, unsigned at) {
  *s = (fault_state){.kind = kind, .at = at, .stable = s->stable, .flushed = f->count};
  f->script = fault_script;
  f->state = s;
  if (s->stable) memcpy(s->stable, f->disk, f->block * f->blocks);
}

static inline bool fault_as_foretold(const char *what, const fault_kind *kind, fault_end end, const rig *r,
                                     unsigned at) {
  bool ok = r->done.result == GT_RESULT_OK;
  if (end == EITHER || ok == (end == MENDED)) return true;
  fprintf(stderr, "  %s, %s at command %u: result %d\n", what, kind->name, at, r->done.result);
  return false;
}

#endif
