/* What the files of the plane share. Who may touch what:
 *
 *   the home thread of a nexus   its task list, orders, the paths' use of a task: no lock, no other thread
 *   plane->lock                  tables of nexuses and units, the paths of a unit, attentions of paths, dead paths
 *   nexus->lock                  what others leave for the home: finished tasks, orders
 *   unit->lock                   the unit's queue
 *   punts.lock, notes.lock       punts, notes
 *
 * Locks are taken in that order, and the last three never together, but where notes are taken. A task that need not
 * wait takes none of them: it reads the verdict, which is atomic, runs, and is answered. */
#ifndef GT_PLANE_IMPL_H
#define GT_PLANE_IMPL_H

#include <pthread.h>

#include "core/scsi.h"
#include "core/sense.h"
#include "plane/plane.h"
#include "transport/io_list.h"
#include "transport/trace_queue.h"

typedef struct gt_unit gt_unit;
typedef struct gt_order gt_order;
typedef struct gt_op gt_op;

/* Codes that only the plane speaks of. */
enum {
  GT_ASC_COMMUNICATION_TIMEOUT = 0x0801,
  GT_ASC_NO_ACCESS_RIGHTS = 0x2002,
  GT_ASC_LU_NOT_SUPPORTED = 0x2500,
  GT_ASC_BUS_DEVICE_RESET = 0x2903,
  GT_ASC_COMMANDS_CLEARED = 0x2F00, /* BY ANOTHER INITIATOR; also says that attentions did not fit */
  GT_ASC_LUNS_CHANGED = 0x3F0E,
  GT_ASC_INVALID_MESSAGE = 0x4900,
};

/* ---- classes.c ---- */

typedef struct gt_classes {
  gt_class_row *rows; /* by opcode, then action */
  uint16_t first[256], count[256];
  bool copies; /* THIRD-PARTY COPY OUT is punted: there is a copy manager */
} gt_classes;
int gt_classes_set(gt_classes *classes, const gt_class_row *rows, size_t count);
/* NULL: none; *opcode_known: then only the service action is not. */
const gt_class_row *gt_classes_find(const gt_classes *classes, const uint8_t *cdb, size_t length, bool *opcode_known);

/* ---- notes.c ---- */

typedef struct gt_note_node gt_note_node;
struct gt_note_node {
  gt_note_node *next;
  gt_note note;
};
enum { GT_REFUSALS = 1024, GT_REFUSAL_PROBES = 8 };
typedef struct gt_refusals {
  gt_note entries[GT_REFUSALS]; /* count 0: free */
  gt_note rest;                 /* what did not fit */
  size_t pending;
} gt_refusals;
typedef struct gt_notes {
  pthread_mutex_t lock;
  gt_note_node *first, **last;
  gt_refusals refusals;
} gt_notes;
/* The node becomes the queue's, which frees it. */
void gt_note_push(gt_plane *plane, gt_note_node *node);
gt_note_node *gt_note_new(uint8_t kind, uint32_t unit, uint64_t cookie);
void gt_note_refusal(gt_plane *plane, uint32_t nexus, uint32_t lun, uint32_t unit, uint8_t why, uint8_t opcode);
void gt_notes_free(gt_notes *notes);

/* ---- writes.c ---- */

enum { GT_EXTENTS = 256 };
typedef struct gt_writes {
  pthread_mutex_t lock;
  atomic_bool watched;
  size_t count;
  gt_extent extents[GT_EXTENTS + 1]; /* ascending, with gaps between; one more while it is made to fit */
} gt_writes;
void gt_writes_note(gt_writes *writes, const gt_io *io);
size_t gt_writes_take(gt_writes *writes, gt_extent *out, size_t max);

/* ---- identity.c ---- */

/* The list of vital product data pages is asked of the device whole, and cut to what was asked for when it has grown.
 */
enum { GT_PAGE_LIST_MAX = 4 + 256 };
typedef struct gt_page_loan {
  void *data; /* of the task */
  uint32_t data_len;
  uint16_t allocation;
  uint8_t dir;
  uint8_t list[GT_PAGE_LIST_MAX];
} gt_page_loan;
/* home: VPD page 8Fh, which the supervisor answers. */
bool gt_identity_is_punted(const gt_task *task);
/* Before the device has the command, and when it has answered. False: there is nothing to give back. */
bool gt_identity_lend(gt_task *task, gt_page_loan *loan);
void gt_identity_give_back(gt_task *task, gt_page_loan *loan);
/* home: standard data say that there is a copy manager. */
void gt_identity_polish(gt_task *task);

