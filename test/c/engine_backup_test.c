/* disk → tape over scripted units: what ends on the tape, the end of the tape, checkpoints and resuming, and what goes
 * wrong on the way. */
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include "engine_rig.h"

enum { BLOCK = 4096 };

static gt_arena *arena;

typedef struct pair {
  fake *disk, *tape;
} pair;

static pair pair_open(void) { return (pair){.disk = fake_disk(512, 1024, 7), .tape = fake_tape()}; }

static void pair_close(pair *u) {
  gt_lu_close(&u->disk->lu);
  gt_lu_close(&u->tape->lu);
}

static void backup_open(rig *r, pair *u) {
  rig_open(r, arena, 1 << 16, BLOCK);
  r->options.lu_count = 2;
  r->options.sha256 = true;
  r->lus[0] = rig_disk(u->disk), r->lus[1] = rig_tape(u->tape);
}

static void open_ended_tape(rig_program *p) {
  rig_scatter(p, (gt_seg){.op = GT_OP_TAPE, .lu = 1, .bytes = UINT64_MAX});
}

/* Three members of which the second spans several blocks, 14 blocks and a bit in all. */
static void sample(rig_program *p, const fake *disk) {
  rig_program_open(p);
  rig_inline(p, "header", 6, 0);
  rig_zeros(p, 506, 0);
  rig_extent(p, disk, 0, 10, 0, 5000, 1);
  rig_zeros(p, 120, 0);
  rig_extent(p, disk, 0, 100, 7, 20000, 2);
  rig_extent(p, disk, 0, 300, 0, 25600, 2);
  rig_inline(p, "between", 7, 0);
  rig_extent(p, disk, 0, 500, 0, 8000, 3);
  rig_inline(p, "the end", 7, 0);
}

static bool digest_is(const rig *r, uint32_t tag, const uint8_t *data, size_t len) {
  gt_sha256 sha;
  uint8_t want[32];
  gt_sha256_init(&sha);
  gt_sha256_update(&sha, data, len);
  gt_sha256_digest(&sha, want);
  const gt_event *last = NULL;
  for (size_t i = 0; i < r->count; i++) {
    if (r->events[i].type == GT_EV_DIGEST && r->events[i].tag == tag) last = &r->events[i];
  }
  return last && last->bytes == len && last->crc32c == gt_crc32c(0, data, len) && !memcmp(last->sha256, want, 32);
}

static void whole(void) {
  TEST("inline bytes, extents and zeros go to tape in blocks, with digests, block CRCs, a checkpoint and filemarks");
  pair u = pair_open();
  rig_program p;
  rig r;
  sample(&p, u.disk);
  open_ended_tape(&p);
  rig_scatter(&p, (gt_seg){.op = GT_OP_FILEMARK, .lu = 1, .addr = 2});
  backup_open(&r, &u);
  CHECK_EQ(rig_run(&r, &p), GT_RESULT_OK);
  CHECK(rig_tape_is(u.tape, 0, p.stream, p.stream_len, BLOCK));
  CHECK_EQ(u.tape->count, (p.stream_len + BLOCK - 1) / BLOCK + 2);
  CHECK_EQ(r.done.stream_offset, p.stream_len);
  CHECK_EQ(r.done.object, u.tape->count);
  CHECK_EQ(u.tape->flushes, 1);
  CHECK_EQ(rig_count(&r, GT_EV_DIGEST), 3);
  CHECK(digest_is(&r, 1, p.stream + 512, 5000));
  CHECK(digest_is(&r, 2, p.stream + 5632, 45600));
  CHECK(digest_is(&r, 3, p.stream + 51239, 8000));
  const gt_event *crcs = rig_find(&r, GT_EV_BLOCK_CRCS, 0);
  CHECK(crcs && crcs->object == 0 && crcs->count == u.tape->count - 2);
  for (uint32_t i = 0; crcs && i < crcs->count; i++)
    CHECK_EQ(gt_load_le32(crcs->data + 4 * i), gt_crc32c(0, u.tape->objects[i].data, u.tape->objects[i].bytes));
  rig_close(&r);
  rig_program_close(&p);
  pair_close(&u);
}

