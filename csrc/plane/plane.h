/* The waist of the bridge: tasks in, units behind, verdicts between. A front end (csrc/fabric) brings tasks: one SCSI
 * command of one I_T nexus. The plane asks its questions in order (is there a path, is the opcode known, does the key
 * admit its class, is a unit attention pending, does a reservation forbid its class) and hands the task to the
 * unit, to the supervisor (a punt), or answers it itself. It looks decisions up; it makes none.
 *
 * Threads: a nexus belongs to one front-end thread, its *home*, which alone calls gt_task_* and the gt_nexus_* marked
 * (home). Functions marked (supervisor) are called by one controlling thread. Units run where they run (a device
 * that never waits: on the home thread, inside gt_task_start; every other: on a thread of the unit's own); the
 * answer always comes on the home thread.
 *
 * Ownership: from GT_ADMIT_GO on the plane has gt_task and its buffers on loan, until it calls `answered` (exactly
 * once) or the front end calls gt_task_drop. A task whose data is still coming keeps its place when others abort it:
 * the answer follows gt_task_start, at once. Only what the home itself asked for (gt_task_abort, gt_nexus_close)
 * answers a task that was not started. `answered` may admit and start other tasks of the nexus; it must not free the
 * nexus. A nexus is closed when all its tasks are answered and all that was asked of it is done (gt_nexus_closed).
 *
 * Memory: everything that a task needs is allocated by gt_plane_open, gt_nexus_open, gt_plane_add_* and
 * gt_plane_set_path; the controlling functions allocate too (-ENOMEM: nothing happened). Nothing on the path of a task
 * is. */
#ifndef GT_PLANE_H
#define GT_PLANE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../device/device.h"
#include "../transport/lu.h"
#include "../transport/trace.h"

enum {
  GT_UNITS_MAX = 256,    /* logical units behind the bridge */
  GT_LUNS_MAX = 256,     /* LUNs of one nexus: 0 to 255, peripheral device addressing (SAM-5 4.7.7.2) and flat space */
  GT_NEXUSES_MAX = 1024, /* I_T nexuses at a time, over all front ends */
  GT_PUNTS_MAX = 256,    /* punts waiting for the supervisor; more are answered BUSY */
  GT_PATIENT_PUNTS_MAX = 64, /* of those, patient ones: the others always find room */
  /* Parameter lists and parameter data of a punt: the longest list of a third-party copy (48 bytes, 30,720 of
   * descriptors, 65,536 inline) and more. */
  GT_PUNT_DATA_MAX = 98304,
  GT_ATTENTIONS_MAX = 8, /* pending unit attentions of a path; one more replaces the last by 2Fh/00h */
  GT_CLASSES = 16,       /* command classes; their meaning is the supervisor's */
};
/* In place of a unit's number: a path that leads to no device, but whose punts reach the supervisor (a place where a
 * key can be presented). INQUIRY there says 3Fh: PERIPHERAL QUALIFIER 001b, no device; it is not in REPORT LUNS. */
#define GT_NO_UNIT UINT32_MAX

typedef struct gt_plane gt_plane;
typedef struct gt_plane_nexus gt_plane_nexus;
typedef struct gt_path gt_path;
typedef struct gt_task gt_task;

/* ---- command classes: what the supervisor's table says of each opcode ---- */

enum gt_handling {
  GT_FORWARD = 0, /* to the unit as it is */
  GT_PUNT = 1,    /* to the supervisor: PERSISTENT RESERVE, RESERVE, RELEASE, SECURITY PROTOCOL OUT ... */
  GT_LUNS = 2,    /* REPORT LUNS: answered here from the paths of the nexus */
  GT_SENSE = 3,   /* REQUEST SENSE: a pending unit attention of the path first, then the unit's own */
  GT_IDENTITY = 4 /* INQUIRY: forwarded, but never held up by unit attention or reservation. Where THIRD-PARTY COPY OUT
                     (83h) is punted, the supervisor is a copy manager (SPC-4 5.17): disks and tapes say so (3PC, VPD
                     page 8Fh in the list), and VPD page 8Fh is a punt */
};
enum gt_class_flags {
  GT_CLASS_NO_ATTENTION =
      1,               /* carried out with a unit attention pending (SAM-5 5.14: INQUIRY, REPORT LUNS, REQUEST SENSE) */
  GT_CLASS_WRITES = 2, /* changes the medium: refused with DATA PROTECT by a read-only path; its extents are noted */
  GT_CLASS_SLOW = 4,   /* may take long (FORMAT, REWIND, LOCATE, ERASE): the long time-out of the unit */
  /* GT_PUNT: works on devices, and may take the supervisor hours (EXTENDED COPY). It has no time-out, and once it is
   * taken even who aborts it waits until it is answered. */
  GT_CLASS_PATIENT = 8
};
typedef struct gt_class_row {
  uint8_t opcode;
  int16_t action; /* service action (CDB byte 1 bits 4-0; 7Fh: bytes 8-9), or -1: all of the opcode */
  uint8_t class_; /* 0 to GT_CLASSES-1 */
  uint8_t handling, flags;
} gt_class_row;
/* (supervisor) Once, before the first nexus. An opcode without a row is refused: ILLEGAL REQUEST, INVALID COMMAND
 * OPERATION CODE. -EINVAL: a row is wrong or there twice. */
