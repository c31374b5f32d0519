/* The emulated disk, shared by its files: disk.c (life, identification, table), disk_io.c (read, write,
 * verify), disk_hold.c (who may touch which blocks), disk_atomic.c (COMPARE AND WRITE, ORWRITE), disk_journal.c (WRITE
 * ATOMIC), disk_thin.c (WRITE SAME, UNMAP, GET LBA STATUS), disk_sanitize.c, disk_report.c (capacity, limits, logs,
 * START STOP UNIT). */
#ifndef GT_DISK_H
#define GT_DISK_H

#include "device/impl.h"

typedef struct gt_disk_journal gt_disk_journal;
typedef struct gt_sanitize gt_sanitize;
struct gt_disk_cache;
enum { GT_DISK_STRIPES = 64, GT_DISK_BLOCK_MAX = 4096 };

typedef struct gt_disk {
  gt_device base;
  int fd;
  uint32_t block_bytes;
  uint64_t blocks;
  uint32_t max_transfer_blocks;
  uint32_t physical_bytes;
  bool thin, read_only, block_special;
  atomic_bool write_through; /* WCE is zero */
  atomic_bool stopped;       /* START STOP UNIT */
  atomic_bool ejected;       /* START STOP UNIT with LOEJ */
  atomic_bool protected;     /* SWP of the control page */
  /* A failed fdatasync is told once by the kernel, and what was lost stays lost: from then on no
   * synchronization succeeds. */
  atomic_bool sync_failed;
  struct gt_disk_cache *cache; /* NULL: blocks go into the file at once */
  gt_disk_journal *journal;    /* NULL: a block device is behind it, and so for the next */
  gt_sanitize *sanitize;
  uint8_t *map; /* the file, where data may be received to (disk_map.c); NULL: nowhere. Nothing here looks at it */
  size_t map_bytes;
  pthread_rwlock_t stripes[GT_DISK_STRIPES];
} gt_disk;

/* Largest WRITE SAME, WRITE ATOMIC and UNMAP; COMPARE AND WRITE takes 255 blocks. */
enum { GT_WRITE_SAME_BLOCKS = 65535, GT_ATOMIC_BYTES = 1 << 20, GT_UNMAP_DESCRIPTORS = 256, GT_UNMAP_BLOCKS = 1 << 20 };

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

/* Holds the stripes of a span, shared or alone, and says which; to be given back by let_go. */
uint64_t gt_disk_hold(gt_disk *disk, const gt_span *span, bool alone);
void gt_disk_let_go(gt_disk *disk, uint64_t held);
int gt_disk_stripes_make(gt_disk *disk);
void gt_disk_stripes_free(gt_disk *disk);
/* Asked while stripes are held: has no SANITIZE begun since the command was admitted? False: answered. */
bool gt_disk_still_ready(gt_cmd *cmd);

/* Data-out that is still in a socket goes into the file without a copy on its way, where that can be. Stripes held. */
void gt_disk_map_make(gt_disk *disk);
void gt_disk_map_free(gt_disk *disk);
/* Takes up to `bytes` of what is absent to `offset`; *done: so many are there. What is not is left absent. */
void gt_disk_map_take(const gt_disk *disk, gt_io *io, uint64_t bytes, uint64_t offset, uint64_t *done);

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
/* Makes blocks holes, or zeros where there are no holes. 0 or a negative errno. Stripes held. */
int gt_disk_make_hole(const gt_disk *disk, const gt_span *span, uint64_t *done);
/* Empties the journal, in which data may lie. */
int gt_disk_journal_wipe(gt_disk *disk);
/* Data-out of a command that moves `bytes` by its CDB, or NULL: answered. The residual says what the initiator sends
 * less; how much of that is a whole number of blocks is the caller's to ask (gt_offered). */
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
void gt_disk_read_defects_10(gt_cmd *cmd);
void gt_disk_read_defects_12(gt_cmd *cmd);
void gt_disk_log_sense(gt_cmd *cmd);
size_t gt_disk_vpd(gt_device *device, uint8_t page, uint8_t *out);
extern const gt_device_class gt_disk_class;

#endif
