/* One logical unit as one I_T nexus sees it, whatever carries the commands: the vtable that the
 * copy engine, the binding and the conformance suite speak to. Implementations: sg.c (Linux SCSI
 * generic), iscsi.c (user-space initiator), virtual.c (emulated devices in this process).
 *
 * Threads: a gt_lu belongs to one thread at a time, its *poller*. submit, poll, abort and close are
 * called by the poller only; wake may be called by any thread. Handing a gt_lu to another thread is
 * allowed while nothing is outstanding. Two gt_lu on one device are two nexuses and may live on two
 * threads.
 *
 * Ownership: the caller owns gt_io, its data buffer and its gt_lu pointer until `done` is called (or
 * submit fails). `done` runs inside poll (never inside submit) and may submit again.
 *
 * Errors: functions return 0 (or a count) or a negative errno. If submit returns an error, `done` is
 * never called for that gt_io. If submit returns 0, `done` is called exactly once, whatever happens. */
#ifndef GT_LU_H
#define GT_LU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { GT_CDB_MAX = 32, GT_SENSE_MAX = 96 };

typedef enum gt_dir { GT_DIR_NONE = 0, GT_DIR_IN = 1, GT_DIR_OUT = 2 } gt_dir;

/* How the command ended, to be looked at before the SCSI status: only GT_DELIVERED makes status,
 * sense and residual mean anything. A transport failure never looks GOOD. */
typedef enum gt_outcome {
  GT_DELIVERED = 0, /* the device server answered */
  GT_TRANSPORT,     /* no trustworthy answer: link lost, host or driver status set */
  GT_TIMED_OUT,     /* timeout_ms passed; the command was aborted as well as the transport can */
  GT_ABORTED,       /* ended by abort or close */
} gt_outcome;

typedef struct gt_io gt_io;
struct gt_io {
  /* Request, filled in by the caller. */
  uint8_t cdb[GT_CDB_MAX];
  uint8_t cdb_len; /* 6, 10, 12, 16 or 32 */
  uint8_t dir;     /* gt_dir */
  uint32_t timeout_ms;
  uint32_t data_len; /* bytes offered (OUT) or room (IN) */
  void *data;
  /* The last so many bytes of data-out are not in `data` yet; 0 but for commands that gt_device_execute is called with
   * directly. take brings the next of them to where it is told, never waits, counts them off, and returns how many, or
   * a negative errno, -EFAULT where there is no room at that address (others may still be there). */
  uint32_t absent;
  ssize_t (*take)(gt_io *io, void *into, size_t length);
  void (*done)(gt_io *io);
  void *owner; /* caller's own */
  /* NULL, or true (read atomically) as soon as nobody waits for the answer any more: an emulated device whose command
   * only waits, as SANITIZE does, then ends it. Other transports do not look. */
  const volatile bool *abandoned;

  /* Answer, valid in and after done. */
  uint8_t outcome; /* gt_outcome */
  uint8_t status;  /* SAM-5 5.3.1 status code */
  uint8_t sense_len;
  uint8_t sense[GT_SENSE_MAX];
  /* data_len less the bytes the device moved; negative when it had more than there was room for. */
  int32_t resid;
  uint16_t host_status;   /* sg: host_status; iscsi: libiscsi status & 0xffff; else 0 */
  uint16_t driver_status; /* sg: driver_status, with the bit that only says "sense present" removed */

  /* When gt_lu_submit was called, CLOCK_MONOTONIC; 0: nobody records it. */
  uint64_t began_ns;

  /* The transport's own. */
  gt_io *next;
  uint64_t priv[4];
};

typedef struct gt_lu_limits {
  uint32_t max_transfer; /* bytes in one command that the transport can move; never 0 */
  uint32_t max_queue;    /* commands outstanding that are worth having; at least 1 */
  bool immediate;        /* commands are carried out inside poll, as fast as memory is copied */
} gt_lu_limits;

typedef struct gt_lu gt_lu;
typedef struct gt_lu_ops {
  const char *name; /* "sg", "iscsi", "virtual" */
  int (*submit)(gt_lu *lu, gt_io *io);
  /* Completes what is ready and returns how many `done` were called. Waits at most timeout_ms
   * (0: does not wait, -1: for ever) for the first one. Returns at once when nothing is outstanding. */
  int (*poll)(gt_lu *lu, int timeout_ms);
  void (*wake)(gt_lu *lu);            /* makes a waiting or the next poll return; any thread */
  int (*abort)(gt_lu *lu, gt_io *io); /* asks; the answer still comes through done */
  void (*close)(gt_lu *lu);           /* completes everything outstanding as GT_ABORTED, then frees lu */
} gt_lu_ops;

/* A queue of records (trace.h). */
typedef struct gt_tap gt_tap;

struct gt_lu {
  const gt_lu_ops *ops;
  gt_lu_limits limits;
  gt_tap *tap; /* NULL, or a share of it that goes with the unit; set before the first command */
  uint32_t tag;
};

/* When a command begins that is to be recorded, else 0; a record of one that has ended; a share given back. */
uint64_t gt_tap_begin(const gt_tap *tap, uint32_t tag);
void gt_tap_end(gt_tap *tap, uint32_t tag, const gt_io *io);
void gt_tap_unref(gt_tap *tap);

static inline int gt_lu_submit(gt_lu *lu, gt_io *io) {
  io->began_ns = lu->tap ? gt_tap_begin(lu->tap, lu->tag) : 0;
  return lu->ops->submit(lu, io);
}
/* For transports: the answer is there. */
static inline void gt_lu_done(gt_lu *lu, gt_io *io) {
  if (io->began_ns) gt_tap_end(lu->tap, lu->tag, io);
  io->done(io);
}
static inline int gt_lu_poll(gt_lu *lu, int timeout_ms) { return lu->ops->poll(lu, timeout_ms); }
static inline void gt_lu_wake(gt_lu *lu) { lu->ops->wake(lu); }
static inline int gt_lu_abort(gt_lu *lu, gt_io *io) { return lu->ops->abort(lu, io); }
static inline void gt_lu_close(gt_lu *lu) {
  gt_tap *tap = lu->tap;
  lu->ops->close(lu);
  if (tap) gt_tap_unref(tap);
}

/* Runs one command to its end on the calling thread (which must be the poller). */
int gt_lu_execute(gt_lu *lu, gt_io *io);

/* Openers. On error they return a negative errno, leave *out alone and, where err is not NULL, put a
 * sentence there that says what to do. */
struct gt_device;
int gt_virtual_open(struct gt_device *device, gt_lu **out);
/* path: /dev/sgN. reserved_bytes: reserved buffer to set up front = largest transfer wanted. */
int gt_sg_open(const char *path, uint32_t reserved_bytes, bool direct_io, gt_lu **out, char *err, size_t err_len);

typedef struct gt_iscsi_options {
  const char *portal; /* "127.0.0.1:3260" */
  const char *target; /* iSCSI name of the target */
  uint32_t lun;
  const char *initiator;                             /* iSCSI name of ours */
  const char *chap_user, *chap_secret;               /* NULL: no CHAP */
  const char *target_chap_user, *target_chap_secret; /* NULL: one-way */
  bool header_digest;                                /* CRC32C; refused by the target = error */
  uint32_t connect_timeout_ms;
} gt_iscsi_options;
int gt_iscsi_open(const gt_iscsi_options *options, gt_lu **out, char *err, size_t err_len);

#endif