int gt_plane_classes(gt_plane *plane, const gt_class_row *rows, size_t count);

/* ---- life ---- */

typedef struct gt_plane_options {
  void (*notify)(void *context); /* something is to be taken (punts, notes); any thread; must not block */
  void *context;
  uint32_t punt_timeout_ms; /* a punt, not patient, that nobody answered by then ends with BUSY; 0: 5000 */
} gt_plane_options;
int gt_plane_open(const gt_plane_options *options, gt_plane **out);
/* (supervisor) Nobody takes or answers punts any more: before front ends are closed, which would wait for answers. */
void gt_plane_unattended(gt_plane *plane);
void gt_plane_close(gt_plane *plane); /* (supervisor) every front end is closed already */

/* ---- units (supervisor) ---- */

/* A device of this process. Takes a reference. inline_ok: the device never waits (memory-backed), so that its data
 * commands run on the home thread. */
int gt_plane_add_device(gt_plane *plane, uint32_t unit, gt_device *device, bool inline_ok);
/* A real device: every CDB goes through unchanged. From now on the plane owns lu and closes it. All nexuses are one
 * nexus there. timeout_ms: of ordinary commands; slow_timeout_ms: of GT_CLASS_SLOW. */
int gt_plane_add_lu(gt_plane *plane, uint32_t unit, gt_lu *lu, uint32_t timeout_ms, uint32_t slow_timeout_ms);
/* Paths to it are cleared, tasks aborted; returns at once, GT_NOTE_UNIT_GONE comes when nothing is left, and only then
 * the number is free again. */
int gt_plane_remove_unit(gt_plane *plane, uint32_t unit);

/* ---- paths: what a nexus may do with a unit (supervisor, any time) ---- */

typedef struct gt_verdict {
  uint16_t gate; /* classes that the keys admit; others: ILLEGAL REQUEST / LOGICAL UNIT NOT SUPPORTED if gate is 0,
                    DATA PROTECT / WRITE PROTECTED for GT_CLASS_WRITES, else ILLEGAL REQUEST / ACCESS DENIED - NO ACCESS
                    RIGHTS (20h/02h) */
  uint16_t reservation; /* classes that no reservation forbids; others: RESERVATION CONFLICT */
  bool visible;         /* in REPORT LUNS, and anything but LOGICAL UNIT NOT SUPPORTED */
  bool write_protected; /* MODE SENSE shows WP */
  uint64_t expires_ns;  /* CLOCK_MONOTONIC; from then on as if there were no path; 0: never */
} gt_verdict;
/* Which target port the nexus comes by; the name is a SCSI name string, "iqn.…,t,0x0001" (VPD 83h of emulated devices).
 * Of paths that are made from now on. -ENOENT; -EINVAL: the name is too long. */
int gt_plane_set_port(gt_plane *plane, uint32_t nexus, uint16_t relative, uint16_t group, const char *name);
/* Makes or changes the path; one atomic swap for tasks that come in from now on. A path that is made begins with the
 * unit attention 29h/00h of a new nexus. unit may be GT_NO_UNIT. -ENOENT no such nexus or unit; -EBUSY the LUN leads to
 * another unit (clear it first); a path without a unit gives way to one with a unit, and at no moment is there none.
 * Nexus numbers are not used again for a long time: an old one is -ENOENT. */
int gt_plane_set_path(gt_plane *plane, uint32_t nexus, uint32_t lun, uint32_t unit, const gt_verdict *verdict);
int gt_plane_clear_path(gt_plane *plane, uint32_t nexus, uint32_t lun); /* its tasks end with TASK ABORTED */
/* Unit attention for a path; the same one pending already is not queued twice. Reported in the order of SAM-5 5.14.3
 * (29h and what follows it, then all others as they came). */
