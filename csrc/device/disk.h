/* The emulated disk, shared by its files: disk.c (life, identification, table), disk_io.c (read, write,
 * verify), disk_atomic.c (COMPARE AND WRITE, ORWRITE), disk_thin.c (WRITE SAME, UNMAP, GET LBA STATUS). */
#ifndef GT_DISK_H
#define GT_DISK_H

#include "device/impl.h"

struct gt_disk_cache;

typedef struct gt_disk {
  gt_device base;
  int fd;
  uint32_t block_bytes;
  uint64_t blocks;
  uint32_t max_transfer_blocks;
  bool thin, read_only, block_special;
  atomic_bool write_through; /* WCE is zero */
  atomic_bool stopped;       /* START STOP UNIT */
  /* A failed fdatasync is told once by the kernel, and what was lost stays lost: from then on no
   * synchronization succeeds. */
  atomic_bool sync_failed;
  struct gt_disk_cache *cache; /* NULL: blocks go into the file at once */
  /* Commands that change blocks hold it shared, read-modify-write commands alone; plain reads never. */
  pthread_rwlock_t atomicity;
} gt_disk;

/* Largest WRITE SAME and UNMAP, bytes; COMPARE AND WRITE takes 255 blocks. */
enum { GT_WRITE_SAME_BYTES = 256 << 20, GT_UNMAP_DESCRIPTORS = 256 };
#define GT_UNMAP_BYTES (1ull << 40)

typedef struct gt_span {
  uint64_t lba;
  uint64_t blocks;
} gt_span;

static inline gt_disk *gt_disk_of(const gt_cmd *cmd) { return (gt_disk *)cmd->device; }

/* LBA and number of blocks of a CDB as its format has them (SPC-4 4.2.5). */
gt_span gt_disk_span(const uint8_t *cdb);
/* The same, checked: the blocks exist and are at most `most`. False: answered. */
bool gt_disk_checked_span(gt_cmd *cmd, uint64_t most, gt_span *span);
bool gt_disk_has(const gt_disk *disk, uint64_t lba, uint64_t blocks);

/* Whole transfers of blocks: 0, or a negative errno with *done = bytes moved before it. The first two by way of the
 * volatile cache, if the disk has one; the others straight from and to the file. */
int gt_disk_pread(const gt_disk *disk, void *data, uint64_t bytes, uint64_t offset, uint64_t *done);
int gt_disk_pwrite(const gt_disk *disk, const void *data, uint64_t bytes, uint64_t offset, uint64_t *done);
int gt_disk_file_read(const gt_disk *disk, void *data, uint64_t bytes, uint64_t offset, uint64_t *done);
int gt_disk_file_write(const gt_disk *disk, const void *data, uint64_t bytes, uint64_t offset, uint64_t *done);
/* Compares what is on disk with `want`, of which the first `period` bytes repeat. 0, -EILSEQ (*done =
 * offset of the first difference) or another negative errno. */
int gt_disk_compare(const gt_disk *disk, const uint8_t *want, uint64_t period, uint64_t bytes, uint64_t offset,
                    uint64_t *done);
/* Answers for a failed read, write or synchronization; lba: first block that is not well. */
void gt_disk_read_failed(gt_cmd *cmd, int error, uint64_t lba);
void gt_disk_write_failed(gt_cmd *cmd, int error, uint64_t lba);
/* Makes everything written before it durable if `force`, or if the disk writes through. */
void gt_disk_settle(gt_cmd *cmd, bool force);
/* Data-out of `bytes` that the command writes, or NULL: answered. */
const uint8_t *gt_disk_data_out(gt_cmd *cmd, uint64_t bytes);

void gt_disk_read(gt_cmd *cmd);
void gt_disk_write(gt_cmd *cmd);
void gt_disk_verify(gt_cmd *cmd);
void gt_disk_write_and_verify(gt_cmd *cmd);
void gt_disk_synchronize(gt_cmd *cmd);
void gt_disk_pre_fetch(gt_cmd *cmd);
void gt_disk_compare_and_write(gt_cmd *cmd);
void gt_disk_orwrite(gt_cmd *cmd);
void gt_disk_write_same(gt_cmd *cmd);
void gt_disk_unmap(gt_cmd *cmd);
void gt_disk_lba_status(gt_cmd *cmd);
void gt_disk_read_capacity_10(gt_cmd *cmd);
void gt_disk_read_capacity_16(gt_cmd *cmd);
void gt_disk_start_stop(gt_cmd *cmd);
extern const gt_device_class gt_disk_class;

#endif
