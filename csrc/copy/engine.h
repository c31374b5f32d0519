/* The block copy engine: runs a segment program. It knows extents, tape blocks, queue depth, buffers,
 * retry and checkpoints; it knows no file system, no MQTT and no EXTENDED COPY.
 *
 * A program is two lists over one byte stream. *Gather* segments make the stream, *scatter* segments
 * use it up, in order; the engine cuts pieces where either list or a device's limit has an edge:
 *
 *   backup   gather INLINE, EXTENT, ZEROS              scatter TAPE (fixed-length tape blocks), FILEMARK
 *   restore  gather TAPE                               scatter DISCARD, HOLD, EXTENT
 *   clone    gather EXTENT                             scatter EXTENT
 *   image    gather TAPE to the filemark               scatter TAPE | AS_GATHERED, FILEMARK
 *   verify   gather TAPE or EXTENT                     scatter DISCARD (digest only) or COMPARE (an extent)
 *
 * The stream lives in a ring mapped twice in a row, so that every piece is contiguous in memory: reads
 * from the source land where writes to the destination leave from, and nothing is copied on the way
 * except inline bytes and the tails of extents that end inside a block.
 *
 * The program comes in pieces (gt_copy_append) so that a list of ten million files never exists as a
 * whole; GT_EV_HUNGRY asks for more. One run has at most one tape on each side and ends at the end of a
 * volume; the caller goes on with the next cartridge in a new run.
 *
 * Members. Segments with the same tag, one after the other, are one member; it is complete when a segment with
 * another tag (0 too) follows or the program ends. INLINE, ZEROS and DISCARD may have no bytes: such a segment
 * makes an empty member, or with tag 0 ends the one before, so that its digest comes while the caller still
 * thinks about what comes next. A program that resumes at a checkpoint starts with everything that stands at its
 * stream offset.
 *
 * Threads: the engine starts two of its own (gather, scatter) for each run. All functions here may be
 * called by one controlling thread; notify is called by an engine thread and must not block. */
#ifndef GT_ENGINE_H
#define GT_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../transport/lu.h"

typedef enum gt_op {
  GT_OP_INLINE = 1,  /* gather: addr = offset in this append's inline bytes */
  GT_OP_EXTENT = 2,  /* either side: addr = first LBA, skip = bytes of its first block passed over (by scatter: kept) */
  GT_OP_ZEROS = 3,   /* gather */
  GT_OP_TAPE = 4,    /* gather: the next `bytes` of tape data (UINT64_MAX: to the filemark);
                        scatter: into tape blocks of options.tape_block_bytes */
  GT_OP_DISCARD = 5, /* scatter: digested, not kept */
  GT_OP_HOLD = 6,    /* scatter: kept for the caller (GT_EV_HELD), at most GT_HOLD_MAX bytes; addr = caller's cookie */
  GT_OP_COMPARE = 7, /* scatter: read the extent and compare; a difference is GT_EV_MISCOMPARE */
  GT_OP_FILEMARK = 8, /* scatter, bytes = 0: ends the current tape block as it is (short), writes addr filemarks */
  GT_OP_FLUSH = 9,    /* scatter, bytes = 0: everything before it is on the medium before anything after it, and a
                         checkpoint says so */
  GT_OP_LOCATE =
      10, /* either side, bytes = 0: tape to logical object addr; what was left of a gathered block is dropped */
  GT_OP_SPACE =
      11, /* either side, bytes = 0: SPACE, skip = code (0 blocks, 1 filemarks, 3 end of data), addr = signed count */
} gt_op;

enum { GT_HOLD_MAX = 1u << 20 };

/* Flags of a scatter segment, above the 12 bits of `skip` that count bytes. Where a segment cannot have one, append
 * refuses it. */