/* ---- units ---- */

enum { GT_UNIT_HELPERS = 3 };

struct gt_unit {
  gt_plane *plane;
  uint32_t number;
  gt_device *device; /* or lu */
  gt_lu *lu;         /* the poller's */
  bool inline_ok;
  atomic_uchar type; /* peripheral device type; 1Fh: not known */
  uint32_t timeout_ms, slow_timeout_ms;
  /* plane->lock */
  gt_path *paths;
  unsigned path_count; /* also of those that the keeper has yet to bury */
  bool leaving;
  gt_note_node *gone; /* told when it is */

  pthread_mutex_t lock;
  pthread_cond_t changed;
  gt_io_list waiting;
  unsigned busy, ordered_busy; /* with the unit; of those, ORDERED */
  bool stopping, abandoned, polling, down;
  bool mixed;          /* not every thread of the unit takes every task */
  gt_task **slots;     /* an lu's running tasks, by their seat */
  gt_page_loan *loans; /* by the same */
  unsigned depth;
  gt_note_node *down_note;
  /* Written under lock, read without it: may a task of an inline unit run at once? */
  atomic_uint load, ordered;
  atomic_bool aborts; /* the poller is to look for tasks that are asked to end */

  pthread_t thread, helpers[GT_UNIT_HELPERS]; /* helpers are the first thread's, until it is joined */
  bool started;
  unsigned helper_count;
  gt_writes writes;
};
int gt_unit_make(gt_plane *plane, uint32_t number, gt_unit **out);
void gt_unit_abandon(gt_unit *unit); /* it leaves: what does not end by itself is ended */
void gt_unit_destroy(gt_unit *unit); /* joins its threads */
int gt_unit_start_device(gt_unit *unit, gt_device *device, bool inline_ok);
int gt_unit_start_lu(gt_unit *unit, gt_lu *lu);
int gt_unit_thread(gt_unit *unit, pthread_t *thread, void *(*main)(void *));
/* plane->lock held. NULL: there is none, or it is leaving. */
gt_unit *gt_unit_find(gt_plane *plane, uint32_t number);
/* home: may a task run on this thread, now? */
bool gt_unit_at_once(const gt_unit *unit, const gt_task *task);
/* home. True: it ran already, and the answer is in task->io. */
bool gt_unit_submit(gt_unit *unit, gt_task *task);
/* home. True: it never ran, and is the caller's again; false: the answer follows. */
bool gt_unit_withdraw(gt_unit *unit, gt_task *task);
/* Lock held: the next task that may start (SAM-5 8.9), or NULL. */
gt_task *gt_unit_next(gt_unit *unit);
bool gt_unit_identity_next(const gt_unit *unit);
void gt_unit_ended(gt_unit *unit, const gt_task *task);
void gt_unit_execute(gt_unit *unit, gt_task *task); /* device: on this thread */
/* A path's place at the device, given back. */
void gt_unit_detach(gt_unit *unit, gt_path *path);
/* A transport that did not deliver: an answer that cannot be taken for a good one. */
void gt_unit_undelivered(gt_io *io);

/* ---- paths.c ---- */

typedef struct gt_counters {
  atomic_uint_fast64_t commands, bytes_in, bytes_out, refused, errors; /* home writes, anybody reads */
  atomic_uint outstanding;
} gt_counters;

struct gt_order {
  gt_order *next;
  gt_path *path;
  gt_op *op;       /* NULL: the path is cleared */
  uint64_t before; /* home: concerns tasks with smaller tickets */
};

