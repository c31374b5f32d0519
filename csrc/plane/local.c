/* What the plane answers itself. */
#include "plane/impl.h"

#include <string.h>

#include "core/bytes.h"

void gt_answer_status(gt_io *io, uint8_t status) {
  gt_io_clear_answer(io);
  io->outcome = GT_DELIVERED;
  io->status = status;
}

static void answer_check(gt_io *io, const gt_sense *sense) {
  gt_answer_status(io, GT_STATUS_CHECK_CONDITION);
  io->sense_len = (uint8_t)gt_sense_build(sense, false, io->sense, sizeof io->sense);
}

void gt_answer_sense(gt_io *io, uint8_t key, uint16_t asc) { answer_check(io, &(gt_sense){.key = key, .asc = asc}); }

void gt_answer_field(gt_io *io, unsigned byte, int bit) {
  answer_check(io, &(gt_sense){.key = GT_KEY_ILLEGAL_REQUEST,
                               .asc = GT_ASC_INVALID_FIELD_IN_CDB,
                               .has_field = true,
                               .field_in_cdb = true,
                               .field_byte = (uint16_t)byte,
                               .field_bit = (int8_t)bit});
}

/* The residual is negative where there was less room than the allocation length promised. */
void gt_move_data(gt_io *io, const uint8_t *data, size_t length, size_t allocation) {
  if (length > allocation) length = allocation;
  size_t room = io->dir == GT_DIR_IN && io->data ? io->data_len : 0, moved = length < room ? length : room;
  if (moved) memcpy(io->data, data, moved);
  int64_t left = (int64_t)io->data_len - (int64_t)length;
  io->resid = left > INT32_MAX ? INT32_MAX : (int32_t)left;
}

void gt_answer_data(gt_io *io, const uint8_t *data, size_t length, size_t allocation) {
  gt_answer_status(io, GT_STATUS_GOOD);
  gt_move_data(io, data, length, allocation);
}

/* SPC-4 6.33, LUNs in peripheral device addressing (SAM-5 4.7.7.2). There are no well-known logical units. */
void gt_local_luns(gt_task *task) {
  uint8_t data[8 + 8 * GT_LUNS_MAX] = {0};
  gt_io *io = &task->io;
  uint8_t select = io->cdb[2];
  uint32_t allocation = gt_load_be32(io->cdb + 6);
  size_t at = 8;
  if (select > 2) return gt_answer_field(io, 2, -1);
  if (allocation < 16) return gt_answer_field(io, 6, -1);
  for (unsigned lun = 0; select != 1 && lun < GT_LUNS_MAX; lun++) {
    const gt_path *path = atomic_load_explicit(&task->nexus->paths[lun], memory_order_acquire);
    if (!path || !path->unit || !gt_path_judge(path).exists) continue;
    data[at + 1] = (uint8_t)lun;
    at += 8;
  }
  gt_store_be32(data, (uint32_t)(at - 8));
  gt_answer_data(io, data, at, allocation);
  gt_attention_luns_reported(task->nexus);
}

/* SPC-4 6.6: a logical unit that is not there (7Fh), or has no device (3Fh). Of vital product data there is the list
 * that says that there is none. */
void gt_local_inquiry(gt_io *io, uint8_t qualifier_and_type) {
  uint8_t data[36] = {qualifier_and_type, 0, 0x06, 0x02, sizeof data - 5};
  uint16_t allocation = gt_load_be16(io->cdb + 3);
  if (io->cdb[1] & 0x01) {
    if (io->cdb[2]) return gt_answer_field(io, 2, -1);
    const uint8_t pages[5] = {qualifier_and_type, 0, 0, 1, 0};
    return gt_answer_data(io, pages, sizeof pages, allocation);
  }
  if (io->cdb[2]) return gt_answer_field(io, 2, -1);
  memcpy(data + 8, "GANTRY  ", 8);
  memset(data + 16, ' ', 20);
  gt_answer_data(io, data, sizeof data, allocation);
}

/* REQUEST SENSE: sense as data, with GOOD (SPC-4 6.39). */
void gt_local_sense(gt_io *io, uint8_t key, uint16_t asc) {
  uint8_t data[GT_SENSE_MAX];
  size_t length = gt_sense_build(&(gt_sense){.key = key, .asc = asc}, io->cdb[1] & 0x01, data, sizeof data);
  gt_answer_data(io, data, length, io->cdb[4]);
}

/* WP is bit 7 of the device-specific parameter of disks (SBC-3 6.5.1) and tapes (SSC-4 8.3) alike. */
void gt_local_protect(gt_io *io) {
  size_t at = io->cdb[0] == GT_MODE_SENSE_6 ? 2 : 3;
  int64_t moved = (int64_t)io->data_len - io->resid;
  if (io->status == GT_STATUS_GOOD && io->data && io->data_len > at && moved > (int64_t)at)
    ((uint8_t *)io->data)[at] |= 0x80;
}
