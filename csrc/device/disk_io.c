/* Reading, writing and verifying blocks. Data goes straight between the file and the command's buffer;
 * reads and writes hold their stripes shared, so that they see nothing of a read-modify-write command half done. */
#include "device/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "core/bytes.h"
#include "device/disk_cache.h"

enum { SCRATCH_BYTES = 64 << 10, DPO_FUA_FUA = 0x08 };

int gt_disk_file_read(const gt_disk *disk, void *data, uint64_t bytes, uint64_t offset, uint64_t *done) {
  for (*done = 0; *done < bytes;) {
    ssize_t got = pread(disk->fd, (uint8_t *)data + *done, bytes - *done, (off_t)(offset + *done));
    if (got > 0)
      *done += (uint64_t)got;
    else if (got == 0)
      return -ENXIO; /* somebody cut the file: these blocks are there no more */
    else if (errno != EINTR)
      return -errno;
  }
  return 0;
}

int gt_disk_file_write(const gt_disk *disk, const void *data, uint64_t bytes, uint64_t offset, uint64_t *done) {
  for (*done = 0; *done < bytes;) {
    ssize_t put = pwrite(disk->fd, (const uint8_t *)data + *done, bytes - *done, (off_t)(offset + *done));
    if (put > 0)
      *done += (uint64_t)put;
    else if (put == 0)
      return -ENOSPC;
    else if (errno != EINTR)
      return -errno;
  }
  return 0;
}

int gt_disk_pread(const gt_disk *disk, void *data, uint64_t bytes, uint64_t offset, uint64_t *done) {
  if (disk->cache) return gt_disk_cache_read(disk, data, bytes, offset, done);
  return gt_disk_file_read(disk, data, bytes, offset, done);
}

int gt_disk_pwrite(const gt_disk *disk, const void *data, uint64_t bytes, uint64_t offset, uint64_t *done) {
  if (disk->cache) return gt_disk_cache_write(disk, data, bytes, offset, done);
  return gt_disk_file_write(disk, data, bytes, offset, done);
}

gt_span gt_disk_span(const uint8_t *cdb) {
  switch (cdb[0] >> 5) {
  case 0: return (gt_span){gt_load_be24(cdb + 1) & 0x1FFFFF, cdb[4] ? cdb[4] : 256};
  case 4:
    if (cdb[0] == GT_COMPARE_AND_WRITE) return (gt_span){gt_load_be64(cdb + 2), cdb[13]};
    if (cdb[0] == GT_WRITE_ATOMIC_16) return (gt_span){gt_load_be64(cdb + 2), gt_load_be16(cdb + 12)};
    return (gt_span){gt_load_be64(cdb + 2), gt_load_be32(cdb + 10)};
  case 5: return (gt_span){gt_load_be32(cdb + 2), gt_load_be32(cdb + 6)};
  default: return (gt_span){gt_load_be32(cdb + 2), gt_load_be16(cdb + 7)};
  }
}

bool gt_disk_has(const gt_disk *disk, uint64_t lba, uint64_t blocks) {
  return lba < disk->blocks && blocks <= disk->blocks - lba;
}

/* SBC-3 4.2.2: an LBA past the capacity is LBA OUT OF RANGE, even with nothing to transfer; more than the
 * limits of VPD B0h is an invalid field. */
bool gt_disk_checked_span(gt_cmd *cmd, uint64_t most, gt_span *span) {
  *span = gt_disk_span(cmd->cdb);
  if (!gt_disk_has(gt_disk_of(cmd), span->lba, span->blocks)) {
    gt_fail(cmd, GT_KEY_ILLEGAL_REQUEST, GT_ASC_LBA_OUT_OF_RANGE);
    return false;
  }
  if (span->blocks <= most) return true;
  static const uint8_t length_at[8] = {4, 7, 7, 7, 10, 6, 7, 7}; /* by CDB group */
  unsigned at = length_at[cmd->cdb[0] >> 5];
  if (cmd->cdb[0] == GT_COMPARE_AND_WRITE) at = 13;
  if (cmd->cdb[0] == GT_WRITE_ATOMIC_16) at = 12;
  gt_fail_field(cmd, at, -1);
  return false;
}

