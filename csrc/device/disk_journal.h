/* The journal of WRITE ATOMIC: a file beside the disk's, there only after the first such command. */
#ifndef GT_DISK_JOURNAL_H
#define GT_DISK_JOURNAL_H

#include "device/disk.h"

/* Finishes what the journal beside `path` still holds. 0 or a negative errno. */
int gt_disk_journal_make(gt_disk *disk, const char *path);
void gt_disk_journal_free(gt_disk *disk);

void gt_disk_write_atomic(gt_cmd *cmd);

#endif