enum {
  GT_SKIP_MAX = 0x0fff,
  /* EXTENT: bytes behind the end in the last block stay as they are on the disk, as those before `skip` do. */
  GT_SEG_KEEP = 0x8000,
  /* EXTENT, TAPE, DISCARD of 1 to GT_HOLD_MAX bytes: these go where they go, and a copy of them is GT_EV_HELD with the
   * stream offset of the first as its cookie. It is told when the last byte was taken, which is before it is on the
   * medium; where the run ends inside the segment, at the end with what was taken. */
  GT_SEG_HELD = 0x4000,
  /* TAPE of UINT64_MAX bytes: the blocks are those of the source tape, whatever their lengths, up to the larger of
   * tape_block_bytes and source_block_bytes, which both drives must be able to move. It ends where gather's segment
   * does, at the filemark. All data of such a run go so: gather has nothing but TAPE to the filemark, one for each of
   * these; and the first of them is appended before any of gather's, or with it. */
  GT_SEG_AS_GATHERED = 0x2000,
};

/* Tag of stream bytes that stand inside a member without being of it (the lead of a cartridge that goes on with
 * it): they go into tape block checksums, but neither into a member's digest nor do they close it. */
#define GT_TAG_ASIDE UINT32_MAX

/* 24 bytes: this is all that an extent of a list costs in the data plane. A unit serves one side of a run only, and
 * a side has either a tape or disks. */
typedef struct gt_seg {
  uint64_t addr;
  uint64_t bytes; /* stream bytes. An EXTENT may end inside its last block: gather drops the rest,
                     scatter fills it with zeros (or keeps it: GT_SEG_KEEP) */
  uint32_t tag;   /* member number for the digests, 0 = none; set it on one side only */
  uint8_t op;     /* gt_op */
  uint8_t lu;     /* index into gt_copy_options.lus */
  uint16_t skip;  /* and flags (GT_SEG_KEEP and others) */
} gt_seg;

/* Memory for rings: one memfd, made and touched at start, lent out in slices. */
typedef struct gt_arena gt_arena;
int gt_arena_create(uint64_t bytes, gt_arena **out);
uint64_t gt_arena_bytes(const gt_arena *arena);
uint64_t gt_arena_free_bytes(gt_arena *arena);
void gt_arena_destroy(gt_arena *arena); /* -EBUSY is a bug of the caller: asserts that no slice is out */

/* Digest state of the member that is open at a checkpoint, so that a resumed run goes on with it. */
typedef struct gt_digest_state {
  uint32_t tag;
  uint32_t crc32c;
  uint32_t sha_state[8];
  uint64_t sha_bytes;
  uint8_t sha_tail[64];
  uint64_t bytes; /* of this member so far */
} gt_digest_state;

typedef struct gt_copy_lu {
  gt_lu *lu;             /* the engine is its poller for the whole run */
  uint32_t block_bytes;  /* disk: logical block; tape: 0 */
  uint32_t max_io_bytes; /* device's own limit (VPD B0h, READ BLOCK LIMITS); 0: the transport's */
  uint64_t blocks;       /* disk: capacity; an extent past it is refused by append */
  uint8_t type;          /* peripheral device type: 0 disk, 1 tape */
} gt_copy_lu;

