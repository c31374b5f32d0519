/* What the disk says of itself: capacity, limits, defects, logs; and START STOP UNIT. */
#include "device/disk.h"

#include <string.h>

#include "core/bytes.h"

/* Log2 of the logical blocks in a physical one: what a page cache turns over, by default. */
static uint8_t physical_exponent(const gt_disk *disk) {
  return (uint8_t)__builtin_ctz(disk->physical_bytes / disk->block_bytes);
}

void gt_disk_read_capacity_10(gt_cmd *cmd) {
  gt_disk *disk = gt_disk_of(cmd);
  uint8_t data[8];
  uint64_t last = disk->blocks - 1;
  gt_store_be32(data, last > UINT32_MAX ? UINT32_MAX : (uint32_t)last);
  gt_store_be32(data + 4, disk->block_bytes);
  gt_reply(cmd, data, sizeof data, sizeof data);
}

void gt_disk_read_capacity_16(gt_cmd *cmd) {
  gt_disk *disk = gt_disk_of(cmd);
  uint8_t data[32] = {0};
  gt_store_be64(data, disk->blocks - 1);
  gt_store_be32(data + 8, disk->block_bytes);
  data[13] = physical_exponent(disk);
  data[14] = disk->thin ? 0xC0 : 0; /* LBPME, LBPRZ */
  gt_reply(cmd, data, sizeof data, gt_load_be32(cmd->cdb + 10));
}

/* Ejects or loads, which both move the medium that somebody may hold fast. The file stays where it is, and is as good
 * as gone. Lock held. */
static void load_eject(gt_cmd *cmd, bool load) {
  gt_disk *disk = gt_disk_of(cmd);
  if (gt_removal_prevented(cmd->device)) return gt_fail(cmd, GT_KEY_ILLEGAL_REQUEST, GT_ASC_MEDIUM_REMOVAL_PREVENTED);
  if (!load) gt_disk_settle(cmd, true);
  if (cmd->io->status != GT_STATUS_GOOD) return;
  bool was_out = atomic_exchange(&disk->ejected, !load);
  if (load && was_out) gt_device_attention(cmd->device, GT_UA_MEDIUM_CHANGED, cmd->nexus);
}

/* SBC-3 5.25. Power conditions are taken note of by doing nothing, and so is a stop where the medium can be ejected:
 * such a drive starts by itself with the next access. Lock held. */
void gt_disk_start_stop(gt_cmd *cmd) {
  gt_disk *disk = gt_disk_of(cmd);
  uint8_t bits = cmd->cdb[4];
  bool stop = !(bits & 0x01), flush = !(bits & 0x04);
  if (bits >> 4) return;
  if (bits & 0x02 && !cmd->device->removable) return gt_fail_field(cmd, 4, 1); /* LOEJ */
  if (bits & 0x02) return load_eject(cmd, !stop);
  if (stop && flush) gt_disk_settle(cmd, true);
  if (cmd->io->status == GT_STATUS_GOOD && !cmd->device->removable) atomic_store(&disk->stopped, stop);
}

/* SBC-3 5.17, 5.18: a file has no defects that it knew of. The list has the format that was asked for. */
void gt_disk_read_defects_10(gt_cmd *cmd) {
  uint8_t data[4] = {0, cmd->cdb[2] & 0x1F};
  gt_reply(cmd, data, sizeof data, gt_load_be16(cmd->cdb + 7));
}

void gt_disk_read_defects_12(gt_cmd *cmd) {
  uint8_t data[8] = {0, cmd->cdb[1] & 0x1F};
  gt_reply(cmd, data, sizeof data, gt_load_be32(cmd->cdb + 6));
}

/* Error counters: total errors corrected, total bytes, total uncorrected errors. None are counted. */
static size_t error_counters(uint8_t *out) {
  size_t at = gt_log_parameter(out, 0x0003, 4, 0);
  at += gt_log_parameter(out + at, 0x0006, 4, 0);
  return at + gt_log_parameter(out + at, 0x0004, 4, 0);
}

/* Temperature (SPC-4 7.3.19): FFh, there is none. Informational exceptions (7.3.9): none. */
static size_t informational(uint8_t *out) {
  size_t length = gt_log_parameter(out, 0x0000, 4, 0);
  out[6] = 0xFF;
  return length;
}

void gt_disk_log_sense(gt_cmd *cmd) {
  static const uint8_t pages[] = {0x00, 0x02, 0x03, 0x06, 0x0D, 0x2F};
  uint8_t data[4 + 64] = {0}, *out = data + 4;
  size_t length;
  int page = gt_log_page(cmd);
  switch (page) {
  case -1: return;
  case 0x00: memcpy(out, pages, length = sizeof pages); break;
  case 0x02:
  case 0x03: length = error_counters(out); break;
  case 0x06: length = gt_log_parameter(out, 0x0000, 4, 0); break;
  case 0x0D: length = gt_log_parameter(out, 0x0000, 2, 0x00FF); break;
  case 0x2F: length = informational(out); break;
  default: return gt_fail_field(cmd, 2, 5);
  }
  gt_log_reply(cmd, data, length);
}

/* Block limits, SBC-3 6.5.3. */
static size_t block_limits(const gt_disk *disk, uint8_t *out) {
  out[4] = 0x01; /* WSNZ */
  out[5] = 255;  /* MAXIMUM COMPARE AND WRITE LENGTH */
  gt_store_be16(out + 6, (uint16_t)(1u << physical_exponent(disk)));
  gt_store_be32(out + 8, disk->max_transfer_blocks);
  uint32_t optimal = (1u << 20) / disk->block_bytes;
  gt_store_be32(out + 12, optimal < disk->max_transfer_blocks ? optimal : disk->max_transfer_blocks);
  if (disk->thin) {
    gt_store_be32(out + 20, GT_UNMAP_BLOCKS);
    gt_store_be32(out + 24, GT_UNMAP_DESCRIPTORS);
    gt_store_be32(out + 28, 1u << physical_exponent(disk)); /* OPTIMAL UNMAP GRANULARITY */
    gt_store_be32(out + 32, 0x80000000u);                   /* UGAVALID, alignment 0 */
  }
  gt_store_be64(out + 36, GT_WRITE_SAME_BLOCKS);
  if (!disk->block_special) {
    gt_store_be32(out + 44, GT_ATOMIC_BYTES / disk->block_bytes); /* MAXIMUM ATOMIC TRANSFER LENGTH */
    gt_store_be32(out + 48, 1);                                   /* ATOMIC ALIGNMENT */
    gt_store_be32(out + 52, 1);                                   /* ATOMIC TRANSFER LENGTH GRANULARITY */
  }
  return 0x3C;
}

size_t gt_disk_vpd(gt_device *device, uint8_t page, uint8_t *out) {
  const gt_disk *disk = (const gt_disk *)device;
  if (page == 0xB0) return block_limits(disk, out);
  if (page == 0xB1) { /* block device characteristics: non-rotating; WABEREQ 01b, an erased block reads well */
    gt_store_be16(out + 4, 1);
    out[7] = disk->block_special ? 0 : 0x40;
    return 0x3C;
  }
  /* B2h, logical block provisioning (SBC-3 6.5.4): LBPU, LBPWS, LBPWS10, LBPRZ; PROVISIONING TYPE thin. */
  out[5] = disk->thin ? 0xE4 : 0;
  out[6] = disk->thin ? 2 : 0;
  return 4;
}
