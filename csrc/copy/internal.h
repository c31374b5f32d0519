/* The inside of a run, shared by the files of the engine.
 *
 * Positions (`position`, `stream`, `produced`, `consumed`) are bytes since the start of this run; events add
 * options.stream_offset. gather fills [consumed, produced + what is under way) of the ring; scatter owns
 * [consumed, produced). */
#ifndef GT_COPY_INTERNAL_H
#define GT_COPY_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "crcs.h"
#include "digest.h"
#include "engine.h"
#include "events.h"
#include "lane.h"
#include "marks.h"
#include "park.h"
#include "program.h"
#include "ring.h"
#include "throttle.h"

enum {
  GT_SLOT_BYTES = 65536, /* of a slot beside the ring, where the slice has room for that */
  GT_PIECES = 1024,
  GT_TAGS = 16384,
  GT_TRAIL = 1024,
  GT_BLOCK_ENDS = 16384,
  GT_ABORT_GRACE_MS = 5000,
  GT_FLUSH_GRACE_MS = 60000,
};

/* Why a run ends, and the command that was the cause. */
typedef struct gt_ending {
  uint8_t result; /* gt_result */
  bool gather_side;
  int32_t error;
  uint64_t object; /* -ESPIPE: where the drive says it is */
  uint8_t lu, status, outcome, sense_len, cdb_len;
  uint8_t sense[GT_SENSE_MAX], cdb[GT_CDB_MAX];
} gt_ending;

/* Stretches of the stream in order, each done or under way: what turns completion in any order into a
 * watermark that moves in order. */
typedef struct gt_pieces {
  struct {
    uint64_t end;
    bool done;
  } slots[GT_PIECES];
  uint64_t first, next; /* indexes */
} gt_pieces;

bool gt_pieces_full(const gt_pieces *pieces);
uint64_t gt_pieces_add(gt_pieces *pieces, uint64_t end, bool done); /* index for gt_pieces_done */
/* Returns how far everything is done, or `watermark` where nothing moved. */
uint64_t gt_pieces_advance(gt_pieces *pieces, uint64_t watermark);
static inline void gt_pieces_done(gt_pieces *pieces, uint64_t index) { pieces->slots[index % GT_PIECES].done = true; }

/* Slots beside the ring. */
typedef struct gt_slots {
  uint8_t *free[64];
  uint16_t count;
  uint32_t bytes; /* of each */
} gt_slots;

/* What gather is at, for scatter: waiting for data is a defect only while gather is running. */
enum gt_gather_state { GT_RUNNING, GT_STARVED, GT_RING_FULL, GT_HELD_BACK, GT_ENDED };

typedef struct gt_gather {
  gt_park park;
  gt_lane lane;
  gt_slots slots;
  gt_pieces pieces;
  uint64_t seg_done; /* bytes of the first waiting segment that are gathered or under way */
  bool seg_open;     /* its tag has been told */
  uint32_t tag;
  uint64_t allocated; /* stream bytes given a place in the ring */
  uint64_t landed;    /* tape: end of the block that was read last; past allocated: left over for the next segment */
  uint64_t object;    /* tape: logical object that comes next */
  bool object_known;
  gt_crcs crcs;    /* tape: of blocks that were read, where wanted */
  gt_cmd *reading; /* tape: the READ that is outstanding */
  bool at_mark;    /* tape: the last READ passed a filemark */
  gt_cmd *broken;  /* disk: commands with medium errors, to be repaired */
  bool failed;
  gt_ending ending;
} gt_gather;

typedef struct gt_block { /* a tape block that is complete in the ring */
  uint64_t start;
  uint32_t bytes, crc32c;
  gt_digest_state digest; /* at its end */
  bool valid;
} gt_block;

typedef struct gt_scatter {
  gt_park park;
  gt_lane lane;
  gt_slots slots;
  gt_pieces pieces;
  gt_digest digest;
  uint64_t position; /* stream bytes given to a segment; everything before is digested */
  uint64_t seg_left; /* of the first waiting segment; valid while seg_open */
  bool seg_open;
  bool draining; /* gather ended early: what is there is taken, whole or not */
  bool *dirty;   /* by lu: written since its last flush */
  bool *cached;  /* by lu: a disk has answered writes since its last flush, and may keep them in a volatile cache */
  uint8_t *held; /* HOLD or GT_SEG_HELD in progress */
  uint32_t held_len;
  uint64_t held_cookie;
  /* Tape: `next` is the block that was filled, `writing` the one that is outstanding. */
  uint64_t block_start;
  gt_block next, writing;
  gt_cmd *write;
  uint8_t tape_lu;
  bool taping;          /* the destination is a tape */
  bool streaming;       /* the drive was started, and its data has been there since */
  bool fed;             /* it was started before and not stopped by a barrier since */
  uint64_t start_by_ns; /* a block waits for the drive to be started, which is then at the latest; 0: none does */
  bool volume_full;
  uint64_t object;        /* where the next block goes */
  uint64_t idle_since_ns; /* the drive waits for data; 0: it does not */
  gt_crcs crcs;           /* of blocks that were written */
  /* Progress that is known to the destination, and of the last checkpoint. */
  uint64_t written; /* position */
  gt_digest_state written_digest;
  gt_event checkpoint;
  uint64_t checkpoint_position, checkpoint_ns;
  bool ended; /* the program is through */
  bool failed;
  gt_ending ending;
} gt_scatter;