struct gt_path {
  gt_plane_nexus *nexus;
  gt_unit *unit; /* NULL: none */
  uint32_t lun;
  /* gate 63-48, reservation 47-32, sequence 31-8, write_protected 1, visible 0; 0: no path. The lowest bit of the
   * sequence says which of `expiry` belongs to it. */
  atomic_uint_fast64_t word, expiry[2];
  atomic_int place; /* at an emulated device; -1: none yet */
  gt_port port;     /* of its nexus, when it was made; lent to the device with the place */
  gt_counters counters;
  /* plane->lock; `pending` is read without it. */
  atomic_uint pending;
  uint16_t attentions[GT_ATTENTIONS_MAX];
  gt_path *unit_next, *unit_previous; /* paths of the unit; dead ones by unit_next */
  gt_order clearing;
  unsigned orders; /* plane->lock: that speak of it */
  bool dead;       /* home: goes with its last task and order */
};
typedef struct gt_judgement {
  uint64_t word;
  bool exists;
  uint8_t why; /* GT_NO_PATH, GT_EXPIRED */
} gt_judgement;
enum { GT_WORD_VISIBLE = 1, GT_WORD_PROTECTED = 2 };
static inline uint16_t gt_word_gate(uint64_t word) { return (uint16_t)(word >> 48); }
static inline uint16_t gt_word_reservation(uint64_t word) { return (uint16_t)(word >> 32); }
gt_judgement gt_path_judge(const gt_path *path);
/* Lock held. Takes the path out of its LUN and tells the home. */
void gt_path_retire(gt_path *path);
/* home: buries a retired path that no task and no order speaks of any more. */
void gt_path_settle(gt_path *path);
bool gt_path_match(const gt_path *path, uint32_t nexus, uint32_t except);

/* ---- attention.c ---- */

void gt_attention_add(gt_path *path, uint16_t asc); /* lock held */
/* Every path of the unit but one (NULL: none). */
void gt_attention_spread(gt_unit *unit, uint16_t asc, const gt_path *except);
/* Takes the most urgent one, or only one that goes before RESERVATION CONFLICT; 0: none. The emulated device's own
 * come in here too. */
uint16_t gt_path_attention(gt_path *path, bool resets_only);
void gt_attention_luns_reported(gt_plane_nexus *nexus);

/* ---- nexus.c, orders.c ---- */

struct gt_op {
  gt_plane *plane;
  gt_note_node *node; /* ABORTED, DRAINED */
  bool aborts, tells_cleared;
  uint8_t status;
  uint16_t classes;
  atomic_uint left;
  /* A reset: told to this nexus in the end. */
  gt_plane_nexus *origin;
  gt_op *next;
  void (*done)(void *context);
  void *context;
  size_t count;
  gt_order orders[];
};

struct gt_plane_nexus {
  gt_plane *plane;
  uint32_t number;
  void (*wake)(void *context);
  void *context;
  _Atomic(gt_path *) paths[GT_LUNS_MAX];
  /* home */
  gt_task *tasks;
  uint64_t ticket;
  gt_io_list ended;    /* aborted on the home thread, to be answered */
  gt_order *orders;    /* not done yet */
  unsigned resets;     /* under way, ours */
  unsigned path_count; /* plane->lock */
  gt_port port;        /* plane->lock */
  bool closing, told;  /* told: the supervisor knows that it is closed */
  gt_note_node *closed_note;
  /* lock */
  pthread_mutex_t lock;
  atomic_bool posted;
  gt_io_list finished;
  gt_order *asked, **asked_last;
  gt_op *over; /* resets that are done */
};
/* Any thread: a task comes home. */
void gt_nexus_post(gt_plane_nexus *nexus, gt_task *task);
void gt_nexus_ask(gt_plane_nexus *nexus, gt_order *order);
void gt_nexus_reset_over(gt_plane_nexus *nexus, gt_op *op);
void gt_nexus_call(gt_plane_nexus *nexus);                       /* makes the home come by */
gt_plane_nexus *gt_nexus_find(gt_plane *plane, uint32_t number); /* lock held; NULL: none */
/* home: looks whether orders are done. */
void gt_orders_settle(gt_plane_nexus *nexus);
void gt_order_take(gt_plane_nexus *nexus, gt_order *order);
void gt_op_over(gt_op *op);

/* ---- task.c, judge.c, local.c ---- */