typedef struct gt_copy_options {
  gt_arena *arena;
  uint64_t ring_bytes; /* multiple of the page size and of no less than 4 tape blocks of either side; between immediate
                          devices only what fits the caches is used of it */
  const gt_copy_lu *lus;
  uint8_t lu_count;
  uint32_t tape_block_bytes;   /* 1 … 8 MiB: of the destination */
  uint32_t source_block_bytes; /* 1 … 8 MiB: largest block expected on a source tape; 0: tape_block_bytes */
  uint32_t io_bytes;           /* largest disk transfer wanted; 0: 1 MiB */
  uint16_t depth;              /* disk commands outstanding on each side; 0: 16 */
  bool keep_member;  /* the member that is open at the program's end goes on in another run: it is not closed */
  bool leave_cached; /* what a destination disk has taken may stay in its cache, as with a WRITE: it is not flushed,
                        and "on the medium" means that the disk has it */
  bool source_crcs;  /* BLOCK_CRCS of the blocks that a tape source gave, too */
  bool sha256;       /* SHA-256 of each tagged member, besides CRC32C */
  bool zero_fill;    /* medium errors of a disk source: record, fill with zeros, go on */
  uint64_t stream_offset;        /* stream position of the first byte of this run (for events) */
  uint64_t tape_object;          /* logical object number at which the tape stands */
  gt_digest_state digest;        /* digest in progress at stream_offset; tag 0: none */
  uint64_t checkpoint_bytes;     /* destination bytes between checkpoints; 0: none but the last */
  uint32_t checkpoint_ms;        /* or this much time since the last one; 0: by bytes only */
  uint64_t bytes_per_s;          /* bandwidth limit; 0: none */
  uint32_t command_timeout_ms;   /* disk; 0: 30000 */
  uint32_t tape_timeout_ms;      /* tape data and filemarks; 0: 900000 */
  uint32_t tape_start_ms;        /* a tape is started this long after its first block was there, however much there is
                                    by then; 0: 2000 */
  uint32_t retry_limit;          /* tries per command; 0: 8 */
  uint32_t busy_limit_ms;        /* how long BUSY, TASK SET FULL and "becoming ready" are waited out; 0: 60000 */
  void (*notify)(void *context); /* events are waiting; coalesced; NULL: none */
  void *notify_context;
} gt_copy_options;

typedef enum gt_event_type {
  GT_EV_HUNGRY = 1, /* both sides have fewer than GT_LOW_SEGS segments left, or one has none to go on with, or what was
                       refused with -ENOSPC fits now. Once after the start and after each append */
  GT_EV_CHECKPOINT, /* everything before stream_offset is on the medium; count = 1: DONE follows, the run is at its end.
                       object: tape destination, where the next block goes; tape source, the object that the byte at
                       stream_offset is in (or an earlier one), of which the first byte is stream byte `cookie` */
  GT_EV_DIGEST, /* member `tag` is complete: crc32c, sha256, bytes; stream_offset = after its last byte. To be trusted
                   over a crash only when a checkpoint at or after that offset has been seen */
  GT_EV_BLOCK_CRCS,   /* CRC32C of tape blocks [object, object + count): those written come before the checkpoint that
                         covers them */
  GT_EV_HELD,         /* bytes kept by HOLD, or copies of them by GT_SEG_HELD: cookie, data, data_len */
  GT_EV_MEDIUM_ERROR, /* zero_fill: lu, lba, blocks lost, sense; stream_offset */
  GT_EV_MISCOMPARE,   /* lu, lba, stream_offset of the first difference in the piece */
  GT_EV_RETRIED,      /* a command was repeated: lu, sense or outcome, attempt (coalesced to one a second) */
  GT_EV_DONE,         /* the last event: result; stream_offset, object, digest and cookie of the last checkpoint */
} gt_event_type;

typedef enum gt_result {
  GT_RESULT_OK = 0,
  GT_RESULT_CANCELLED,       /* with the command in it where the destination had failed by then */
  GT_RESULT_VOLUME_FULL,     /* early warning: the tape was ended cleanly at stream_offset (a block edge);
                                the flush succeeded, no filemark has been written */
  GT_RESULT_TAPE_ENDED,      /* source tape: filemark, end of data or end of medium came before the program's end */
  GT_RESULT_DEVICE_ERROR,    /* CHECK CONDITION or another status that was not to be mended: lu, sense. error = -ESPIPE:
                                the tape does not stand where it should, but at object `lba` */
  GT_RESULT_TRANSPORT_ERROR, /* outcome other than delivered, retries used up */
  GT_RESULT_BLOCK_TOO_LARGE, /* source tape holds a block larger than was expected */
  GT_RESULT_INTERNAL,        /* errno in `error`; -EINVAL: the two sides do not describe the same number of bytes */
} gt_result;