struct gt_copy {
  gt_copy_options options;
  gt_copy_lu *lus;
  uint32_t io_bytes;
  gt_ring ring;
  gt_program program;
  gt_events events;
  gt_throttle throttle; /* gather's */
  gt_marks tags;
  gt_trail trail;
  gt_marks block_ends; /* AS_GATHERED; value: bytes of the block, 0: gather's segment ends here */
  gt_gather gather;
  gt_scatter scatter;
  pthread_t gather_thread, scatter_thread;

  _Atomic bool finished, cancelled, paused;
  _Atomic bool stop;        /* scatter is through: gather ends */
  _Atomic int gather_state; /* gt_gather_state; GT_ENDED publishes gather.ending */
  _Atomic uint64_t produced, consumed;
  _Atomic bool marks_wanted; /* gather waits for room for a tag or a block's end */

  /* HUNGRY: armed by append, shot once. refused_*: what a refused append needs. */
  _Atomic bool hungry_armed;
  _Atomic uint32_t refused_gather, refused_scatter, refused_inline;
  _Atomic bool refused;

  _Atomic uint64_t tape_waits, tape_wait_ns, throttle_ns, medium_errors, stream_offset;
  uint64_t started_ns;
};

/* The run is to end before its program does: nothing is repeated, and what hangs is aborted. */
static inline bool gt_stopping(gt_copy *copy) { return atomic_load(&copy->cancelled) || atomic_load(&copy->stop); }

void *gt_gather_main(void *copy);
void *gt_scatter_main(void *copy);

static inline void gt_count(_Atomic uint64_t *counter, uint64_t n) {
  atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* Publishes what gather has made, and wakes scatter where that was waited for. */
void gt_publish_produced(gt_copy *copy, uint64_t position);
void gt_publish_consumed(gt_copy *copy, uint64_t position);
static inline uint64_t gt_ring_room(gt_copy *copy, uint64_t end) {
  return copy->ring.size - (end - atomic_load(&copy->consumed));
}

static inline uint32_t gt_larger_block(const gt_copy *copy) {
  const gt_copy_options *o = &copy->options;
  return o->source_block_bytes > o->tape_block_bytes ? o->source_block_bytes : o->tape_block_bytes;
}

/* Zero, or -EINVAL with a sentence in err. */
int gt_copy_check_options(const gt_copy_options *options, char *err, size_t err_len);
void gt_copy_set_defaults(gt_copy_options *options);

void gt_end_with_command(gt_ending *ending, gt_result result, bool gather_side, const gt_cmd *cmd);
void gt_end_with_error(gt_ending *ending, gt_result result, bool gather_side, int error);
/* Device or transport error, by how the command ended. */
void gt_end_failed(gt_ending *ending, bool gather_side, const gt_cmd *cmd);

/* Asks for more segments where the program runs short. starving: a side has nothing to go on with. */
void gt_ask_for_more(gt_copy *copy, bool starving);

/* Largest transfer to the unit, in bytes and whole blocks; at least one block. */
uint32_t gt_disk_limit(const gt_copy *copy, uint8_t lu);
void gt_slots_init(gt_slots *slots, uint8_t *memory, uint64_t bytes, uint16_t wanted);
uint8_t *gt_slot_get(gt_slots *slots); /* NULL: none free */
void gt_slot_put(gt_slots *slots, uint8_t *slot);

/* gather_disk.c, gather_tape.c */
enum gt_step { GT_GO, GT_WAIT_SPACE, GT_WAIT_COMMAND, GT_WAIT_MARKS, GT_WAIT_SEGS, GT_WAIT_TIME, GT_END };
/* Is there room for a mark? Where there is none gather is woken once there is. */
bool gt_gather_may_mark(gt_copy *copy, const gt_marks *marks);
bool gt_gather_tag(gt_copy *copy, uint32_t tag, uint64_t position); /* false: no room */
enum gt_step gt_gather_extent(gt_copy *copy, const gt_seg *seg, uint64_t *need);
void gt_gather_repair(gt_copy *copy);
enum gt_step gt_gather_tape(gt_copy *copy, const gt_seg *seg, uint64_t *need);
enum gt_step gt_gather_position(gt_copy *copy, const gt_seg *seg);
void gt_gather_advance(gt_copy *copy);

#endif
