/* Provisioning: WRITE SAME, UNMAP and GET LBA STATUS. An unmapped block is a hole in the file; it reads as
 * zeros (LBPRZ), and a part of a file system block that cannot become a hole is zeroed instead. */
#include "device/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/bytes.h"
#include "device/disk_cache.h"

enum { SAME_VECTORS = 256, ANCHOR = 0x10, UNMAP = 0x08, NDOB = 0x01 };
enum { STATUS_MAPPED = 0, STATUS_DEALLOCATED = 1, STATUS_DESCRIPTORS = 64 };

/* Writes `block` to every block of the span, many at a time; 0 or a negative errno. */
static int write_repeated(const gt_disk *disk, const gt_span *span, const uint8_t *block, uint64_t *done) {
  struct iovec vectors[SAME_VECTORS];
  uint64_t bytes = span->blocks * disk->block_bytes;
  *done = 0;
  int error = disk->cache ? gt_disk_cache_destage(disk, span->lba, span->blocks) : 0;
  if (error) return error;
  while (*done < bytes) {
    /* A short write may end inside a block: the first vector takes up its rest. */
    uint64_t into = *done % disk->block_bytes, left = bytes - *done;
    int count = 0;
    for (uint64_t set = 0; count < SAME_VECTORS && set < left; count++) {
      uint64_t skip = count ? 0 : into;
      vectors[count] = (struct iovec){(uint8_t *)block + skip, disk->block_bytes - skip};
      set += vectors[count].iov_len;
    }
    ssize_t put = pwritev(disk->fd, vectors, count, (off_t)(span->lba * disk->block_bytes + *done));
    if (put > 0)
      *done += (uint64_t)put;
    else if (put == 0)
      return -ENOSPC;
    else if (errno != EINTR)
      return -errno;
  }
  return 0;
}

/* Makes a hole; where the file system has none, writes zeros. EINVAL is a block device whose own blocks are larger than
 * ours: it has holes, but not of this size. */
int gt_disk_make_hole(const gt_disk *disk, const gt_span *span, uint64_t *done) {
  static const uint8_t zeros[4096];
  *done = 0;
  if (!span->blocks) return 0;
  int failed = disk->cache ? gt_disk_cache_destage(disk, span->lba, span->blocks) : 0;
  if (failed) return failed;
  do {
    failed = fallocate(disk->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(span->lba * disk->block_bytes),
                       (off_t)(span->blocks * disk->block_bytes));
  } while (failed && errno == EINTR);
  if (!failed) return 0;
  if (errno != EOPNOTSUPP && errno != ENOSYS && errno != ENODEV && errno != EINVAL) return -errno;
  return write_repeated(disk, span, zeros, done);
}

static bool is_zero(const uint8_t *data, size_t length) {
  return !length || (!data[0] && memcmp(data, data + 1, length - 1) == 0);
}

static unsigned same_length_at(const uint8_t *cdb) { return cdb[0] == GT_WRITE_SAME_16 ? 10 : 7; }

/* SBC-3 5.47, 5.48. A block other than zeros with UNMAP set is written: what is read back must be what was
 * sent (4.7.3.4.3). */
void gt_disk_write_same(gt_cmd *cmd) {
  static const uint8_t zeros[4096];
  gt_disk *disk = gt_disk_of(cmd);
  gt_span span;
  uint64_t done;
  uint8_t bits = cmd->cdb[1];
  if (bits & ANCHOR) return gt_fail_field(cmd, 1, 4); /* no anchored blocks: ANC_SUP is zero */
  if (bits & UNMAP && !disk->thin) return gt_fail_field(cmd, 1, 3);
  if (!gt_disk_checked_span(cmd, GT_WRITE_SAME_BLOCKS, &span)) return;
  if (!span.blocks) return gt_fail_field(cmd, same_length_at(cmd->cdb), -1); /* WSNZ */
  bool given = !(bits & NDOB);
  if (gt_offered(cmd) != (given ? disk->block_bytes : 0)) return gt_fail_field(cmd, same_length_at(cmd->cdb), -1);
  gt_moves(cmd, gt_offered(cmd));
  const uint8_t *block = given ? cmd->io->data : zeros;
  bool punch = bits & UNMAP && is_zero(block, disk->block_bytes);
  cmd->moved = gt_offered(cmd);
  uint64_t held = gt_disk_hold(disk, &span, false);
  int error = 0;
  if (gt_disk_still_ready(cmd))
    error = punch ? gt_disk_make_hole(disk, &span, &done) : write_repeated(disk, &span, block, &done);
  gt_disk_let_go(disk, held);
  if (error) return gt_disk_write_failed(cmd, error, span.lba + done / disk->block_bytes);
  if (cmd->io->status == GT_STATUS_GOOD) gt_disk_settle(cmd, false);
}

