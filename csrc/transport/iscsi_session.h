/* Inside of the iscsi transport: the session that iscsi_login.c sets up and iscsi.c runs. */
#ifndef GT_ISCSI_SESSION_H
#define GT_ISCSI_SESSION_H

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

#include "io_list.h"

enum {
  GT_ISCSI_SLOTS = 128,              /* commands handed to the library at a time; more wait in `waiting` */
  GT_ISCSI_MAX_TRANSFER = 16u << 20, /* covers every 24-bit tape block length but the last byte's worth */
  GT_ISCSI_GRACE_MS = 5000,          /* for the answer to ABORT TASK, and for data already queued to leave */
  GT_ISCSI_CANARY = 16,
  GT_ISCSI_NOP_MS = 10000, /* silence after which a NOP-Out keeps the session alive */
};

typedef enum gt_slot_state {
  GT_SLOT_FREE = 0,
  GT_SLOT_SENT,      /* the library has it */
  GT_SLOT_ABORTING,  /* ABORT TASK is on its way */
  GT_SLOT_ABORTED,   /* ABORT TASK was answered; ends when nothing of it is left to send */
  GT_SLOT_LINGERING, /* the device answered while Data-Out PDUs still point at the caller's buffer */
  GT_SLOT_ZOMBIE,    /* the command ended, the answer to ABORT TASK is still to come */
} gt_slot_state;

struct gt_iscsi;

/* What one command needs while the library has it. The scsi_task is part of the slot, so that a command
 * costs no allocation here. */
typedef struct gt_iscsi_slot {
  struct gt_iscsi *session;
  struct gt_iscsi_slot *next_free;
  gt_io *io;
  struct scsi_task task;
  struct scsi_iovec iov;
  uint8_t canary[GT_ISCSI_CANARY];  /* `guarded`: stands at the end of the buffer until data comes, */
  uint8_t covered[GT_ISCSI_CANARY]; /* in place of these bytes */
  bool guarded;
  uint64_t deadline_ns; /* of the command, or of the grace period; UINT64_MAX: none */
  uint8_t state;        /* gt_slot_state */
  uint8_t ends_as;      /* ABORTING, ABORTED: GT_ABORTED or GT_TIMED_OUT */
  bool tmf_out;         /* the library holds a pointer to this slot for a task management response */
} gt_iscsi_slot;

typedef struct gt_iscsi {
  gt_lu lu;
  struct iscsi_context *context; /* NULL once the session is lost */
  int wake_fd;
  uint32_t lun; /* as libiscsi puts it on the wire */
  bool dying;   /* the context is being destroyed: callbacks mean nothing any more */
  bool lost;    /* seen inside a callback; acted upon outside of the library */
  uint32_t busy;
  uint32_t settling; /* ABORTED and LINGERING slots: nothing new is sent until they are gone */
  uint64_t random;   /* state of the canaries' generator */
  uint64_t next_deadline_ns;
  uint64_t heard_ns, nop_ns;
  gt_io_list waiting, finished;
  gt_iscsi_slot *free_slots;
  gt_iscsi_slot slots[GT_ISCSI_SLOTS];
} gt_iscsi;

/* Puts a slot back among the free ones (or leaves it a zombie). */
void gt_iscsi_release(gt_iscsi_slot *slot);

/* Hands io to the library. There must be a free slot. */
int gt_iscsi_start(gt_iscsi *session, gt_io *io, uint64_t deadline_ns);

/* Sends ABORT TASK; the command will end as `ends_as` unless its answer comes first. */
void gt_iscsi_begin_abort(gt_iscsi_slot *slot, uint8_t ends_as);

/* Ends what only waited for its data to leave. */
void gt_iscsi_settle(gt_iscsi *session);

/* Ends the session and, with `outcome`, everything in it. Never inside a callback of the library. */
void gt_iscsi_lose(gt_iscsi *session, uint8_t outcome);

/* Connects and logs in, following login redirections. On success *out is a logged-in context that does not
 * reconnect by itself; else a negative errno and a sentence in err. */
int gt_iscsi_login(const gt_iscsi_options *options, struct iscsi_context **out, char *err, size_t err_len);

/* Logs out, giving up after a second, and destroys the context. */
void gt_iscsi_logout(struct iscsi_context *context);

#endif
