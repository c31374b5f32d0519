/* A volatile write cache (SBC-3 4.15): blocks that were written and not synchronized, in memory only. Without one a
 * disk's cache is the host's, which outlives the process; with one, kill -9 of the process is what a power loss is to a
 * drive. Each block has one place that it may lie in, and is written out when another one wants it: so what survives
 * is no prefix of what was written, as with a real drive. Made when the disk is, of a fixed size. Any thread. */
#ifndef GT_DISK_CACHE_H
#define GT_DISK_CACHE_H

#include "device/disk.h"

/* 0 or a negative errno. */
int gt_disk_cache_make(gt_disk *disk);
/* Writes out what is there, as a disk does that is switched off in order. */
void gt_disk_cache_free(gt_disk *disk);
/* As gt_disk_file_read and gt_disk_file_write, which they stand in front of. */
int gt_disk_cache_read(const gt_disk *disk, void *data, uint64_t bytes, uint64_t offset, uint64_t *done);
int gt_disk_cache_write(const gt_disk *disk, const void *data, uint64_t bytes, uint64_t offset, uint64_t *done);
/* Writes the blocks of a span into the file, where they are not in it yet. 0 or the first errno; what failed stays. */
int gt_disk_cache_destage(const gt_disk *disk, uint64_t lba, uint64_t blocks);

#endif
