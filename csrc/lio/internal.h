/* Inside of the front end behind the kernel's target. Everything is touched by the home thread alone, except what is
 * marked (lock): under gt_lio.lock, by the supervisor too.
 *
 * Entries of a ring are *records* from when they were taken until the kernel has them back, in the order of the ring.
 * The first one is always of a command. An answer goes to the first entry, whichever command it is of; the command that
 * was there gets the entry of the one answered. So records, like entries, are as many as commands, and one for each. */
#ifndef GT_LIO_INTERNAL_H
#define GT_LIO_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "fabric/buffers.h"
#include "lio/lio.h"
#include "lio/ring.h"

enum { GT_LIO_RECORDS_MORE = 256, GT_LIO_IDS = 65536 };

typedef struct gt_lio_command gt_lio_command;
typedef struct gt_lio_ring gt_lio_ring;
typedef struct gt_lio_nexus gt_lio_nexus;

struct gt_lio_command {
  gt_task task;
  gt_lio_ring *ring;
  gt_lio_command *next; /* free; waiting for memory */
  uint32_t record;      /* the entry that stands for it */
  uint16_t id;
  bool busy, waiting, named; /* named: task management of the initiator ended it */
  uint8_t *buffer;           /* of the pool; NULL: data are where the kernel put them */
  uint32_t pieces;
  gt_tcmu_piece *piece;
};

typedef struct gt_lio_record {
  uint32_t at, length;
  uint16_t id;
  bool of_command;         /* else a pad or a task management function, done already */
  gt_lio_command *command; /* NULL while it is being taken */
} gt_lio_record;

typedef struct gt_lio_letter gt_lio_letter; /* an event on its way */
struct gt_lio_letter {
  gt_lio_letter *next;
  gt_lio_event event;
};

enum gt_lio_state { GT_LIO_SERVED, GT_LIO_FAILED, GT_LIO_LEAVING };
struct gt_lio_ring {
  gt_lio *lio;
  gt_lio_ring *next, *next_touched;
  uint32_t number, lun;
  gt_lio_nexus *nexus;
  uint32_t nexus_number;
  bool sequential;
  int events, doorbell;
  void *memory;
  size_t bytes;
  gt_tcmu_ring shared;
  uint8_t state;
  bool touched, answered, stalled; /* stalled: there are entries, but no room for records */
  uint32_t depth, busy, resets;    /* resets: under way in the plane */
  gt_lio_command *commands, *free;
  gt_tcmu_piece *pieces;
  gt_lio_record *records;
  uint32_t first, count, room;      /* of records; `first` counts on, the place is its remainder */
  uint64_t named[GT_LIO_IDS / 64];  /* commands that task management further on in the ring speaks of */
  gt_lio_letter *detached, *failed; /* made beforehand, the queue's from then on */
};

struct gt_lio_nexus {
  gt_lio *lio;
  gt_lio_nexus *next;
  uint32_t number;
  gt_plane_nexus *plane;
  _Atomic bool woken;
  bool closing;
  uint32_t rings;
};

enum gt_lio_mail_kind {
  GT_LIO_MAIL_NEXUS,
  GT_LIO_MAIL_CLOSE,
  GT_LIO_MAIL_ATTACH,
  GT_LIO_MAIL_DETACH,
  GT_LIO_MAIL_STOP
};
typedef struct gt_lio_mail {
  struct gt_lio_mail *next;
  uint8_t kind;
  uint32_t number; /* of a nexus or ring */
  gt_lio_nexus *nexus;
  gt_lio_ring *ring;
} gt_lio_mail;

typedef struct gt_lio_counters {
  _Atomic uint64_t rings, commands, in_place, gathered, aborted, full, inherited, broken, starved;
} gt_lio_counters;
#define GT_LIO_COUNT(lio, what) atomic_fetch_add_explicit(&(lio)->counters.what, 1, memory_order_relaxed)

struct gt_lio {
  gt_lio_options options;
  pthread_t thread;
  int epoll, wake_fd;
  _Atomic bool wake_sent, nexus_woken;
  gt_lio_ring *rings, *touched;
  gt_lio_nexus *nexuses;
  gt_lio_command *waiting, **waiting_end;
  gt_buffers pool;
  bool stopping;
  uint32_t ending; /* rings and nexuses that leave */
  gt_lio_counters counters;
  uint32_t next_ring; /* supervisor */

  pthread_mutex_t lock;
  gt_lio_mail *mail, **mail_end;         /* (lock) */
  gt_lio_letter *letters, **letters_end; /* (lock) */
  bool notified;                         /* (lock) */
};

/* kinds.c */
bool gt_lio_takes_data(const uint8_t *cdb);
bool gt_lio_may_repeat(const uint8_t *cdb, bool sequential);

/* attach.c */
int gt_lio_ring_make(gt_lio *lio, const gt_lio_ends *ends, gt_lio_ring **out, char *err, size_t err_len);
void gt_lio_ring_free(gt_lio_ring *ring);

/* serve.c: entries in */
void gt_lio_serve(gt_lio_ring *ring);
/* Nothing more of it is served; its tasks are ended. */
void gt_lio_fail(gt_lio_ring *ring, uint8_t event);
/* Ends its tasks; what was not begun stays in the ring. */
void gt_lio_leave(gt_lio_ring *ring);

/* command.c: commands, and answers out */
void gt_lio_command_take(gt_lio_ring *ring, const gt_tcmu_entry *entry, uint32_t record);
void gt_lio_command_abort(gt_lio_command *command);
/* Lets go of one that was not started. */
void gt_lio_command_forgo(gt_lio_command *command);
void gt_lio_go_on(gt_lio *lio); /* those that wait for memory */
void gt_lio_pop(gt_lio_ring *ring);

/* home.c */
int gt_lio_home_open(gt_lio *lio);
void gt_lio_home_close(gt_lio *lio);
void gt_lio_post(gt_lio *lio, gt_lio_mail *mail);
void gt_lio_wake(gt_lio *lio);
void gt_lio_touch(gt_lio_ring *ring); /* is looked at when the round ends */

/* lio.c */
void gt_lio_tell(gt_lio *lio, gt_lio_letter *letter);

#endif