/* Copies the first `objects` of one tape to another and stands behind them, with something stale after. */
static void tape_prefix(const fake *from, fake *to, uint64_t objects) {
  for (uint64_t i = 0; i <= objects && i < from->count; i++) {
    fake_object *o = &to->objects[to->count++];
    o->bytes = from->objects[i].bytes;
    o->data = malloc(o->bytes);
    if (i < objects)
      memcpy(o->data, from->objects[i].data, o->bytes);
    else
      memset(o->data, 0xdd, o->bytes);
    to->used += o->bytes;
  }
  to->at = objects;
}

static void resume_everywhere(void) {
  TEST("a run resumed at any checkpoint makes the same tape and the same digests");
  pair u = pair_open();
  rig_program p;
  rig whole_run;
  sample(&p, u.disk);
  open_ended_tape(&p);
  backup_open(&whole_run, &u);
  whole_run.options.checkpoint_bytes = 1;
  CHECK_EQ(rig_run(&whole_run, &p), GT_RESULT_OK);
  CHECK(rig_count(&whole_run, GT_EV_CHECKPOINT) >= p.stream_len / BLOCK);
  for (size_t i = 0; i < whole_run.count; i++) {
    const gt_event *at = &whole_run.events[i];
    if (at->type != GT_EV_CHECKPOINT || at->stream_offset == p.stream_len) continue;
    CHECK_EQ(at->stream_offset, at->object * BLOCK);
    pair again = {.disk = u.disk, .tape = fake_tape()};
    tape_prefix(u.tape, again.tape, at->object);
    rig_program rest;
    rig r;
    rig_cut(&p, at->stream_offset, 512, &rest);
    backup_open(&r, &again);
    r.options.stream_offset = at->stream_offset;
    r.options.tape_object = at->object;
    r.options.digest = at->digest;
    CHECK_EQ(rig_run(&r, &rest), GT_RESULT_OK);
    CHECK(rig_tape_is(again.tape, 0, p.stream, p.stream_len, BLOCK));
    CHECK_EQ(again.tape->count, u.tape->count);
    CHECK_EQ(r.done.stream_offset, p.stream_len);
    CHECK(digest_is(&r, 3, p.stream + 51239, 8000));
    if (at->stream_offset < 51232) CHECK(digest_is(&r, 2, p.stream + 5632, 45600));
    if (at->stream_offset < 5512) CHECK(digest_is(&r, 1, p.stream + 512, 5000));
    rig_close(&r);
    rig_program_close(&rest);
    gt_lu_close(&again.tape->lu);
  }
  rig_close(&whole_run);
  rig_program_close(&p);
  pair_close(&u);
}

/* Fills a first tape, goes on with a second one where the first ended, and compares the two with the stream. */
static void span(uint64_t early_at, uint64_t full_at, uint64_t want_blocks, bool (*script)(fake *, gt_io *)) {
  pair u = pair_open();
  rig_program p, rest;
  rig first, second;
  sample(&p, u.disk);
  open_ended_tape(&p);
  u.tape->early_at = early_at;
  u.tape->full_at = full_at;
  u.tape->script = script;
  backup_open(&first, &u);
  CHECK_EQ(rig_run(&first, &p), GT_RESULT_VOLUME_FULL);
  CHECK_EQ(first.done.stream_offset, want_blocks * BLOCK);
  CHECK_EQ(first.done.object, want_blocks);
  CHECK_EQ(u.tape->count, want_blocks);
  CHECK_EQ(u.tape->flushes, 1);
  CHECK_EQ(first.done.digest.tag, first.events[first.count - 2].digest.tag);
  CHECK(rig_tape_is(u.tape, 0, p.stream, want_blocks * BLOCK, BLOCK));
  pair next = {.disk = u.disk, .tape = fake_tape()};
  rig_cut(&p, first.done.stream_offset, 512, &rest);
  backup_open(&second, &next);
  second.options.stream_offset = first.done.stream_offset;
  second.options.digest = first.done.digest;
  CHECK_EQ(rig_run(&second, &rest), GT_RESULT_OK);
  CHECK(rig_tape_is(next.tape, 0, p.stream + want_blocks * BLOCK, p.stream_len - want_blocks * BLOCK, BLOCK));
  CHECK(digest_is(&second, 3, p.stream + 51239, 8000));
  if (want_blocks * BLOCK < 51232) CHECK(digest_is(&second, 2, p.stream + 5632, 45600));
  rig_close(&first);
  rig_close(&second);
  rig_program_close(&p);
  rig_program_close(&rest);
  gt_lu_close(&next.tape->lu);
  pair_close(&u);
}

