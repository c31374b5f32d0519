/* The object buffer of a tape drive (SSC-4 4.2.14): what was written and is not on the medium yet. Without one, records
 * go into the image's file at once, and only a power loss of the machine can take them away; with one they are lost by
 * kill -9 as they are by a drive that is switched off, unless a synchronize operation came before. Made when the drive
 * is, of a fixed size. The tape's lock is held around every call. */
#ifndef GT_WRITE_BUFFER_H
#define GT_WRITE_BUFFER_H

#include <sys/uio.h>

#include "device/cartridge.h"

enum { GT_WRITE_BUFFER_BYTES = 20 << 20 }; /* more than the largest block with its framing */

typedef struct gt_write_buffer {
  gt_tap_place base; /* where the first byte in the buffer goes */
  uint64_t used;
  bool cut; /* the image is to be cut off at the base first */
  uint8_t bytes[GT_WRITE_BUFFER_BYTES];
} gt_write_buffer;

/* Is there anything that is not on the medium? */
bool gt_write_buffer_holds(const gt_write_buffer *buffer);
/* Before a write at the cartridge's head; `cut`: the image goes on behind it. What is buffered for another place is
 * written out. 0 or a negative errno. */
int gt_write_buffer_begin(gt_cartridge *cartridge, bool cut);
/* Takes all of the vectors or nothing; writes out what is there when there is no room. 0 or a negative errno; *done =
 * bytes taken. */
int gt_write_buffer_put(gt_cartridge *cartridge, const struct iovec *vectors, int count, uint64_t *done);
/* Into the file, not yet onto stable storage. On an error what did not get there stays in the buffer. */
int gt_write_buffer_drain(gt_cartridge *cartridge);

#endif
