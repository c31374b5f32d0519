/* READ(6), WRITE(6), WRITE FILEMARKS(6), ERASE(6) (SSC-4 5.3, 5.7, 6.8, 5.2). */
#include "device/tape.h"

#include <errno.h>

#include "core/bytes.h"

enum { FIXED = 0x01, SILI = 0x02, IMMED = 0x01 };

void gt_tape_check(gt_cmd *cmd, gt_sense sense, int64_t residue) {
  sense.has_information = true;
  sense.information = (uint64_t)residue;
  gt_check(cmd, &sense);
}

void gt_tape_medium_error(gt_cmd *cmd, uint16_t asc, int64_t residue) {
  gt_tape *tape = gt_tape_of(cmd);
  bool writing = asc == GT_ASC_WRITE_ERROR;
  gt_tape_alert(tape, writing ? GT_ALERT_WRITE_FAILURE : GT_ALERT_READ_FAILURE);
  ++*(writing ? &tape->write_errors : &tape->read_errors);
  gt_tape_check(cmd, (gt_sense){.key = GT_KEY_MEDIUM_ERROR, .asc = asc}, residue);
}

void gt_tape_at_end(gt_cmd *cmd, int64_t residue) {
  gt_cartridge *cartridge = gt_tape_of(cmd)->cartridge;
  bool at_end = cartridge->here.offset == cartridge->end.offset && !cartridge->damaged;
  if (!at_end) return gt_tape_medium_error(cmd, GT_ASC_UNRECOVERED_READ_ERROR, residue);
  gt_tape_check(
      cmd, (gt_sense){.key = GT_KEY_BLANK_CHECK, .asc = GT_ASC_END_OF_DATA, .eom = gt_cartridge_near_end(cartridge)},
      residue);
}

static void filemark_met(gt_cmd *cmd, int64_t residue) {
  gt_tape_check(cmd, (gt_sense){.asc = GT_ASC_FILEMARK_DETECTED, .filemark = true}, residue);
}

/* What is in front of the head, if it is not a record to read: answered, and false. */
static bool record_ahead(gt_cmd *cmd, gt_tap_object *object, int64_t residue) {
  gt_cartridge *cartridge = gt_tape_of(cmd)->cartridge;
  int error = gt_cartridge_look(cartridge, object);
  if (error) {
    gt_tape_medium_error(cmd, GT_ASC_UNRECOVERED_READ_ERROR, residue);
  } else if (object->kind == GT_TAP_MARK) {
    gt_cartridge_pass(cartridge, object);
    filemark_met(cmd, residue);
  } else if (object->kind != GT_TAP_RECORD) {
    gt_tape_at_end(cmd, residue);
  }
  return !error && object->kind == GT_TAP_RECORD;
}

/* Reads a record; the head is behind it afterwards even where it cannot be read (SSC-4 5.3), unless nobody
 * knows where it ends. False: answered. */
static bool read_record(gt_cmd *cmd, const gt_tap_object *object, uint8_t *data, uint64_t room, int64_t residue) {
  gt_cartridge *cartridge = gt_tape_of(cmd)->cartridge;
  int error = gt_cartridge_read(cartridge, object, data, room);
  if (!error && !object->bad) return true;
  if (error && error != -EILSEQ) gt_cartridge_pass(cartridge, object);
  gt_tape_medium_error(cmd, GT_ASC_UNRECOVERED_READ_ERROR, residue);
  return false;
}

static void count_read(gt_cmd *cmd, uint64_t bytes) {
  gt_tape *tape = gt_tape_of(cmd);
  tape->bytes_read += bytes;
  tape->cartridge->mam->bytes_read += bytes;
  tape->cartridge->mam->load_read += bytes;
}

/* FIXED zero: one block of up to TRANSFER LENGTH bytes. A length that is not the block's is reported as ILI
 * with the signed difference, unless SILI suppresses it: always when the block is shorter, and when it is
 * longer only if the mode block length is zero. */
static void read_variable(gt_cmd *cmd, uint32_t length) {
  gt_tap_object object;
  gt_moves(cmd, 0);
  if (!record_ahead(cmd, &object, length)) return;
  uint64_t moves = object.length < length ? object.length : length;
  uint64_t room = moves < gt_room(cmd) ? moves : gt_room(cmd);
  int64_t residue = (int64_t)length - object.length;
  if (!read_record(cmd, &object, cmd->io->data, room, residue)) return;
  cmd->moved = room;
  count_read(cmd, room);
  gt_moves(cmd, moves);
  bool suppressed = cmd->cdb[1] & SILI && (residue > 0 || !gt_tape_of(cmd)->block_length);
  if (residue && !suppressed) gt_tape_check(cmd, (gt_sense){.ili = true}, residue);
}

/* FIXED one: blocks of the mode block length. INFORMATION counts the blocks not read, the one of another
 * length among them; its data is not transferred. */
