/* SANITIZE of a disk (SBC-3 4.11, 5.24): a thread of its own wipes every block. What is to be done is recorded beside
 * the file, on stable storage, before it begins, and the record goes only when it is done: after a power loss the
 * sanitize begins anew with the disk. A record that tells of a failure keeps the disk in failure mode. */
#ifndef GT_DISK_SANITIZE_H
#define GT_DISK_SANITIZE_H

#include "device/disk.h"

enum gt_sanitize_state { GT_SANE = 0, GT_SANITIZING, GT_SANITIZE_FAILED };

/* Makes the state and goes on with what the record beside `path` says. 0 or a negative errno; *why, a sentence. */
int gt_sanitize_make(gt_disk *disk, const char *path, const char **why);
/* Stops at the next piece; the record stays. */
void gt_sanitize_free(gt_disk *disk);
/* What TEST UNIT READY says because of it; false: nothing. */
bool gt_sanitize_condition(const gt_disk *disk, gt_sense *out);

void gt_sanitize_overwrite(gt_cmd *cmd);
void gt_sanitize_block_erase(gt_cmd *cmd);
void gt_sanitize_exit_failure(gt_cmd *cmd);

#endif