/* Judges every block descriptor (SBC-3 5.35) before the first block goes. False: answered. */
static bool unmap_list_is_sound(gt_cmd *cmd, const uint8_t *list, size_t count) {
  const gt_disk *disk = gt_disk_of(cmd);
  uint64_t total = 0;
  if (count > GT_UNMAP_DESCRIPTORS) return gt_fail_parameter(cmd, 2, -1), false;
  for (size_t i = 0; i < count; i++) {
    const uint8_t *descriptor = list + 8 + 16 * i;
    uint64_t lba = gt_load_be64(descriptor), blocks = gt_load_be32(descriptor + 8);
    bool there = blocks ? gt_disk_has(disk, lba, blocks) : lba <= disk->blocks; /* nothing may be at the very end */
    if (!there) return gt_fail(cmd, GT_KEY_ILLEGAL_REQUEST, GT_ASC_LBA_OUT_OF_RANGE), false;
    total += blocks;
    if (total > GT_UNMAP_BLOCKS) return gt_fail_parameter(cmd, (unsigned)(16 + 16 * i), -1), false;
  }
  return true;
}

void gt_disk_unmap(gt_cmd *cmd) {
  gt_disk *disk = gt_disk_of(cmd);
  size_t length = gt_load_be16(cmd->cdb + 7);
  if (cmd->cdb[1] & 0x01) return gt_fail_field(cmd, 1, 0); /* ANCHOR */
  if (!length) return;
  if (length < 8) return gt_fail(cmd, GT_KEY_ILLEGAL_REQUEST, GT_ASC_PARAMETER_LIST_LENGTH);
  const uint8_t *list = gt_parameters(cmd, length);
  if (!list) return;
  size_t descriptors = gt_load_be16(list + 2);
  if (descriptors > length - 8) return gt_fail(cmd, GT_KEY_ILLEGAL_REQUEST, GT_ASC_PARAMETER_LIST_LENGTH);
  size_t count = descriptors / 16;
  if (!unmap_list_is_sound(cmd, list, count)) return;
  for (size_t i = 0; i < count && cmd->io->status == GT_STATUS_GOOD; i++) {
    uint64_t done;
    gt_span span = {gt_load_be64(list + 8 + 16 * i), gt_load_be32(list + 16 + 16 * i)};
    uint64_t held = gt_disk_hold(disk, &span, false);
    int error = gt_disk_still_ready(cmd) ? gt_disk_make_hole(disk, &span, &done) : 0;
    gt_disk_let_go(disk, held);
    if (error) gt_disk_write_failed(cmd, error, span.lba + done / disk->block_bytes);
  }
  if (cmd->io->status == GT_STATUS_GOOD) gt_disk_settle(cmd, false);
}

/* How many blocks from lba on have the same provisioning status, and which. A block that lies partly in a
 * hole is mapped. */
static uint64_t same_status(const gt_disk *disk, uint64_t lba, uint8_t *status) {
  uint64_t offset = lba * disk->block_bytes, end = disk->blocks * disk->block_bytes;
  *status = STATUS_MAPPED;
  if (!disk->thin || disk->block_special) return disk->blocks - lba;
  off_t data = lseek(disk->fd, (off_t)offset, SEEK_DATA);
  if (data < 0 && errno != ENXIO) return disk->blocks - lba;
  uint64_t hole_end = data < 0 || (uint64_t)data > end ? end : (uint64_t)data;
  if (hole_end - offset >= disk->block_bytes) {
    *status = STATUS_DEALLOCATED;
    return (hole_end - offset) / disk->block_bytes;
  }
  off_t hole = lseek(disk->fd, (off_t)hole_end, SEEK_HOLE);
  uint64_t data_end = hole < 0 || (uint64_t)hole > end ? end : (uint64_t)hole;
  uint64_t blocks = (data_end - offset + disk->block_bytes - 1) / disk->block_bytes;
  return blocks ? blocks : 1;
}

/* SBC-3 5.5. Fewer descriptors than fit are always allowed. */
void gt_disk_lba_status(gt_cmd *cmd) {
  gt_disk *disk = gt_disk_of(cmd);
  uint8_t data[8 + 16 * STATUS_DESCRIPTORS] = {0};
  uint64_t lba = gt_load_be64(cmd->cdb + 2);
  uint32_t allocation = gt_load_be32(cmd->cdb + 10);
  if (!gt_disk_has(disk, lba, 1)) return gt_fail(cmd, GT_KEY_ILLEGAL_REQUEST, GT_ASC_LBA_OUT_OF_RANGE);
  if (disk->cache) gt_disk_cache_destage(disk, 0, disk->blocks); /* what fails is told by the next synchronization */
  size_t at = 8;
  while (lba < disk->blocks && at + 16 <= sizeof data && (at == 8 || at + 16 <= allocation)) {
    uint64_t blocks = same_status(disk, lba, &data[at + 12]);
    if (blocks > UINT32_MAX) blocks = UINT32_MAX;
    gt_store_be64(data + at, lba);
    gt_store_be32(data + at + 8, (uint32_t)blocks);
    lba += blocks;
    at += 16;
  }
  gt_store_be32(data, (uint32_t)(at - 4));
  gt_reply(cmd, data, at, allocation);
}