static void medium_error(gt_cmd *cmd, uint16_t asc, uint64_t lba) {
  gt_check(cmd, &(gt_sense){.key = GT_KEY_MEDIUM_ERROR, .asc = asc, .has_information = true, .information = lba});
}

void gt_disk_read_failed(gt_cmd *cmd, int error, uint64_t lba) {
  if (error == -EIO || error == -ENODATA || error == -EILSEQ || error == -EUCLEAN)
    return medium_error(cmd, GT_ASC_UNRECOVERED_READ_ERROR, lba);
  gt_sense gone = {.key = GT_KEY_ILLEGAL_REQUEST, .asc = GT_ASC_LBA_OUT_OF_RANGE, .has_information = true};
  gone.information = lba;
  if (error == -ENXIO) return gt_check(cmd, &gone);
  gt_fail(cmd, GT_KEY_HARDWARE_ERROR, GT_ASC_INTERNAL_TARGET_FAILURE);
}

/* No room for a block of a thin disk is DATA PROTECT, SPACE ALLOCATION FAILED WRITE PROTECT (SBC-3
 * 4.7.3.6): nothing is wrong with the medium, and writing again later may go well. */
void gt_disk_write_failed(gt_cmd *cmd, int error, uint64_t lba) {
  if (error == -ENOSPC || error == -EDQUOT || error == -EFBIG)
    return gt_fail(cmd, GT_KEY_DATA_PROTECT, GT_ASC_SPACE_ALLOCATION_FAILED);
  if (error == -EIO) return medium_error(cmd, GT_ASC_WRITE_ERROR, lba);
  if (error == -ECONNABORTED) return gt_fail(cmd, GT_KEY_ABORTED_COMMAND, GT_ASC_COMMUNICATION_FAILURE);
  gt_fail(cmd, GT_KEY_HARDWARE_ERROR, GT_ASC_INTERNAL_TARGET_FAILURE);
}

void gt_disk_settle(gt_cmd *cmd, bool force) {
  gt_disk *disk = gt_disk_of(cmd);
  if (!force && !atomic_load_explicit(&disk->write_through, memory_order_relaxed)) return;
  int failed = 0;
  if (disk->cache && gt_disk_cache_destage(disk, 0, disk->blocks)) atomic_store(&disk->sync_failed, true);
  while ((failed = fdatasync(disk->fd)) && errno == EINTR)
    continue;
  if (failed) atomic_store(&disk->sync_failed, true);
  if (!atomic_load(&disk->sync_failed)) return;
  gt_fail(cmd, GT_KEY_MEDIUM_ERROR, GT_ASC_WRITE_ERROR);
}

static const uint8_t *sent(gt_cmd *cmd, uint64_t bytes, uint32_t unit) {
  static const uint8_t nothing;
  uint64_t offered = gt_offered(cmd);
  gt_moves(cmd, bytes);
  bool wrong_way = bytes && cmd->io->dir == GT_DIR_IN;
  if (wrong_way || (offered < bytes && offered % unit)) {
    gt_fail(cmd, GT_KEY_ILLEGAL_REQUEST, GT_ASC_INVALID_FIELD_IN_UNIT);
    return NULL;
  }
  cmd->moved = offered < bytes ? offered : bytes;
  return offered ? cmd->io->data : &nothing;
}

/* An initiator that sends less than its CDB says gets the rest as a residual overflow (RFC 7143 11.4.5.2), and what it
 * did send is used. Less than a whole number of blocks is no data for a disk, and neither is room for data-in. */
const uint8_t *gt_disk_data_out(gt_cmd *cmd, uint64_t bytes) { return sent(cmd, bytes, gt_disk_of(cmd)->block_bytes); }

void gt_disk_read(gt_cmd *cmd) {
  gt_disk *disk = gt_disk_of(cmd);
  gt_span span;
  if (!gt_disk_checked_span(cmd, disk->max_transfer_blocks, &span)) return;
  uint64_t bytes = span.blocks * disk->block_bytes, done;
  uint64_t wanted = bytes < gt_room(cmd) ? bytes : gt_room(cmd);
  gt_moves(cmd, bytes);
  uint64_t held = gt_disk_hold(disk, &span, false);
  int error = gt_disk_pread(disk, cmd->io->data, wanted, span.lba * disk->block_bytes, &done);
  gt_disk_let_go(disk, held);
  cmd->moved = done;
  if (!error) return;
  gt_moves(cmd, done);
  gt_disk_read_failed(cmd, error, span.lba + done / disk->block_bytes);
}