static void read_fixed(gt_cmd *cmd, uint32_t blocks) {
  uint32_t each = gt_tape_of(cmd)->block_length;
  gt_moves(cmd, 0);
  for (uint32_t done = 0; done < blocks; done++) {
    gt_tap_object object;
    int64_t residue = blocks - done;
    uint64_t at = (uint64_t)done * each, left = at < gt_room(cmd) ? gt_room(cmd) - at : 0;
    if (!record_ahead(cmd, &object, residue)) return;
    if (object.length != each) {
      gt_cartridge_pass(gt_tape_of(cmd)->cartridge, &object);
      return gt_tape_check(cmd, (gt_sense){.ili = true}, residue);
    }
    uint64_t room = left < each ? left : each;
    uint8_t *data = room ? (uint8_t *)cmd->io->data + at : NULL;
    if (!read_record(cmd, &object, data, room, residue)) return;
    gt_moves(cmd, at + each);
    count_read(cmd, room);
    cmd->moved = at + room;
  }
}

/* FIXED needs a block length, and excludes SILI (SSC-4 5.3). False: answered. */
static bool fixed_is_sound(gt_cmd *cmd) {
  if (!(cmd->cdb[1] & FIXED)) return true;
  if (gt_tape_of(cmd)->block_length && !(cmd->cdb[1] & SILI)) return true;
  gt_fail_field(cmd, 1, cmd->cdb[1] & SILI ? 1 : 0);
  return false;
}

void gt_tape_read(gt_cmd *cmd) {
  uint32_t length = gt_load_be24(cmd->cdb + 2);
  if (!fixed_is_sound(cmd) || !length) return;
  if (cmd->cdb[1] & FIXED)
    read_fixed(cmd, length);
  else
    read_variable(cmd, length);
}

static bool is_full(int error) { return error == -ENOSPC || error == -EDQUOT || error == -EFBIG; }

/* How a write of blocks or marks ended that left `residue` of them unwritten. Between early warning and the
 * end everything is written and EOM says so each time; at the end nothing more is, and VOLUME OVERFLOW says
 * that (SSC-4 4.2.6). A host file system without room is an end of medium too. */
static void wrote(gt_cmd *cmd, int error, int64_t residue) {
  gt_cartridge *cartridge = gt_tape_of(cmd)->cartridge;
  if (error && !is_full(error)) return gt_tape_medium_error(cmd, GT_ASC_WRITE_ERROR, residue);
  gt_sense sense = {.asc = GT_ASC_END_OF_MEDIUM, .eom = true};
  if (error) sense.key = GT_KEY_VOLUME_OVERFLOW;
  if (error || gt_cartridge_near_end(cartridge)) gt_tape_check(cmd, sense, residue);
}

static void write_blocks(gt_cmd *cmd, uint32_t each, uint32_t blocks, bool fixed) {
  gt_tape *tape = gt_tape_of(cmd);
  uint64_t fit = gt_cartridge_room(tape->cartridge) / each;
  uint32_t written, allowed = fit < blocks ? (uint32_t)fit : blocks;
  int error = gt_cartridge_write(tape->cartridge, cmd->io->data, each, allowed, &written);
  if (!error && tape->unbuffered && gt_cartridge_sync(tape->cartridge)) error = -EIO;
  if (!error && allowed < blocks) error = -ENOSPC;
  cmd->moved = (uint64_t)written * each;
  gt_moves(cmd, cmd->moved);
  tape->bytes_written += cmd->moved;
  tape->cartridge->mam->bytes_written += cmd->moved;
  tape->cartridge->mam->load_written += cmd->moved;
  wrote(cmd, error, fixed ? (int64_t)blocks - written : (int64_t)each * (1 - (int64_t)written));
}

void gt_tape_write(gt_cmd *cmd) {
  gt_tape *tape = gt_tape_of(cmd);
  bool fixed = cmd->cdb[1] & FIXED;
  uint32_t length = gt_load_be24(cmd->cdb + 2);
  if (!fixed_is_sound(cmd) || !length) return;
  uint32_t each = fixed ? tape->block_length : length, blocks = fixed ? length : 1;
  if (each > tape->max_block_bytes || gt_offered(cmd) < (uint64_t)each * blocks) return gt_fail_field(cmd, 2, -1);
  if (gt_tape_may_write(cmd)) write_blocks(cmd, each, blocks, fixed);
}

/* IMMED zero makes everything before it durable; a count of zero does only that (SSC-4 6.8). */
void gt_tape_write_filemarks(gt_cmd *cmd) {
  gt_cartridge *cartridge = gt_tape_of(cmd)->cartridge;
  uint32_t marks = gt_load_be24(cmd->cdb + 2);
  if (marks && !gt_tape_may_write(cmd)) return;
  uint64_t before = cartridge->here.object;
  int error = marks ? gt_cartridge_write_marks(cartridge, marks) : 0;
  int64_t residue = marks - (int64_t)(cartridge->here.object - before);
  if (!error && !(cmd->cdb[1] & IMMED) && !cartridge->write_protected && gt_cartridge_sync(cartridge)) error = -EIO;
  if (marks || error) wrote(cmd, error, residue);
}

/* LONG or not, what lies behind the head is gone; a gap inside the data would be of no use to anybody. */
void gt_tape_erase(gt_cmd *cmd) {
  if (gt_cartridge_truncate(gt_tape_of(cmd)->cartridge)) gt_fail(cmd, GT_KEY_MEDIUM_ERROR, GT_ASC_WRITE_ERROR);
}