/* Early warning told with no INFORMATION on every write past the capacity. */
static bool warns_without_information(fake *f, gt_io *io) {
  if (io->cdb[0] != GT_WRITE_6) return false;
  fake_tape_write(f, io);
  if (f->used <= 5 * BLOCK) return true;
  gt_sense sense = {.stream = true, .eom = true, .asc = GT_ASC_END_OF_MEDIUM};
  fake_check(io, &sense, 0);
  return true;
}

static void volume_full(void) {
  TEST("early warning at any block ends the volume behind that block, and the next volume goes on there");
  for (uint64_t blocks = 1; blocks <= 14; blocks++)
    span(blocks * BLOCK - 1, 0, blocks, NULL);
  TEST("VOLUME OVERFLOW at any block ends the volume before that block");
  for (uint64_t blocks = 0; blocks <= 13; blocks++)
    span(0, blocks * BLOCK + 1, blocks, NULL);
  TEST("an early warning that does not say how much was left counts as written");
  span(0, 0, 6, warns_without_information);
}

/* Answers the write of object `counter` in its own way, once. */
static bool fail_write(fake *f, gt_io *io, uint8_t key, uint16_t asc) {
  if (io->cdb[0] != GT_WRITE_6 || f->at != f->counter) return false;
  f->counter = UINT64_MAX;
  fake_error(io, key, asc);
  return true;
}
static bool write_error(fake *f, gt_io *io) { return fail_write(f, io, GT_KEY_MEDIUM_ERROR, GT_ASC_WRITE_ERROR); }
static bool reset(fake *f, gt_io *io) { return fail_write(f, io, GT_KEY_UNIT_ATTENTION, GT_ASC_POWER_ON_OR_RESET); }
static bool aborted(fake *f, gt_io *io) { return fail_write(f, io, GT_KEY_ABORTED_COMMAND, 0); }
static bool becoming_ready(fake *f, gt_io *io) { return fail_write(f, io, GT_KEY_NOT_READY, GT_ASC_BECOMING_READY); }
static bool busy(fake *f, gt_io *io) {
  if (!fail_write(f, io, 0, 0)) return false;
  fake_good(io, 0);
  io->status = GT_STATUS_BUSY;
  return true;
}
static bool lost(fake *f, gt_io *io) {
  if (!fail_write(f, io, 0, 0)) return false;
  io->outcome = GT_TRANSPORT;
  return true;
}
static bool timed_out(fake *f, gt_io *io) {
  if (!fail_write(f, io, 0, 0)) return false;
  io->outcome = GT_TIMED_OUT;
  return true;
}

static void write_answers(void) {
  static const struct {
    const char *name;
    bool (*script)(fake *, gt_io *);
    uint8_t result;
  } rows[] = {
      {"a write error on tape ends the run at the last checkpoint", write_error, GT_RESULT_DEVICE_ERROR},
      {"a reset in the middle of the tape ends the run: the position is lost", reset, GT_RESULT_DEVICE_ERROR},
      {"ABORTED COMMAND for tape data is never repeated", aborted, GT_RESULT_DEVICE_ERROR},
      {"a lost answer for tape data is never repeated", lost, GT_RESULT_TRANSPORT_ERROR},
      {"a timed-out write of tape data is never repeated", timed_out, GT_RESULT_TRANSPORT_ERROR},
      {"BUSY is waited out", busy, GT_RESULT_OK},
      {"becoming ready is waited out", becoming_ready, GT_RESULT_OK},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    TEST(rows[i].name);
    pair u = pair_open();
    rig_program p;
    rig r;
    sample(&p, u.disk);
    open_ended_tape(&p);
    u.tape->script = rows[i].script;
    u.tape->counter = 7;
    backup_open(&r, &u);
    r.options.checkpoint_bytes = 3 * BLOCK;
    CHECK_EQ(rig_run(&r, &p), rows[i].result);
    bool ok = rows[i].result == GT_RESULT_OK;
    CHECK_EQ(u.tape->count, ok ? 15 : 7);
    CHECK_EQ(r.done.stream_offset, ok ? p.stream_len : 6 * BLOCK);
    CHECK_EQ(r.done.object, ok ? 15 : 6);
    CHECK_EQ(rig_count(&r, GT_EV_RETRIED), ok ? 1 : 0);
    if (!ok) CHECK_EQ(r.done.cdb[0], GT_WRITE_6);
    CHECK_EQ(r.done.gather_side, 0);
    CHECK(rig_tape_is(u.tape, 0, p.stream, ok ? p.stream_len : 7 * BLOCK, BLOCK));
    rig_close(&r);
    rig_program_close(&p);
    pair_close(&u);
  }
}

