#include "tape.h"

#include "../core/bytes.h"
#include "../core/scsi.h"
#include "internal.h"

enum { LONG_FORM = 0x06, SHORT_FORM_BYTES = 20, LONG_FORM_BYTES = 32, SPACE_BLOCKS = 0 };

static gt_cmd *single(gt_lane *lane, uint8_t lu, gt_role role, uint8_t opcode, uint8_t cdb_len) {
  gt_cmd *cmd = gt_lane_single(lane, lu, role, lane->copy->options.tape_timeout_ms);
  cmd->io.cdb[0] = opcode;
  cmd->io.cdb_len = cdb_len;
  return cmd;
}

void gt_tape_read6(gt_io *io, void *data, uint32_t bytes) {
  /* SSC-4 6.4: SILI 0, so that a block of another length is always told. */
  io->cdb[0] = GT_READ_6;
  gt_store_be24(io->cdb + 2, bytes);
  io->cdb_len = 6;
  io->dir = GT_DIR_IN;
  io->data = data;
  io->data_len = bytes;
}

void gt_tape_write6(gt_io *io, void *data, uint32_t bytes) {
  io->cdb[0] = GT_WRITE_6; /* SSC-4 6.8 */
  gt_store_be24(io->cdb + 2, bytes);
  io->cdb_len = 6;
  io->dir = GT_DIR_OUT;
  io->data = data;
  io->data_len = bytes;
}

gt_verdict gt_tape_filemarks(gt_lane *lane, uint8_t lu, uint32_t count) {
  /* SSC-4 6.10 WRITE FILEMARKS(6), IMMED 0: answered when all before it is on the medium. */
  gt_cmd *cmd = single(lane, lu, GT_ROLE_TAPE_WRITE, GT_WRITE_FILEMARKS_6, 6);
  gt_store_be24(cmd->io.cdb + 2, count);
  return gt_lane_run(cmd);
}

gt_verdict gt_tape_space(gt_lane *lane, uint8_t lu, gt_role role, uint8_t code, int64_t count) {
  bool short_form = count >= -0x800000 && count <= 0x7fffff;
  gt_cmd *cmd = single(lane, lu, role, short_form ? GT_SPACE_6 : GT_SPACE_16, short_form ? 6 : 16);
  cmd->io.cdb[1] = code & 0x0f; /* SSC-4 6.6, 7.10: CODE */
  if (short_form)
    gt_store_be24(cmd->io.cdb + 2, (uint32_t)count & 0xffffff);
  else
    gt_store_be64(cmd->io.cdb + 4, (uint64_t)count);
  return gt_lane_run(cmd);
}

static gt_verdict rewind_tape(gt_lane *lane, uint8_t lu) {
  return gt_lane_run(single(lane, lu, GT_ROLE_TAPE_LOCATE, GT_REWIND, 6));
}

/* For drives without LOCATE. SPACE over blocks stops behind a filemark, which is an object as well; the
 * residue says how many blocks were left to go (SSC-4 6.6). */
static gt_verdict locate_by_spacing(gt_lane *lane, uint8_t lu, uint64_t object) {
  gt_verdict verdict = rewind_tape(lane, lu);
  while (verdict == GT_FINE && object) {
    uint64_t step = object < 0x7fffff ? object : 0x7fffff;
    verdict = gt_tape_space(lane, lu, GT_ROLE_TAPE_READ, SPACE_BLOCKS, (int64_t)step);
    if (verdict == GT_FINE) object -= step;
    if (verdict != GT_FILEMARK) continue;
    const gt_sense *sense = &lane->single.sense;
    if (!sense->has_information || !sense->information || sense->information > step) return GT_HARD;
    object -= step - sense->information + 1;
    verdict = GT_FINE;
  }
  return verdict;
}

gt_verdict gt_tape_locate(gt_lane *lane, uint8_t lu, uint64_t object) {
  gt_cmd *cmd = single(lane, lu, GT_ROLE_TAPE_LOCATE, GT_LOCATE_16, 16);
  gt_store_be64(cmd->io.cdb + 4, object); /* SSC-4 7.3: DEST_TYPE 0, logical object identifier */
  gt_verdict verdict = gt_lane_run(cmd);
  if (verdict != GT_UNSUPPORTED) return verdict;
  if (object <= UINT32_MAX) {
    cmd = single(lane, lu, GT_ROLE_TAPE_LOCATE, GT_LOCATE_10, 10);
    gt_store_be32(cmd->io.cdb + 3, (uint32_t)object); /* SSC-4 6.3 */
    verdict = gt_lane_run(cmd);
    if (verdict != GT_UNSUPPORTED) return verdict;
  }
  return locate_by_spacing(lane, lu, object);
}

static gt_verdict read_position(gt_lane *lane, uint8_t lu, uint8_t form, uint8_t *data, uint32_t bytes) {
  gt_cmd *cmd = single(lane, lu, GT_ROLE_TAPE_QUERY, GT_READ_POSITION, 10);
  cmd->io.cdb[1] = form;
  cmd->io.dir = GT_DIR_IN;
  cmd->io.data = data;
  cmd->io.data_len = bytes;
  gt_verdict verdict = gt_lane_run(cmd);
  return verdict == GT_FINE && cmd->io.resid > 0 ? GT_UNSUPPORTED : verdict;
}

/* Object 0 is at the beginning of the partition, and BOP says so; some drives answer zeros for "do not know". */
static bool contradicts(const uint8_t *data, uint64_t object) { return object == 0 && !(data[0] & 0x80); }

gt_verdict gt_tape_position(gt_lane *lane, uint8_t lu, uint64_t *object, bool *known) {
  uint8_t data[LONG_FORM_BYTES] = {0};
  *known = false;
  gt_verdict verdict = read_position(lane, lu, LONG_FORM, data, LONG_FORM_BYTES);
  if (verdict == GT_FINE) {
    *object = gt_load_be64(data + 8);
    *known = !(data[0] & 0x04) && !contradicts(data, *object); /* SSC-4 6.5.3: LONU(2) */
    return verdict;
  }
  if (verdict != GT_UNSUPPORTED) return verdict;
  verdict = read_position(lane, lu, 0, data, SHORT_FORM_BYTES);
  if (verdict == GT_UNSUPPORTED) return GT_FINE; /* the drive cannot tell */
  *object = gt_load_be32(data + 4);
  *known = !(data[0] & 0x06) && !contradicts(data, *object); /* SSC-4 6.5.2: LOLU(2), PERR(1) */
  return verdict;
}
