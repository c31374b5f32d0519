/* What every transport shares: one command run to its end. */
#include "transport/lu.h"

#include <errno.h>

static void finished(gt_io *io) { *(bool *)io->owner = true; }

/* Other commands outstanding on the LU complete here as well, through their own done. */
int gt_lu_execute(gt_lu *lu, gt_io *io) {
  bool over = false;
  void (*done)(gt_io *) = io->done;
  void *owner = io->owner;
  io->done = finished;
  io->owner = &over;
  int result = gt_lu_submit(lu, io);
  while (result == 0 && !over) {
    /* A transport that can no longer wait must be made to give the command back: its memory is the
     * caller's, so returning without it is not possible. */
    if (gt_lu_poll(lu, -1) < 0 && !over) gt_lu_abort(lu, io);
  }
  io->done = done;
  io->owner = owner;
  return result;
}
