/* REPORT SUPPORTED OPERATION CODES and REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS, from the same rows that commands are
 * judged by. What the bridge answers in the device's place has its rows too. */
#include "device/impl.h"

#include <string.h>

#include "core/bytes.h"

enum { TIMEOUTS_BYTES = 12, DESCRIPTOR_BYTES = 8, ROWS_MAX = 128 };

/* Command timeouts descriptor (SPC-4 6.34.4) that says: no timeouts are given. */
static size_t put_timeouts(uint8_t *out) {
  memset(out, 0, TIMEOUTS_BYTES);
  gt_store_be16(out, TIMEOUTS_BYTES - 2);
  return TIMEOUTS_BYTES;
}

/* SPC-4 6.34.2: all_commands parameter data. */
static void report_all(gt_cmd *cmd, bool timeouts, uint32_t allocation) {
  uint8_t data[4 + ROWS_MAX * (DESCRIPTOR_BYTES + TIMEOUTS_BYTES)] = {0};
  const gt_device_class *class = cmd->device->class;
  size_t at = 4;
  for (size_t i = 0; i < class->row_count && at + DESCRIPTOR_BYTES + TIMEOUTS_BYTES <= sizeof data; i++) {
    const gt_row *row = &class->rows[i];
    if (class->offers && !class->offers(cmd->device, row)) continue;
    data[at] = row->opcode;
    if (row->action != GT_NO_ACTION) gt_store_be16(data + at + 2, (uint16_t)row->action);
    data[at + 5] = (uint8_t)((timeouts ? 0x02 : 0) | (row->action != GT_NO_ACTION ? 0x01 : 0)); /* CTDP, SERVACTV */
    gt_store_be16(data + at + 6, row->length);
    at += DESCRIPTOR_BYTES;
    if (timeouts) at += put_timeouts(data + at);
  }
  gt_store_be32(data, (uint32_t)(at - 4));
  gt_reply(cmd, data, at, allocation);
}

/* SPC-4 6.34.3: one_command parameter data. */
static void report_one(gt_cmd *cmd, const gt_row *row, bool timeouts, uint32_t allocation) {
  uint8_t data[4 + 16 + TIMEOUTS_BYTES] = {0};
  size_t at = 4;
  data[1] = 0x01; /* SUPPORT: not supported */
  if (row) {
    data[1] = (uint8_t)(0x03 | (timeouts ? 0x80 : 0));
    gt_store_be16(data + 2, row->length);
    memcpy(data + 4, row->usage, row->length);
    data[4] = row->opcode;
    if (row->action != GT_NO_ACTION) data[5] = (uint8_t)((data[5] & 0xE0) | row->action);
    at += row->length;
    if (timeouts) at += put_timeouts(data + at);
  }
  gt_reply(cmd, data, at, allocation);
}

void gt_spc_report_opcodes(gt_cmd *cmd) {
  uint8_t options = cmd->cdb[2] & 0x07;
  bool timeouts = cmd->cdb[2] & 0x80, known;
  uint16_t action = gt_load_be16(cmd->cdb + 4);
  uint32_t allocation = gt_load_be32(cmd->cdb + 6);
  if (options == 0) return report_all(cmd, timeouts, allocation);
  if (options > 3) return gt_fail_field(cmd, 2, 2);
  uint8_t asked[2] = {cmd->cdb[3], (uint8_t)(action & 0x1F)};
  const gt_row *row = NULL;
  bool found = gt_device_row(cmd->device, asked, &row, &known) && (row->action == GT_NO_ACTION || action <= 0x1F);
  bool has_actions = known && cmd->device->class->rows[cmd->device->row_of[asked[0]] - 1].action != GT_NO_ACTION;
  /* The options say which kind of operation code is asked for; a wrong guess is an error (table 252). */
  if (known && ((options == 1 && has_actions) || (options == 2 && !has_actions))) return gt_fail_field(cmd, 2, 2);
  if (found && !has_actions && options == 3 && action) found = false;
  report_one(cmd, found ? row : NULL, timeouts, allocation);
}

/* SPC-4 6.36. ABORT TASK, ABORT TASK SET, CLEAR TASK SET, LOGICAL UNIT RESET, TARGET RESET; I_T NEXUS RESET by a new
 * login. Its own service is iSCSI's (RFC 7143 11.5.1): what no initiator can ask for is not told of. */
void gt_spc_report_functions(gt_cmd *cmd) {
  bool extended = cmd->cdb[2] & 0x80; /* REPD */
  uint8_t data[16] = {0xD8 | 0x02};   /* ATS ATSS CTSS LURS, TRS */
  data[3] = extended ? 12 : 0;
  gt_reply(cmd, data, extended ? sizeof data : 4, gt_load_be32(cmd->cdb + 6));
}