/* The beginning of a block, whose rest stays as it is. Nobody else may write on it meanwhile. */
static int write_part(const gt_disk *disk, const uint8_t *data, uint64_t bytes, uint64_t offset) {
  uint8_t block[GT_DISK_BLOCK_MAX];
  uint64_t done;
  int error = gt_disk_pread(disk, block, disk->block_bytes, offset, &done);
  if (error) return error;
  memcpy(block, data, bytes);
  return gt_disk_pwrite(disk, block, disk->block_bytes, offset, &done);
}

static int write_sent(const gt_disk *disk, const uint8_t *data, uint64_t bytes, uint64_t offset, uint64_t *done) {
  uint64_t part = bytes % disk->block_bytes;
  int error = gt_disk_pwrite(disk, data, bytes - part, offset, done);
  return error || !part ? error : write_part(disk, data + *done, part, offset + *done);
}

/* The same of data that is not all there yet: what is goes into the file, the rest is received into it; where that does
 * not work, it goes by the buffer of the command, as a part of a block always does. */
static int write_taken(gt_cmd *cmd, const uint8_t *data, uint64_t offset, uint64_t *done) {
  gt_disk *disk = gt_disk_of(cmd);
  gt_io *io = cmd->io;
  uint64_t bytes = cmd->moved, there = io->data_len - io->absent, more = 0;
  if (there >= bytes || bytes % disk->block_bytes) {
    if (gt_take_rest(io)) return -ECONNABORTED;
    return write_sent(disk, data, bytes, offset, done);
  }
  int error = gt_disk_pwrite(disk, data, there, offset, done);
  if (error) return error;
  gt_disk_map_take(disk, io, bytes - there, offset + there, &more);
  *done += more;
  if (*done == bytes) return 0;
  if (gt_take_rest(io)) return -ECONNABORTED;
  error = gt_disk_pwrite(disk, data + *done, bytes - *done, offset + *done, &more);
  *done += more;
  return error;
}

/* Writes the span, or what of it was sent (then the span is that), and says how it went; the answer is made here only
 * when it failed. unit: what was sent has to be a multiple of that; 1: a part of a block is written, too, so that what
 * is answered with GOOD and a residual overflow is there. */
static bool write_span(gt_cmd *cmd, gt_span *span, uint32_t unit) {
  gt_disk *disk = gt_disk_of(cmd);
  uint64_t done = 0;
  const uint8_t *data = sent(cmd, span->blocks * disk->block_bytes, unit);
  if (!data) return false;
  bool in_part = cmd->moved % disk->block_bytes;
  span->blocks = cmd->moved / disk->block_bytes + in_part;
  uint64_t held = gt_disk_hold(disk, span, in_part);
  bool ready = gt_disk_still_ready(cmd);
  int error = ready ? write_taken(cmd, data, span->lba * disk->block_bytes, &done) : 0;
  gt_disk_let_go(disk, held);
  if (!error) return ready;
  gt_disk_write_failed(cmd, error, span->lba + done / disk->block_bytes);
  return false;
}

void gt_disk_write(gt_cmd *cmd) {
  gt_span span;
  if (!gt_disk_checked_span(cmd, gt_disk_of(cmd)->max_transfer_blocks, &span)) return;
  if (!span.blocks || !write_span(cmd, &span, 1)) return;
  gt_disk_settle(cmd, cmd->cdb[0] != GT_WRITE_6 && cmd->cdb[1] & DPO_FUA_FUA);
}

int gt_disk_compare(const gt_disk *disk, const uint8_t *want, uint64_t period, uint64_t bytes, uint64_t offset,
                    uint64_t *done) {
  uint8_t scratch[SCRATCH_BYTES];
  uint64_t got;
  for (*done = 0; *done < bytes;) {
    uint64_t at = *done % period, piece = period - at;
    if (piece > sizeof scratch) piece = sizeof scratch;
    int error = gt_disk_pread(disk, scratch, piece, offset + *done, &got);
    if (error) return *done += got, error;
    if (memcmp(scratch, want + at, piece) != 0) {
      for (got = 0; scratch[got] == want[at + got]; got++)
        continue;
      *done += got;
      return -EILSEQ;
    }
    *done += piece;
  }
  return 0;
}