int gt_plane_attention(gt_plane *plane, uint32_t nexus, uint32_t lun, uint8_t asc, uint8_t ascq);
/* Aborts the tasks of a nexus (UINT32_MAX: of every one) on a unit, but those of `except` (UINT32_MAX: nobody). status
 * 0: without an answer (the nexus itself asked); else the status (TASK ABORTED where TAS=1, SAM-5 5.6). GT_NOTE_ABORTED
 * with `cookie` comes when none is left. */
int gt_plane_abort(gt_plane *plane, uint32_t unit, uint32_t nexus, uint32_t except, uint8_t status, uint64_t cookie);
/* GT_NOTE_DRAINED with `cookie` comes as soon as no task of these classes that was admitted before this call runs on
 * the unit for this nexus (UINT32_MAX: any): a command boundary. */
int gt_plane_drain(gt_plane *plane, uint32_t unit, uint32_t nexus, uint16_t classes, uint64_t cookie);

/* ---- what the supervisor takes ---- */

typedef struct gt_punt {
  uint64_t id;
  uint32_t nexus, lun, unit;
  uint8_t cdb[GT_CDB_MAX], cdb_len;
  uint32_t alloc;      /* room for data-in */
  const uint8_t *data; /* data-out, a copy; valid until it is answered, or GT_NOTE_PUNT_GONE was taken */
  uint32_t data_len;
} gt_punt;
/* notify comes when there is something new after a take that returned less than max: take until it does. */
size_t gt_plane_take_punts(gt_plane *plane, gt_punt *out, size_t max);
/* status, sense, data-in (cut to the room: residual is computed). An id that timed out or was aborted: -ENOENT, nothing
 * happens. A patient one that was aborted is to be answered all the same, with whatever status: only then it ends. */
int gt_plane_answer(gt_plane *plane, uint64_t id, uint8_t status, const uint8_t *sense, size_t sense_len,
                    const uint8_t *data, size_t len);
/* Passes the punted command on to the unit after all (the supervisor found nothing of its own to do). */
int gt_plane_pass(gt_plane *plane, uint64_t id);

enum gt_note_kind {
  GT_NOTE_UNIT_GONE = 1,
  GT_NOTE_ABORTED,
  GT_NOTE_DRAINED,
  GT_NOTE_REFUSED,
  GT_NOTE_RESET,
  GT_NOTE_NEXUS_CLOSED,
  GT_NOTE_UNIT_DOWN, /* its transport says that the link or device is gone for good: remove it, add it anew */
  /* Nobody wants a punt that was taken any more: it was aborted, its path or nexus ended, or its time was over. It
   * comes once, before any other note of what ended it (ABORTED, NEXUS_CLOSED); what ends a patient one waits for its
   * answer. */
  GT_NOTE_PUNT_GONE
};
enum gt_refusal { GT_NO_PATH = 1, GT_EXPIRED, GT_NO_OPCODE, GT_NO_RIGHT, GT_READ_ONLY, GT_RESERVED };
typedef struct gt_note {
  uint8_t kind;
  uint32_t nexus, lun, unit;
  uint64_t cookie;     /* ABORTED, DRAINED; PUNT_GONE: its id */
  uint8_t why, opcode; /* REFUSED: the first one; counted per (nexus, lun, why), coalesced until it is taken. lun
                          UINT32_MAX: of several LUNs, nexus UINT32_MAX: of several nexuses (more than fit) */
  uint64_t count;      /* REFUSED: how many since the last note */
  uint8_t function; /* RESET: task management function (SAM-5 7): LOGICAL UNIT RESET 08h, TARGET RESET, I_T NEXUS RESET
                       10h */
} gt_note;
size_t gt_plane_take_notes(gt_plane *plane, gt_note *out, size_t max);

/* Extents written on a unit since the last call, coalesced; at most max; overflowed: more than the bounded set could
 * hold, then ranges were merged over gaps (never lost). Watching starts with the first call. */
typedef struct gt_extent {
  uint64_t lba, blocks;
} gt_extent;
size_t gt_plane_take_writes(gt_plane *plane, uint32_t unit, gt_extent *out, size_t max);

