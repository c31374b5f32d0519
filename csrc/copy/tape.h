/* Commands of a tape drive (SSC-4) that the engine runs to their end before it goes on. On anything but
 * GT_FINE lane->single is the command that failed. */
#ifndef GT_COPY_TAPE_H
#define GT_COPY_TAPE_H

#include "lane.h"

/* To logical object `object` of partition 0: LOCATE(16), else LOCATE(10), else REWIND and SPACE. */
gt_verdict gt_tape_locate(gt_lane *lane, uint8_t lu, uint64_t object);
/* code: 0 blocks, 1 filemarks, 3 end of data. */
gt_verdict gt_tape_space(gt_lane *lane, uint8_t lu, gt_role role, uint8_t code, int64_t count);
/* count 0: everything that was written is on the medium when it returns. */
gt_verdict gt_tape_filemarks(gt_lane *lane, uint8_t lu, uint32_t count);
/* Logical object number where the next command begins. *known: false where the drive does not tell. */
gt_verdict gt_tape_position(gt_lane *lane, uint8_t lu, uint64_t *object, bool *known);

/* CDBs of data transfer in variable-block mode: FIXED is 0, the length is one block. */
void gt_tape_read6(gt_io *io, void *data, uint32_t bytes);
void gt_tape_write6(gt_io *io, void *data, uint32_t bytes);

#endif