typedef struct gt_event {
  uint8_t type;   /* gt_event_type */
  uint8_t result; /* gt_result */
  uint8_t lu;
  uint8_t status;      /* SCSI status of the command that ended it */
  uint8_t outcome;     /* gt_outcome */
  uint8_t gather_side; /* 1: the source failed, 0: the destination */
  uint8_t sense_len;
  uint8_t sense[GT_SENSE_MAX];
  uint8_t cdb[GT_CDB_MAX]; /* of the failing command */
  uint8_t cdb_len;
  int32_t error;
  uint32_t tag, crc32c, count;
  uint8_t sha256[32];
  uint64_t stream_offset; /* absolute: options.stream_offset + bytes of this run */
  uint64_t object;        /* logical object number on tape where the next block goes (or came from) */
  uint64_t lba, blocks, bytes, cookie;
  gt_digest_state digest; /* CHECKPOINT, VOLUME_FULL: digest in progress at stream_offset */
  uint8_t *data;          /* HELD; BLOCK_CRCS: count × uint32_t little-endian. Freed by gt_event_release */
  uint32_t data_len;
} gt_event;

typedef struct gt_stage_stats {
  uint64_t bytes, commands, retries;
  uint64_t busy_ns; /* commands were outstanding */
  uint64_t wait_ns; /* had nothing to do: gather waits for ring space, scatter for data */
} gt_stage_stats;

typedef struct gt_copy_stats {
  gt_stage_stats gather, scatter;
  /* Times the tape was ready for its next block, the program had more, and data was not there. It then stands still
   * until half of the ring is full. A drive that is still filling a large buffer of its own is ready all the time. */
  uint64_t tape_waits;
  uint64_t tape_wait_ns;
  uint64_t throttle_ns;        /* spent on purpose: bandwidth limit or pause */
  uint64_t stream_offset;      /* used up by the destination, absolute */
  uint64_t medium_errors;      /* blocks zero-filled */
  uint64_t started_ns, now_ns; /* CLOCK_MONOTONIC */
} gt_copy_stats;

typedef struct gt_copy gt_copy;
enum { GT_LOW_SEGS = 4096, GT_QUEUE_SEGS = 65536 };

/* Validates options, maps the ring and starts the threads. -ENOMEM: the arena has no such slice. */
int gt_copy_start(const gt_copy_options *options, gt_copy **out, char *err, size_t err_len);
/* Copies what it is given. -ENOSPC: the queue holds GT_QUEUE_SEGS already (take nothing, try again after
 * HUNGRY; a call with more than GT_QUEUE_SEGS on either side is -EINVAL). -EINVAL: a segment is wrong: *bad = its index
 * (gather first, then scatter), nothing is taken; or finish was called. The two sides need not describe the same
 * number of bytes until finish, but should go in step to within the ring: one side cannot go on without the other.
 * At most 64 MiB of inline bytes wait at a time: more is -ENOSPC, in one call -EINVAL. */
int gt_copy_append(gt_copy *copy, const gt_seg *gather, size_t gathers, const gt_seg *scatter, size_t scatters,
                   const uint8_t *inline_bytes, size_t inline_len, size_t *bad);
void gt_copy_finish(gt_copy *copy); /* no more appends; a last short tape block is written */
void gt_copy_pause(gt_copy *copy);
void gt_copy_resume(gt_copy *copy);
void gt_copy_cancel(gt_copy *copy); /* outstanding commands are waited for (aborted after 5 s); ends in DONE */
void gt_copy_rate(gt_copy *copy, uint64_t bytes_per_s);
void gt_copy_stats_get(gt_copy *copy, gt_copy_stats *out);
/* Takes up to max events; returns how many. notify is called again only after a call that found less than max. A full
 * queue holds the run up: nothing is lost. */
size_t gt_copy_take(gt_copy *copy, gt_event *events, size_t max);
void gt_event_release(gt_event *event);
/* Cancels if need be, joins the threads, gives the slice back and frees. The LUs stay open. */
void gt_copy_close(gt_copy *copy);

#endif