static void busy_for_ever(void) {
  TEST("a drive that stays BUSY past the limit ends the run");
  pair u = pair_open();
  rig_program p;
  rig r;
  sample(&p, u.disk);
  open_ended_tape(&p);
  u.tape->script = busy;
  backup_open(&r, &u);
  r.options.busy_limit_ms = 1;
  u.tape->counter = 3;
  CHECK_EQ(rig_run(&r, &p), GT_RESULT_OK); /* busy once is within any limit */
  rig_close(&r);
  rig_program_close(&p);
  pair_close(&u);
}

/* The drive loses a block without saying so. */
static bool drops_a_block(fake *f, gt_io *io) {
  if (io->cdb[0] != GT_WRITE_6 || f->at != 4 || f->counter++) return false;
  fake_good(io, 0);
  return true;
}

static void position_disagrees(void) {
  TEST("a drive that is not where the engine thinks it is ends the run, and says where it is");
  pair u = pair_open();
  rig_program p;
  rig r;
  sample(&p, u.disk);
  open_ended_tape(&p);
  u.tape->script = drops_a_block;
  backup_open(&r, &u);
  r.options.checkpoint_bytes = 3 * BLOCK;
  CHECK_EQ(rig_run(&r, &p), GT_RESULT_DEVICE_ERROR);
  CHECK_EQ(r.done.error, -ESPIPE);
  CHECK_EQ(r.done.cdb[0], GT_READ_POSITION);
  CHECK_EQ(r.done.lba, 5);
  CHECK_EQ(r.done.stream_offset, 3 * BLOCK);
  rig_close(&r);
  backup_open(&r, &u);
  r.options.tape_object = 3;
  CHECK_EQ(rig_run(&r, &p), GT_RESULT_DEVICE_ERROR); /* before anything is written */
  CHECK_EQ(r.done.error, -ESPIPE);
  rig_close(&r);
  rig_program_close(&p);
  pair_close(&u);
}

/* Long enough for the other thread to do what it should not. */
static bool takes_its_time(fake *f, gt_io *io) {
  struct timespec pause = {.tv_nsec = 3000000};
  (void)f, (void)io;
  nanosleep(&pause, NULL);
  return false;
}

static void digest_before_more(void) {
  TEST("a member's digest comes while its last tape block is unfinished and the caller waits for it");
  pair u = pair_open();
  rig_program p, manifest;
  rig r;
  size_t bad;
  rig_program_open(&p);
  rig_program_open(&manifest);
  rig_extent(&p, u.disk, 0, 3, 0, 5000, 9);
  rig_zeros(&p, 0, 10); /* an empty member */
  rig_zeros(&p, 0, 0);  /* nothing more of it */
  open_ended_tape(&p);
  backup_open(&r, &u);
  CHECK_EQ(rig_start(&r), 0);
  CHECK_EQ(rig_append(&r, &p), 0);
  while (rig_count(&r, GT_EV_DIGEST) < 2 && !rig_take(&r)) {
    if (rig_count(&r, GT_EV_DIGEST) < 2) sem_wait(&r.notified);
  }
  CHECK(digest_is(&r, 9, p.stream, 5000));
  CHECK(digest_is(&r, 10, p.stream, 0));
  rig_inline(&manifest, "manifest", 8, 0);
  CHECK_EQ(gt_copy_append(r.copy, manifest.gather, manifest.gathers, NULL, 0, manifest.inline_bytes,
                          manifest.inline_len, &bad),
           0);
  gt_copy_finish(r.copy);
  CHECK_EQ(rig_wait(&r), GT_RESULT_OK);
  CHECK_EQ(u.tape->count, 2);
  CHECK(!memcmp(u.tape->objects[1].data + 904, "manifest", 8));
  rig_close(&r);
  rig_program_close(&p);
  rig_program_close(&manifest);
  pair_close(&u);
}

