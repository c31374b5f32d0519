/* Commands of SPC-4 that every device type has: TEST UNIT READY, REQUEST SENSE, REPORT LUNS, SEND DIAGNOSTIC, PREVENT
 * ALLOW MEDIUM REMOVAL, REPORT TARGET PORT GROUPS. */
#include "device/impl.h"

#include <string.h>

#include "core/bytes.h"

/* The class's admit has said already whether the medium is ready. */
void gt_spc_test_unit_ready(gt_cmd *cmd) { (void)cmd; }

/* SPC-4 6.39. There is no sense data to keep from command to command, so it tells a pending unit attention, else why
 * the device is not ready, or NO SENSE. */
void gt_spc_request_sense(gt_cmd *cmd) {
  uint8_t data[GT_SENSE_MAX];
  gt_sense sense = {.key = GT_KEY_NO_SENSE};
  unsigned attention = gt_attention_take(cmd->device, cmd->nexus);
  if (attention)
    sense = (gt_sense){.key = GT_KEY_UNIT_ATTENTION, .asc = gt_attention_asc(attention)};
  else if (cmd->device->class->condition)
    cmd->device->class->condition(cmd->device, &sense);
  size_t length = gt_sense_build(&sense, cmd->cdb[1] & 0x01, data, sizeof data);
  gt_reply(cmd, data, length, cmd->cdb[4]);
}

/* SPC-4 6.33. A device is one logical unit; targets that have more of them answer by themselves. */
void gt_spc_report_luns(gt_cmd *cmd) {
  uint8_t data[16] = {0};
  uint8_t select = cmd->cdb[2];
  uint32_t allocation = gt_load_be32(cmd->cdb + 6);
  if (select > 2) return gt_fail_field(cmd, 2, -1);
  if (allocation < 16) return gt_fail_field(cmd, 6, -1);
  uint32_t list = select == 1 ? 0 : 8; /* 01h asks for well-known logical units: there are none */
  gt_store_be32(data, list);
  gt_reply(cmd, data, 8 + list, allocation);
}

/* SPC-4 6.42. The default self-test and nothing else; there is nothing in software that it could find. */
void gt_spc_send_diagnostic(gt_cmd *cmd) {
  uint8_t self_test_code = cmd->cdb[1] >> 5;
  if (self_test_code) return gt_fail_field(cmd, 1, 7);
  if (gt_load_be16(cmd->cdb + 3)) return gt_fail_field(cmd, 3, -1);
}

bool gt_removal_prevented(const gt_device *device) {
  for (int i = 0; i < GT_NEXUS_MAX; i++)
    if (device->nexuses[i].prevents_removal) return true;
  return false;
}

/* SPC-4 6.14. Each nexus speaks for itself. Lock held. */
void gt_spc_prevent(gt_cmd *cmd) { cmd->device->nexuses[cmd->nexus].prevents_removal = cmd->cdb[4] & 0x01; }

/* Reached only where there is no bridge in front, such as by the copy engine. */
void gt_spc_by_bridge(gt_cmd *cmd) { gt_fail(cmd, GT_KEY_ILLEGAL_REQUEST, GT_ASC_INVALID_OPCODE); }

/* The relative target ports of a group by which nexuses come, ascending. Lock held. */
static size_t put_ports(const gt_device *device, uint16_t group, uint8_t *out, size_t most) {
  size_t count = 0;
  for (uint32_t last = 0; count < most; count++) {
    uint32_t next = UINT32_MAX;
    for (int i = 0; i < GT_NEXUS_MAX; i++) {
      const gt_nexus *nexus = &device->nexuses[i];
      if (!nexus->attached) continue;
      gt_port port = gt_device_port(nexus);
      if (port.group == group && port.relative > last && port.relative < next) next = port.relative;
    }
    if (next == UINT32_MAX) break;
    gt_store_be16(out + 4 * count + 2, (uint16_t)next);
    last = next;
  }
  return count;
}

/* SPC-4 6.37: every port is as good as the others, ACTIVE/OPTIMIZED, and nothing changes that; so what is told is the
 * group of the port that is asked. Lock held. */
void gt_spc_report_port_groups(gt_cmd *cmd) {
  enum { PORTS_MAX = 64, ACTIVE_OPTIMIZED_ONLY = 0x01 };
  uint8_t data[8 + 8 + 4 * PORTS_MAX] = {0};
  uint8_t format = cmd->cdb[1] >> 5;
  if (format > 1) return gt_fail_field(cmd, 1, 7);
  size_t header = format ? 8 : 4;
  uint8_t *descriptor = data + header;
  uint16_t group = gt_device_port(&cmd->device->nexuses[cmd->nexus]).group;
  if (format) data[4] = 0x10; /* extended header, IMPLICIT TRANSITION TIME 0 */
  descriptor[1] = ACTIVE_OPTIMIZED_ONLY;
  gt_store_be16(descriptor + 2, group);
  size_t ports = put_ports(cmd->device, group, descriptor + 8, PORTS_MAX);
  descriptor[7] = (uint8_t)ports;
  size_t length = header + 8 + 4 * ports;
  gt_store_be32(data, (uint32_t)(length - 4));
  gt_reply(cmd, data, length, gt_load_be32(cmd->cdb + 6));
}
