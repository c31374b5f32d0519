/* The front end behind the kernel's own target (LIO): commands of every fabric that the kernel has (Fibre Channel,
 * SRP, vhost, the local loopback, its iSCSI) come here through TCM user backstores, one ring for each initiator and
 * device, and go the way of every task (csrc/plane/plane.h). An entry of a ring does not say who sent it; so whoever
 * makes the backstores gives each to one initiator alone, and says here which nexus that is.
 *
 * Threads: all functions are called by the supervisor, one controlling thread. One thread of its own, the home of the
 * nexuses, serves all rings. `notify` comes there, must not block, and says that gt_lio_take has something.
 *
 * A command that cannot be told from others that did or did not run (it was begun by a process that is no more, or
 * its ring is detached) is never carried out twice: it ends with ABORTED COMMAND, LOGICAL UNIT COMMUNICATION FAILURE,
 * as one does whose answer a transport lost, unless nothing changes by it: such a one runs again.
 *
 * Memory: a ring's commands and the pool for data in pieces are allocated at attach and open; nothing for a command. */
#ifndef GT_LIO_H
#define GT_LIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../plane/plane.h"

enum {
  GT_LIO_PIECES_MAX = 1024,      /* pieces of the data of one command */
  GT_LIO_TRANSFER_MAX = 16 << 20 /* bytes of it */
};

typedef struct gt_lio gt_lio;
typedef struct gt_lio_options {
  gt_plane *plane;
  uint32_t depth;      /* commands of one ring at a time, more are told TASK SET FULL; 0: 128 */
  uint64_t pool_bytes; /* data of commands that lie in pieces; 0: 64 MiB (address space until it is used) */
  void (*notify)(void *context);
  void *context;
} gt_lio_options;
int gt_lio_open(const gt_lio_options *options, gt_lio **out, char *err, size_t err_len);
/* Ends every task, joins the thread. Commands that nobody had begun stay in their rings. */
void gt_lio_close(gt_lio *lio);

/* ---- nexuses ---- */

/* Set its paths before a ring of it is attached. */
int gt_lio_open_nexus(gt_lio *lio, uint32_t *nexus);
/* Its rings are detached; GT_NOTE_NEXUS_CLOSED comes when it is no more. An unknown one: nothing happens. */
void gt_lio_close_nexus(gt_lio *lio, uint32_t nexus);

/* ---- rings ---- */

/* Where a ring lies and how its two ends wake each other. A real one is one file, three times. */
typedef struct gt_lio_ends {
  int memory, events, doorbell; /* lent: they are duplicated */
  uint64_t bytes;               /* of the mapping, exactly */
} gt_lio_ends;

/* Commands of this ring are tasks of that nexus to that LUN. sequential: its device has a position, so that reads are
 * not repeatable. What a predecessor left in the ring is dealt with first. */
int gt_lio_attach(gt_lio *lio, uint32_t nexus, uint32_t lun, bool sequential, const gt_lio_ends *ends, uint32_t *ring,
                  char *err, size_t err_len);
/* The same of a device node of userspace I/O: "/dev/uio3", and the size of its map 0. */
int gt_lio_attach_node(gt_lio *lio, uint32_t nexus, uint32_t lun, bool sequential, const char *node, uint64_t bytes,
                       uint32_t *ring, char *err, size_t err_len);
/* What runs is aborted and answered; what was not begun stays. GT_LIO_DETACHED comes, once for each ring, also of one
 * that close_nexus detached, and of one whose nexus is no more. An unknown one: nothing happens. */
void gt_lio_detach(gt_lio *lio, uint32_t ring);

enum gt_lio_event_kind {
  GT_LIO_DETACHED = 1, /* the ring's memory is not used any more; the number does not come again */
  GT_LIO_BROKEN,       /* the ring says what cannot be: nothing of it is served any more; detach it, reset it */
  GT_LIO_GONE          /* the kernel has taken the device away; detach it */
};
typedef struct gt_lio_event {
  uint8_t kind;
  uint32_t ring;
} gt_lio_event;
size_t gt_lio_take(gt_lio *lio, gt_lio_event *out, size_t max);

typedef struct gt_lio_stats {
  uint32_t rings;
  uint64_t commands, in_place, gathered; /* how many had their data in one piece, and in several */
  uint64_t aborted, full, inherited;     /* named by task management; TASK SET FULL; begun by a predecessor */
  uint64_t broken, starved;              /* starved: waited for memory of the pool */
} gt_lio_stats;
void gt_lio_stat(gt_lio *lio, gt_lio_stats *out);

#endif
