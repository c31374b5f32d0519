/* LOG SENSE (SPC-4 6.7): what every log page has. Nothing is saved, no subpages, current cumulative values only. */
#include "device/impl.h"

#include <string.h>

#include "core/bytes.h"

int gt_log_page(gt_cmd *cmd) {
  uint8_t control = cmd->cdb[2] >> 6;
  if (control != 1 && control != 0) return gt_fail_field(cmd, 2, 7), -1; /* PC: no default values */
  if (cmd->cdb[3]) return gt_fail_field(cmd, 3, -1), -1;
  if (gt_load_be16(cmd->cdb + 5)) return gt_fail_field(cmd, 5, -1), -1;
  return cmd->cdb[2] & 0x3F;
}

/* SPC-4 6.6. No parameter can be set, so there is no list: what is left is PCR, all counters of all pages begin anew
 * (PAGE CODE is zero then), and without a list the default values of cumulative counters, PC 11b, which are zero. */
bool gt_log_resets(gt_cmd *cmd, const uint8_t *pages, size_t count, uint8_t *page) {
  uint8_t control = cmd->cdb[2] >> 6;
  bool all = cmd->cdb[1] & 0x02;
  *page = cmd->cdb[2] & 0x3F;
  if (cmd->cdb[1] & 0x01) return gt_fail_field(cmd, 1, 0), false; /* SP: nothing is saved */
  if (cmd->cdb[3]) return gt_fail_field(cmd, 3, -1), false;
  if (gt_load_be16(cmd->cdb + 7)) return gt_fail_field(cmd, 7, -1), false;
  if (*page && (all || !memchr(pages, *page, count))) return gt_fail_field(cmd, 2, 5), false;
  return all || control == 3;
}

size_t gt_log_parameter(uint8_t *out, uint16_t code, unsigned bytes, uint64_t value) {
  gt_store_be16(out, code);
  out[2] = 0x03;
  out[3] = (uint8_t)bytes;
  for (unsigned i = 0; i < bytes; i++)
    out[4 + i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
  return 4 + bytes;
}

void gt_log_reply(gt_cmd *cmd, uint8_t *data, size_t length) {
  data[0] = cmd->cdb[2] & 0x3F;
  gt_store_be16(data + 2, (uint16_t)length);
  gt_reply(cmd, data, 4 + length, gt_load_be16(cmd->cdb + 7));
}
