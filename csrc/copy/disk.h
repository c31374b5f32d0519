/* CDBs of a disk (SBC-3) in their 16-byte forms. */
#ifndef GT_COPY_DISK_H
#define GT_COPY_DISK_H

#include <string.h>

#include "../core/bytes.h"
#include "../core/scsi.h"
#include "../transport/lu.h"

/* opcode: GT_READ_16 or GT_WRITE_16. */
static inline void gt_disk_transfer16(gt_io *io, uint8_t opcode, uint64_t lba, uint32_t blocks, void *data,
                                      uint32_t bytes) {
  memset(io->cdb, 0, sizeof io->cdb);
  io->cdb[0] = opcode;
  gt_store_be64(io->cdb + 2, lba);
  gt_store_be32(io->cdb + 10, blocks);
  io->cdb_len = 16;
  io->dir = opcode == GT_READ_16 ? GT_DIR_IN : GT_DIR_OUT;
  io->data = data;
  io->data_len = bytes;
}

#endif