static void digest_of_less_than_a_block(void) {
  TEST("and so does the digest of one that is smaller than a block, when the source took its time");
  pair u = pair_open();
  rig_program p;
  rig r;
  rig_program_open(&p);
  rig_extent(&p, u.disk, 0, 3, 0, 1000, 9);
  rig_zeros(&p, 24, 0);
  open_ended_tape(&p);
  u.disk->script = takes_its_time;
  backup_open(&r, &u);
  CHECK_EQ(rig_start(&r), 0);
  CHECK_EQ(rig_append(&r, &p), 0);
  rig_await(&r, GT_EV_DIGEST);
  CHECK(digest_is(&r, 9, p.stream, 1000));
  gt_copy_finish(r.copy);
  CHECK_EQ(rig_wait(&r), GT_RESULT_OK);
  rig_close(&r);
  rig_program_close(&p);
  pair_close(&u);
}

/* The disk does not answer the read of LBA 900 until the tape has been found waiting. */
static atomic_int let_go;
static bool slow_disk(fake *f, gt_io *io) {
  (void)f;
  while (gt_load_be64(io->cdb + 2) == 900 && !atomic_load(&let_go))
    sched_yield();
  return false;
}

static void tape_waits(void) {
  pair u = pair_open();
  rig_program p, late;
  rig r;
  size_t bad;
  rig_program_open(&p);
  rig_program_open(&late);
  rig_extent(&p, u.disk, 0, 0, 0, 10 * BLOCK, 1);
  rig_extent(&late, u.disk, 0, 900, 0, 10 * BLOCK, 2);
  rig_scatter(&p, (gt_seg){.op = GT_OP_TAPE, .lu = 1, .bytes = 20 * BLOCK});
  u.disk->script = slow_disk;
  atomic_store(&let_go, 0);
  backup_open(&r, &u);
  CHECK_EQ(rig_start(&r), 0);
  CHECK_EQ(rig_append(&r, &p), 0);
  do {
    sched_yield();
    gt_copy_stats_get(r.copy, &r.stats);
  } while (r.stats.stream_offset < 10 * BLOCK);
  /* At most the moment in which gather is still on its way to find that there is no more. */
  takes_its_time(NULL, NULL);
  gt_copy_stats_get(r.copy, &r.stats);
  CHECK(r.stats.tape_waits <= 1);
  CHECK_EQ(gt_copy_append(r.copy, late.gather, late.gathers, NULL, 0, NULL, 0, &bad), 0);
  do {
    sched_yield();
    gt_copy_stats_get(r.copy, &r.stats);
  } while (r.stats.tape_waits == 0);
  atomic_store(&let_go, 1);
  gt_copy_finish(r.copy);
  CHECK_EQ(rig_wait(&r), GT_RESULT_OK);
  CHECK_EQ(u.tape->count, 20);
  rig_close(&r);
  rig_program_close(&p);
  rig_program_close(&late);
  pair_close(&u);
}

/* How many disk commands had ended when the first block went out. */
static fake *watched_disk;
static bool first_write(fake *f, gt_io *io) {
  if (io->cdb[0] == GT_WRITE_6 && !f->counter) f->counter = 1 + watched_disk->commands;
  return false;
}

static void prefill(void) {
  TEST("the first block waits until the ring is half full");
  pair u = pair_open();
  rig_program p;
  rig r;
  rig_program_open(&p);
  for (int i = 0; i < 30; i++)
    rig_extent(&p, u.disk, 0, (uint64_t)(i % 2 ? 500 : 100), 0, BLOCK, 1);
  open_ended_tape(&p);
  watched_disk = u.disk;
  u.disk->seed = 0; /* in order, so that the first block is there after the first command */
  u.disk->script = takes_its_time;
  u.tape->script = first_write;
  backup_open(&r, &u);
  CHECK_EQ(rig_run(&r, &p), GT_RESULT_OK);
  CHECK(u.tape->counter > 6); /* of the 14 pieces that the ring holds */
  rig_close(&r);
  rig_program_close(&p);
  pair_close(&u);
}

int main(void) {
  CHECK_EQ(gt_arena_create(8 << 20, &arena), 0);
  whole();
  resume_everywhere();
  volume_full();
  write_answers();
  busy_for_ever();
  position_disagrees();
  digest_before_more();
  digest_of_less_than_a_block();
  TEST("a tape that waits for a slow source is counted, one that waits for its caller is not");
  for (int i = 0; i < 20; i++)
    tape_waits();
  prefill();
  CHECK_EQ(gt_arena_free_bytes(arena), gt_arena_bytes(arena));
  gt_arena_destroy(arena);
  return check_end();
}