typedef struct gt_path_stats {
  uint64_t commands, bytes_in, bytes_out, refused, errors;
  uint32_t outstanding;
} gt_path_stats;
int gt_plane_path_stats(gt_plane *plane, uint32_t nexus, uint32_t lun, gt_path_stats *out);

/* ---- trace: what servers send, for people who look for a fault ---- */

typedef struct gt_trace_filter {
  uint32_t nexus, unit; /* UINT32_MAX: any */
} gt_trace_filter;
/* (supervisor) Records the commands that one of these pairs is about, and no others; none: nothing is recorded, which
 * costs a task two looks at a number. Records that were not taken stay. -ENOMEM, -EINVAL: too many. */
int gt_plane_trace(gt_plane *plane, const gt_trace_filter *filters, size_t count);
/* (supervisor) *lost: how many there was no room for since the last call. */
size_t gt_plane_take_trace(gt_plane *plane, gt_trace_record *out, size_t max, uint64_t *lost);

/* ---- nexuses and tasks (home) ---- */

/* wake: makes the home thread call gt_nexus_run soon; any thread, must not block. One wake per home may serve many
 * nexuses. */
int gt_nexus_open(gt_plane *plane, void (*wake)(void *context), void *context, uint32_t *number, gt_plane_nexus **out);
/* Aborts everything without an answer to the initiator; `answered` of each is still called (outcome GT_ABORTED), within
 * gt_nexus_run. */
void gt_nexus_close(gt_plane_nexus *nexus);
bool gt_nexus_closed(const gt_plane_nexus *nexus); /* no task left; gt_nexus_free may be called */
void gt_nexus_free(gt_plane_nexus *nexus);
/* Calls `answered` of what other threads finished and does what the supervisor asked; returns how many were answered.
 * Not inside `answered`. */
int gt_nexus_run(gt_plane_nexus *nexus);

enum gt_admit { GT_ADMIT_GO = 0, GT_ADMIT_ANSWERED = 1 };
struct gt_task {
  gt_io io; /* cdb, dir, data, data_len of the front end; answer: outcome, status, sense, resid. io.done, owner and
               timeout are the plane's */
  uint32_t lun;
  uint8_t attribute; /* SAM-5 8.9: SIMPLE 1, ORDERED 2, HEAD OF QUEUE 3, ACA 4, untagged 0 */
  /* Set by gt_task_admit: gt_task_start will answer before it returns, so that data-out may lie where it will not stay.
   */
  bool at_once;
  void (*answered)(gt_task *task);
  void *owner; /* front end's own */

  gt_plane_nexus *nexus; /* the plane's own from here on */
  gt_path *path;         /* NULL: none, and the plane answers what is answered there */
  gt_task *next, *previous;
  uint64_t ticket;
  uint64_t began_ns; /* 0: nobody records */
  uint32_t seat;     /* at the unit, or among the punts */
  uint8_t class_, handling, flags;
  uint8_t state;         /* home: where it is */
  uint8_t ending, final; /* home: it is aborted, and ends with this status (0: without an answer) */
  bool ran;              /* it may have had an effect */
  bool passed;           /* the supervisor passed it on */
  bool lent;             /* the device answers into memory of its unit */
  _Atomic bool asked;    /* the unit's thread is to abort it */
};
/* Judges by CDB and LUN alone, before any data was fetched. ANSWERED: io holds status and sense; `answered` is not
 * called. */
enum gt_admit gt_task_admit(gt_plane_nexus *nexus, gt_task *task);
/* All data-out is there (or there is none). Judged again; then `answered` follows, maybe at once inside this call. */
void gt_task_start(gt_task *task);
/* An admitted task that will not be started (its data never came, digest error): `answered` is not called. */
void gt_task_drop(gt_task *task);
/* Asks; `answered` follows with outcome GT_ABORTED unless the task had ended. */
void gt_task_abort(gt_task *task);
/* LOGICAL UNIT RESET by this nexus: tasks of every nexus on that unit are aborted, others get 29h/03h, the supervisor a
 * note. `done` is called on the home thread when none is left. -ENXIO: no path. */
int gt_nexus_reset_unit(gt_plane_nexus *nexus, uint32_t lun, void (*done)(void *context), void *context);
/* CLEAR TASK SET by this nexus (SAM-5 7.5): as LOGICAL UNIT RESET, but the unit keeps its state and the others, if
 * tasks of theirs were aborted, get 2Fh/00h. */
int gt_nexus_clear_unit(gt_plane_nexus *nexus, uint32_t lun, void (*done)(void *context), void *context);

#endif
