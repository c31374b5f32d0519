/* What an answer means for the command it ends: a pure function over role, outcome, status and sense. */
#ifndef GT_RETRY_H
#define GT_RETRY_H

#include "../core/sense.h"
#include "../transport/lu.h"

/* What a command is for decides what may be done again. Disk transfers and absolute positioning change
 * nothing when repeated; tape data and filemarks do. */
typedef enum gt_role {
  GT_ROLE_DISK_READ,
  GT_ROLE_DISK_WRITE, /* and SYNCHRONIZE CACHE */
  GT_ROLE_TAPE_READ,
  GT_ROLE_TAPE_WRITE,  /* and WRITE FILEMARKS, relative SPACE */
  GT_ROLE_TAPE_LOCATE, /* LOCATE, REWIND */
  GT_ROLE_TAPE_QUERY,  /* READ POSITION */
} gt_role;

typedef enum gt_verdict {
  GT_FINE,          /* done as asked */
  GT_RETRY_NOW,     /* the device did not do it and says why; the next try may succeed at once */
  GT_RETRY_LATER,   /* the device is busy or becoming ready: wait, then try again */
  GT_RETRY_LINK,    /* the answer was lost; the command may be repeated, after a pause */
  GT_HARD,          /* not to be mended here */
  GT_MEDIUM,        /* disk read: these blocks cannot be read */
  GT_UNSUPPORTED,   /* ILLEGAL REQUEST: the device does not know the command or a field of it */
  GT_FILEMARK,      /* tape: stopped at a filemark, which is behind us now */
  GT_SHORT,         /* tape read: block of another length than asked (ILI) */
  GT_DATA_END,      /* tape read: end of data or of medium */
  GT_EARLY_WARNING, /* tape write: done, and the end of the medium is near */
  GT_NO_ROOM,       /* tape write: VOLUME OVERFLOW */
} gt_verdict;

/* io: ended. *sense gets its sense data, parsed (all zero where there are none). */
gt_verdict gt_judge(gt_role role, const gt_io *io, gt_sense *sense);

#endif
