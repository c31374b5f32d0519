/* Commands that read, decide and write as one: no other write gets between (SBC-3 5.2, 5.11). */
#include "device/disk.h"

#include <errno.h>

enum { SCRATCH_BYTES = 64 << 10 };

/* Compares the first half of the data-out buffer and writes the second. Lock held. */
static void compare_then_write(gt_cmd *cmd, const gt_span *span, const uint8_t *data) {
  gt_disk *disk = gt_disk_of(cmd);
  uint64_t bytes = span->blocks * disk->block_bytes, offset = span->lba * disk->block_bytes, done;
  int error = gt_disk_compare(disk, data, bytes, bytes, offset, &done);
  if (error == -EILSEQ) {
    /* INFORMATION: offset of the first byte that differs (SBC-3 5.2). */
    return gt_check(
        cmd,
        &(gt_sense){.key = GT_KEY_MISCOMPARE, .asc = GT_ASC_MISCOMPARE, .has_information = true, .information = done});
  }
  if (error) return gt_disk_read_failed(cmd, error, span->lba + done / disk->block_bytes);
  error = gt_disk_pwrite(disk, data + bytes, bytes, offset, &done);
  if (error) gt_disk_write_failed(cmd, error, span->lba + done / disk->block_bytes);
}

void gt_disk_compare_and_write(gt_cmd *cmd) {
  gt_disk *disk = gt_disk_of(cmd);
  gt_span span;
  if (!gt_disk_checked_span(cmd, 255, &span)) return;
  /* Where the halves of the buffer lie hangs on its length: one that is not what the CDB says would be compared and
   * written at the wrong place. */
  uint64_t bytes = 2 * span.blocks * disk->block_bytes;
  if (gt_offered(cmd) != bytes) return gt_fail_field(cmd, 13, -1);
  gt_moves(cmd, cmd->moved = bytes);
  if (!bytes) return;
  uint64_t held = gt_disk_hold(disk, &span, true);
  if (gt_disk_still_ready(cmd)) compare_then_write(cmd, &span, cmd->io->data);
  gt_disk_let_go(disk, held);
  if (cmd->io->status == GT_STATUS_GOOD) gt_disk_settle(cmd, cmd->cdb[1] & 0x08);
}

static void or_into(gt_cmd *cmd, const gt_span *span, const uint8_t *data) {
  gt_disk *disk = gt_disk_of(cmd);
  uint8_t scratch[SCRATCH_BYTES];
  uint64_t bytes = span->blocks * disk->block_bytes, offset = span->lba * disk->block_bytes, moved;
  for (uint64_t done = 0; done < bytes;) {
    uint64_t piece = bytes - done < sizeof scratch ? bytes - done : sizeof scratch;
    int error = gt_disk_pread(disk, scratch, piece, offset + done, &moved);
    if (error) return gt_disk_read_failed(cmd, error, span->lba + (done + moved) / disk->block_bytes);
    for (uint64_t i = 0; i < piece; i++)
      scratch[i] |= data[done + i];
    error = gt_disk_pwrite(disk, scratch, piece, offset + done, &moved);
    if (error) return gt_disk_write_failed(cmd, error, span->lba + (done + moved) / disk->block_bytes);
    done += piece;
  }
}

void gt_disk_orwrite(gt_cmd *cmd) {
  gt_disk *disk = gt_disk_of(cmd);
  gt_span span;
  if (!gt_disk_checked_span(cmd, disk->max_transfer_blocks, &span) || !span.blocks) return;
  const uint8_t *data = gt_disk_data_out(cmd, span.blocks * disk->block_bytes);
  if (!data) return;
  span.blocks = cmd->moved / disk->block_bytes;
  uint64_t held = gt_disk_hold(disk, &span, true);
  if (gt_disk_still_ready(cmd)) or_into(cmd, &span, data);
  gt_disk_let_go(disk, held);
  if (cmd->io->status == GT_STATUS_GOOD) gt_disk_settle(cmd, cmd->cdb[1] & 0x08);
}