enum gt_task_state { GT_TASK_FREE, GT_TASK_ADMITTED, GT_TASK_UNIT, GT_TASK_PUNTED, GT_TASK_ENDED };
/* Beside enum gt_handling: there is no path. */
enum { GT_HANDLED_NOWHERE = 255 };
enum { GT_TYPE_UNKNOWN = 0x1F };
enum gt_judged { GT_JUDGED_GO, GT_JUDGED_ANSWERED };
enum gt_judged gt_task_judge(gt_plane_nexus *nexus, gt_task *task);
/* home: takes it off the nexus and answers it. */
void gt_task_finish(gt_task *task);
void gt_task_forward(gt_task *task);
/* A punt that the supervisor passed on. */
void gt_task_resume(gt_task *task);
/* home: it ends with `status` (0: without an answer). by_home: also one that was not started. */
void gt_task_end(gt_task *task, uint8_t status, bool by_home);
void gt_answer_status(gt_io *io, uint8_t status);
void gt_answer_sense(gt_io *io, uint8_t key, uint16_t asc);
void gt_answer_field(gt_io *io, unsigned byte, int bit);
/* Data-in alone, as much as the allocation length and the room allow, and the residual. */
void gt_move_data(gt_io *io, const uint8_t *data, size_t length, size_t allocation);
void gt_answer_data(gt_io *io, const uint8_t *data, size_t length, size_t allocation);
void gt_local_luns(gt_task *task);
void gt_local_inquiry(gt_io *io, uint8_t qualifier_and_type);
void gt_local_sense(gt_io *io, uint8_t key, uint16_t asc);
/* After the device: a read-only path sees WP in MODE SENSE. */
void gt_local_protect(gt_io *io);

/* ---- punt.c ---- */

typedef struct gt_punt_slot {
  gt_task *task; /* NULL: free, or given up while it is `queued`, or `taken` and the supervisor is to be told */
  gt_plane_nexus *nexus;
  uint64_t id, deadline_ns; /* UINT64_MAX: none */
  bool queued, taken, patient;
  bool
      leaving; /* nobody wants the answer of a patient one any more, but its task waits until the supervisor gives it */
  bool untold; /* the supervisor is to hear that it is gone */
  gt_punt punt;
} gt_punt_slot;
typedef struct gt_punts {
  pthread_mutex_t lock;
  gt_punt_slot slots[GT_PUNTS_MAX];
  uint16_t queue[GT_PUNTS_MAX];
  unsigned head, queued;
  uint16_t free[GT_PUNTS_MAX];
  unsigned free_count, patient; /* patient: slots that are not free */
  unsigned gone;                /* slots that are `untold` */
  bool unattended;              /* no supervisor will answer any more */
  uint64_t serial;
  uint8_t *data; /* GT_PUNT_DATA_MAX of each slot */
} gt_punts;
int gt_punts_open(gt_punts *punts);
void gt_punts_free(gt_punts *punts);
/* home. False: answered in task->io instead. */
bool gt_punt_submit(gt_plane *plane, gt_task *task);
/* home. True: the task is the home's again. False: its answer is on the way, or, of a patient one that the supervisor
 * has taken, will be. */
bool gt_punt_withdraw(gt_plane *plane, gt_task *task);
/* punts.lock held. What was taken and given up; if its task did not stay it is free from here on. */
size_t gt_punts_take_gone(gt_punts *punts, gt_note *out, size_t max);
/* Ends those that waited too long; returns when the next one is due, UINT64_MAX: never. */
uint64_t gt_punts_expire(gt_plane *plane, uint64_t now_ns);

/* ---- trace.c ---- */

typedef struct gt_trace {
  atomic_uint count;                              /* of filters */
  atomic_uint_fast64_t filters[GT_TRACE_FILTERS]; /* nexus 63-32, unit 31-0 */
  gt_trace_queue queue;
} gt_trace;
/* home: when a task begins; 0: nobody records. */
uint64_t gt_trace_now(const gt_trace *trace);
/* home: a task that began then has its answer, and still its path. */
void gt_trace_task(gt_trace *trace, const gt_task *task);

/* ---- plane.c ---- */

struct gt_plane {
  gt_plane_options options;
  gt_classes classes;
  pthread_mutex_t lock;
  gt_unit *units[GT_UNITS_MAX];
  gt_plane_nexus *nexuses[GT_NEXUSES_MAX];
  uint32_t generation[GT_NEXUSES_MAX];
  uint32_t next_nexus;
  /* keeper: buries paths and units, and ends punts, none of which may keep a home thread waiting. */
  pthread_t keeper;
  pthread_cond_t keep;
  gt_path *dead;
  uint64_t due_ns; /* the first punt's; UINT64_MAX: none */
  bool stopping;
  gt_punts punts;
  gt_notes notes;
  gt_trace trace;
};
void gt_plane_told(gt_plane *plane);
/* Makes the keeper look at the clock by then. */
void gt_plane_due(gt_plane *plane, uint64_t due_ns);

#endif
