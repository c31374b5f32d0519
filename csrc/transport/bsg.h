/* Whether the kernel carries SCSI commands through io_uring to a /dev/bsg node: those do whose include/uapi/linux/bsg.h
 * has struct bsg_uring_cmd (drivers/scsi/scsi_bsg.c). It is asked for, so that it is known; commands go over sg. */
#ifndef GT_BSG_H
#define GT_BSG_H

/* 0: it does. -EOPNOTSUPP: this kernel's bsg does not. Else the negative errno that stood in the way: -ENOSYS or -EPERM
 * without io_uring, -ENOENT without the node. No command reaches the device. */
int gt_bsg_probe(const char *path);

#endif
