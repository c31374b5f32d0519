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
  if (!gt_disk_checked_span(cmd, 255, &span) || !span.blocks) return;
  const uint8_t *data = gt_disk_data_out(cmd, 2 * span.blocks * disk->block_bytes);
  if (!data) return;
  pthread_rwlock_wrlock(&disk->atomicity);
  compare_then_write(cmd, &span, data);
  pthread_rwlock_unlock(&disk->atomicity);
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
  pthread_rwlock_wrlock(&disk->atomicity);
  or_into(cmd, &span, data);
  pthread_rwlock_unlock(&disk->atomicity);
  if (cmd->io->status == GT_STATUS_GOOD) gt_disk_settle(cmd, cmd->cdb[1] & 0x08);
}
