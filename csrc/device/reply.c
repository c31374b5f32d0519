/* How a command handler answers: status and sense, parameter data, residuals. */
#include "device/impl.h"

#include <errno.h>
#include <string.h>

void gt_check(gt_cmd *cmd, const gt_sense *sense) {
  gt_sense full = *sense;
  full.stream = cmd->device->class->type == GT_TYPE_TAPE;
  bool descriptor = atomic_load_explicit(&cmd->device->descriptor_sense, memory_order_relaxed);
  cmd->io->status = GT_STATUS_CHECK_CONDITION;
  cmd->io->sense_len = (uint8_t)gt_sense_build(&full, descriptor, cmd->io->sense, sizeof cmd->io->sense);
}

void gt_fail(gt_cmd *cmd, uint8_t key, uint16_t asc) { gt_check(cmd, &(gt_sense){.key = key, .asc = asc}); }

static void fail_pointed(gt_cmd *cmd, uint16_t asc, bool in_cdb, unsigned byte, int bit) {
  gt_check(cmd, &(gt_sense){.key = GT_KEY_ILLEGAL_REQUEST,
                            .asc = asc,
                            .has_field = true,
                            .field_in_cdb = in_cdb,
                            .field_byte = (uint16_t)byte,
                            .field_bit = (int8_t)bit});
}

void gt_fail_field(gt_cmd *cmd, unsigned byte, int bit) {
  fail_pointed(cmd, GT_ASC_INVALID_FIELD_IN_CDB, true, byte, bit);
}

void gt_fail_parameter(gt_cmd *cmd, unsigned byte, int bit) {
  fail_pointed(cmd, GT_ASC_INVALID_FIELD_IN_PARAMETERS, false, byte, bit);
}

uint32_t gt_room(const gt_cmd *cmd) { return cmd->io->dir == GT_DIR_IN && cmd->io->data ? cmd->io->data_len : 0; }

uint32_t gt_offered(const gt_cmd *cmd) { return cmd->io->dir == GT_DIR_OUT && cmd->io->data ? cmd->io->data_len : 0; }

int gt_take_rest(gt_io *io) {
  while (io->absent) {
    ssize_t n = io->take(io, (uint8_t *)io->data + (io->data_len - io->absent), io->absent);
    if (n <= 0) return n ? (int)n : -EPIPE;
  }
  return 0;
}

void gt_moves(gt_cmd *cmd, uint64_t bytes) {
  int64_t left = (int64_t)cmd->io->data_len - (int64_t)(bytes > INT32_MAX ? INT32_MAX : bytes);
  cmd->io->resid = left > INT32_MAX ? INT32_MAX : (int32_t)left;
}

void gt_reply(gt_cmd *cmd, const uint8_t *data, size_t length, size_t allocation_length) {
  if (length > allocation_length) length = allocation_length;
  size_t moved = length < gt_room(cmd) ? length : gt_room(cmd);
  if (moved) memcpy(cmd->io->data, data, moved);
  gt_moves(cmd, length);
}

const uint8_t *gt_parameters(gt_cmd *cmd, size_t length) {
  if (gt_offered(cmd) < length) {
    gt_fail(cmd, GT_KEY_ILLEGAL_REQUEST, GT_ASC_PARAMETER_LIST_LENGTH);
    return NULL;
  }
  gt_moves(cmd, length);
  return cmd->io->data;
}