/* Reads every block, to see that it can be read. */
static int medium_verify(const gt_disk *disk, uint64_t bytes, uint64_t offset, uint64_t *done) {
  uint8_t scratch[SCRATCH_BYTES];
  uint64_t got;
  for (*done = 0; *done < bytes; *done += got) {
    uint64_t piece = bytes - *done < sizeof scratch ? bytes - *done : sizeof scratch;
    int error = gt_disk_pread(disk, scratch, piece, offset + *done, &got);
    if (error) return *done += got, error;
  }
  return 0;
}

/* BYTCHK(2-1), SBC-3 5.27: 0 medium only, 1 against the data-out buffer, 3 against its one block. */
static void verify_span(gt_cmd *cmd, const gt_span *span, unsigned bytchk) {
  gt_disk *disk = gt_disk_of(cmd);
  uint64_t bytes = span->blocks * disk->block_bytes, offset = span->lba * disk->block_bytes, done;
  int error;
  const uint8_t *want = cmd->io->data;
  uint64_t period = bytchk == 3 ? disk->block_bytes : bytes;
  if (bytchk && gt_offered(cmd) < period) return gt_fail(cmd, GT_KEY_ILLEGAL_REQUEST, GT_ASC_INVALID_FIELD_IN_CDB);
  uint64_t held = gt_disk_hold(disk, span, false);
  if (bytchk)
    error = gt_disk_compare(disk, want, period, bytes, offset, &done);
  else
    error = medium_verify(disk, bytes, offset, &done);
  gt_disk_let_go(disk, held);
  if (error == -EILSEQ) return gt_fail(cmd, GT_KEY_MISCOMPARE, GT_ASC_MISCOMPARE);
  if (error) gt_disk_read_failed(cmd, error, span->lba + done / disk->block_bytes);
}

void gt_disk_verify(gt_cmd *cmd) {
  gt_span span;
  unsigned bytchk = cmd->cdb[1] >> 1 & 0x03;
  if (bytchk == 2) return gt_fail_field(cmd, 1, 2);
  if (!gt_disk_checked_span(cmd, gt_disk_of(cmd)->max_transfer_blocks, &span) || !span.blocks) return;
  if (bytchk) gt_moves(cmd, bytchk == 3 ? gt_disk_of(cmd)->block_bytes : span.blocks * gt_disk_of(cmd)->block_bytes);
  verify_span(cmd, &span, bytchk);
}

void gt_disk_write_and_verify(gt_cmd *cmd) {
  gt_span span;
  unsigned bytchk = cmd->cdb[1] >> 1 & 0x03;
  if (bytchk > 1) return gt_fail_field(cmd, 1, 2);
  if (!gt_disk_checked_span(cmd, gt_disk_of(cmd)->max_transfer_blocks, &span) || !span.blocks) return;
  if (!write_span(cmd, &span, gt_disk_of(cmd)->block_bytes) || !span.blocks) return;
  /* Verifying what only lies in a cache would verify nothing. */
  gt_disk_settle(cmd, true);
  if (cmd->io->status == GT_STATUS_GOOD) verify_span(cmd, &span, bytchk);
}

/* A length of zero means all blocks from the LBA on; in a file, everything is synchronized at once. IMMED
 * is answered when the work is done, which is always allowed. */
void gt_disk_synchronize(gt_cmd *cmd) {
  gt_span span;
  if (gt_disk_checked_span(cmd, UINT64_MAX, &span)) gt_disk_settle(cmd, true);
}

void gt_disk_pre_fetch(gt_cmd *cmd) {
  gt_disk *disk = gt_disk_of(cmd);
  gt_span span;
  if (!gt_disk_checked_span(cmd, UINT64_MAX, &span)) return;
  posix_fadvise(disk->fd, (off_t)(span.lba * disk->block_bytes), (off_t)(span.blocks * disk->block_bytes),
                POSIX_FADV_WILLNEED);
  /* GOOD and not CONDITION MET: nobody knows that all of it stays in the cache (SBC-3 5.12). */
}
