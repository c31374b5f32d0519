/* What the source does: tapes with blocks of all sorts, disks with errors; and destinations that are disks. */
#include "engine_rig.h"

enum { BLOCK = 4096 };

static gt_arena *arena;

static void put_block(fake *tape, const uint8_t *data, uint32_t bytes) {
  fake_object *o = &tape->objects[tape->count++];
  o->data = malloc(bytes);
  o->bytes = bytes;
  memcpy(o->data, data, bytes);
  tape->used += bytes;
}

static void put_mark(fake *tape) { tape->objects[tape->count++] = (fake_object){0}; }

static uint8_t *noise(size_t len, uint64_t seed) {
  uint8_t *data = malloc(len);
  for (size_t i = 0; i < len; i++)
    data[i] = (uint8_t)fake_random(&seed);
  return data;
}

static void to_disk_open(rig *r, fake *source, fake *disk) {
  rig_open(r, arena, 1 << 17, BLOCK);
  r->options.lu_count = 2;
  r->lus[0] = source->disk ? rig_disk(source) : rig_tape(source);
  r->lus[1] = rig_disk(disk);
}

static void short_blocks(void) {
  TEST("blocks shorter than asked and filemarks: each TAPE segment gets its bytes, checkpoints name the object");
  fake *tape = fake_tape(), *disk = fake_disk(512, 256, 3);
  uint8_t *data = noise(40000, 5);
  const uint32_t sizes[] = {BLOCK, BLOCK, 100, 1, 4000, BLOCK, BLOCK};
  size_t at = 0;
  for (size_t i = 0; i < 7; i++) {
    if (i == 3) put_mark(tape);
    put_block(tape, data + at, sizes[i]);
    at += sizes[i];
  }
  put_mark(tape);
  rig r;
  rig_program p;
  rig_program_open(&p);
  p.gather[p.gathers++] = (gt_seg){.op = GT_OP_TAPE, .bytes = UINT64_MAX};
  p.gather[p.gathers++] = (gt_seg){.op = GT_OP_TAPE, .bytes = 3000};
  p.gather[p.gathers++] = (gt_seg){.op = GT_OP_TAPE, .bytes = UINT64_MAX};
  rig_scatter(&p, (gt_seg){.op = GT_OP_EXTENT, .lu = 1, .addr = 5, .bytes = 9000, .tag = 1});
  rig_scatter(&p, (gt_seg){.op = GT_OP_DISCARD, .bytes = UINT64_MAX, .tag = 2});
  to_disk_open(&r, tape, disk);
  r.options.checkpoint_bytes = 1;
  CHECK_EQ(rig_run(&r, &p), GT_RESULT_OK);
  CHECK(!memcmp(disk->disk + 5 * 512, data, 9000));
  CHECK_EQ(rig_count(&r, GT_EV_DIGEST), 2);
  CHECK_EQ(rig_find(&r, GT_EV_DIGEST, 0)->crc32c, gt_crc32c(0, data, 9000));
  CHECK_EQ(r.done.stream_offset, at);
  const gt_event *cp = rig_find(&r, GT_EV_CHECKPOINT, 0);
  for (; cp; cp = rig_find(&r, GT_EV_CHECKPOINT, (size_t)(cp - r.events) + 1)) {
    /* cookie: stream byte at which the object starts; the object is the one that the checkpoint's byte is in. */
    uint64_t start = 0, object = 0;
    while (object < tape->count && start + tape->objects[object].bytes <= cp->stream_offset && object + 2 < tape->count)
      start += tape->objects[object++].bytes;
    if (cp->stream_offset == at) continue;
    CHECK(cp->object <= object && cp->cookie <= cp->stream_offset);
    uint64_t sum = 0;
    for (uint64_t i = 0; i < cp->object; i++)
      sum += tape->objects[i].bytes;
    CHECK_EQ(cp->cookie, sum);
    CHECK(cp->stream_offset - cp->cookie <= BLOCK);
  }
  rig_close(&r);
  rig_program_close(&p);
  free(data);
  gt_lu_close(&tape->lu);
  gt_lu_close(&disk->lu);
}

static void ended_tape(void) {
  TEST("a filemark, the end of data or too large a block before the program's end has its own result");
  fake *disk = fake_disk(512, 256, 3);
  uint8_t *data = noise(40000, 6);
  for (int kind = 0; kind < 3; kind++) {
    fake *tape = fake_tape();
    rig r;
    rig_program p;
    put_block(tape, data, BLOCK);
    put_block(tape, data + BLOCK, 1000);
    if (kind == 0) put_mark(tape);
    if (kind == 2) put_block(tape, data, BLOCK + 1);
    rig_program_open(&p);
    p.gather[p.gathers++] = (gt_seg){.op = GT_OP_TAPE, .bytes = 8000};
    rig_scatter(&p, (gt_seg){.op = GT_OP_EXTENT, .lu = 1, .addr = 9, .bytes = 8000});
    to_disk_open(&r, tape, disk);
    CHECK_EQ(rig_run(&r, &p), kind == 2 ? GT_RESULT_BLOCK_TOO_LARGE : GT_RESULT_TAPE_ENDED);
    CHECK_EQ(r.done.gather_side, 1);
    CHECK_EQ(r.done.cdb[0], GT_READ_6);
    CHECK_EQ(r.done.stream_offset, 5096);
    CHECK(!memcmp(disk->disk + 9 * 512, data, 5096));
    rig_close(&r);
    rig_program_close(&p);
    gt_lu_close(&tape->lu);
  }
  free(data);
  gt_lu_close(&disk->lu);
}

static void over_two_tapes(void) {
  TEST("a restore goes on with the next cartridge inside a disk block, wherever the first one ended");
  uint8_t *data = noise(40000, 8);
  for (uint32_t cut = 512; cut < 12000; cut += 1111) {
    fake *first = fake_tape(), *second = fake_tape(), *disk = fake_disk(4096, 64, 11);
    uint8_t before[4096], after[4096];
    memcpy(before, disk->disk + 2 * 4096, 4096);
    memcpy(after, disk->disk + 6 * 4096, 4096);
    for (uint32_t at = 0; at < cut; at += BLOCK)
      put_block(first, data + at, cut - at < BLOCK ? cut - at : BLOCK);
    for (uint32_t at = cut; at < 12288; at += BLOCK)
      put_block(second, data + at, 12288 - at < BLOCK ? 12288 - at : BLOCK);
    rig r;
    rig_program p;
    rig_program_open(&p);
    p.gather[p.gathers++] = (gt_seg){.op = GT_OP_TAPE, .bytes = 12288};
    rig_scatter(&p, (gt_seg){.op = GT_OP_EXTENT, .lu = 1, .addr = 3, .bytes = 12288, .tag = 4});
    to_disk_open(&r, first, disk);
    CHECK_EQ(rig_run(&r, &p), GT_RESULT_TAPE_ENDED);
    CHECK_EQ(r.done.stream_offset, cut);
    gt_digest_state digest = r.done.digest;
    CHECK_EQ(digest.bytes, cut);
    rig_close(&r);
    p.gather[0].bytes = p.scatter[0].bytes = 12288 - cut;
    p.scatter[0].addr = 3 + cut / 4096;
    p.scatter[0].skip = (uint16_t)(cut % 4096);
    to_disk_open(&r, second, disk);
    r.options.stream_offset = cut;
    r.options.digest = digest;
    CHECK_EQ(rig_run(&r, &p), GT_RESULT_OK);
    CHECK(!memcmp(disk->disk + 3 * 4096, data, 12288));
    CHECK(!memcmp(disk->disk + 2 * 4096, before, 4096) && !memcmp(disk->disk + 6 * 4096, after, 4096));
    CHECK_EQ(rig_find(&r, GT_EV_DIGEST, 0)->crc32c, gt_crc32c(0, data, 12288));
    rig_close(&r);
    rig_program_close(&p);
    gt_lu_close(&first->lu);
    gt_lu_close(&second->lu);
    gt_lu_close(&disk->lu);
  }
  free(data);
}

static void positioning(void) {
  for (int how = 0; how < 2; how++) {
    TEST(how ? "without LOCATE the same by REWIND and SPACE" : "LOCATE and SPACE drop what is left of a block");
    fake *tape = fake_tape(), *disk = fake_disk(512, 256, 3);
    uint8_t *data = noise(40000, 9);
    tape->locates = !how;
    for (int i = 0; i < 9; i++) {
      if (i == 2 || i == 5)
        put_mark(tape);
      else
        put_block(tape, data + i * 1000, 1000);
    }
    rig r;
    rig_program p;
    rig_program_open(&p);
    p.gather[p.gathers++] = (gt_seg){.op = GT_OP_LOCATE, .addr = 7};
    p.gather[p.gathers++] = (gt_seg){.op = GT_OP_TAPE, .bytes = 300};
    p.gather[p.gathers++] = (gt_seg){.op = GT_OP_LOCATE, .addr = 3};
    p.gather[p.gathers++] = (gt_seg){.op = GT_OP_TAPE, .bytes = 1200};
    p.gather[p.gathers++] = (gt_seg){.op = GT_OP_LOCATE, .addr = 0};
    p.gather[p.gathers++] = (gt_seg){.op = GT_OP_SPACE, .skip = 1, .addr = 1};
    p.gather[p.gathers++] = (gt_seg){.op = GT_OP_TAPE, .bytes = 20};
    rig_scatter(&p, (gt_seg){.op = GT_OP_HOLD, .bytes = 1520, .addr = 77});
    to_disk_open(&r, tape, disk);
    CHECK_EQ(rig_run(&r, &p), GT_RESULT_OK);
    const gt_event *held = rig_find(&r, GT_EV_HELD, 0);
    CHECK(held && held->cookie == 77 && held->data_len == 1520);
    CHECK(held && !memcmp(held->data, data + 7000, 300) && !memcmp(held->data + 300, data + 3000, 1200));
    CHECK(held && !memcmp(held->data + 1500, data + 3000, 20));
    rig_close(&r);
    rig_program_close(&p);
    free(data);
    gt_lu_close(&tape->lu);
    gt_lu_close(&disk->lu);
  }
}

static void memory_between(void) {
  TEST("bytes from memory stand between those of a tape, in the middle of its blocks and over the ring's end");
  fake *tape = fake_tape(), *disk = fake_disk(512, 4096, 3);
  uint8_t *data = noise(1 << 20, 12), filler[3000];
  uint64_t seed = 77;
  size_t used = 0;
  for (size_t at = 0; at < 1 << 20; at += BLOCK)
    put_block(tape, data + at, BLOCK);
  rig r;
  rig_program p;
  rig_program_open(&p);
  while (used < 1 << 20) {
    size_t bytes = 1 + fake_random(&seed) % 9000, extra = fake_random(&seed) % sizeof filler;
    if (bytes > (1 << 20) - used) bytes = (1 << 20) - used;
    p.gather[p.gathers++] = (gt_seg){.op = GT_OP_TAPE, .bytes = bytes, .tag = 1};
    memcpy(p.stream + p.stream_len, data + used, bytes);
    p.stream_len += bytes;
    used += bytes;
    memset(filler, (int)p.gathers, extra);
    if (fake_random(&seed) % 2)
      rig_zeros(&p, extra, 1);
    else
      rig_inline(&p, filler, extra, 1);
  }
  rig_scatter(&p, (gt_seg){.op = GT_OP_EXTENT, .lu = 1, .addr = 1, .bytes = p.stream_len});
  to_disk_open(&r, tape, disk);
  r.options.ring_bytes = 8 * BLOCK;
  r.options.source_crcs = true;
  CHECK_EQ(rig_run(&r, &p), GT_RESULT_OK);
  CHECK(!memcmp(disk->disk + 512, p.stream, p.stream_len));
  CHECK_EQ(rig_find(&r, GT_EV_DIGEST, 0)->crc32c, gt_crc32c(0, p.stream, p.stream_len));
  const gt_event *crcs = rig_find(&r, GT_EV_BLOCK_CRCS, 0);
  CHECK(crcs && crcs->count == 256 && gt_load_le32(crcs->data + 4 * 100) == gt_crc32c(0, data + 100 * BLOCK, BLOCK));
  rig_close(&r);
  rig_program_close(&p);
  free(data);
  gt_lu_close(&tape->lu);
  gt_lu_close(&disk->lu);
}

static void set_aside(void) {
  TEST("bytes set aside inside a member count for the tape's blocks, but not for the member");
  fake *disk = fake_disk(512, 256, 3), *tape = fake_tape();
  rig r;
  rig_program p;
  uint8_t member[3000];
  rig_program_open(&p);
  rig_extent(&p, disk, 0, 1, 0, 1000, 6);
  rig_inline(&p, "a lead of a cartridge", 21, GT_TAG_ASIDE);
  rig_extent(&p, disk, 0, 20, 0, 2000, 6);
  rig_scatter(&p, (gt_seg){.op = GT_OP_TAPE, .lu = 1, .bytes = UINT64_MAX});
  rig_open(&r, arena, 1 << 16, BLOCK);
  r.options.lu_count = 2;
  r.lus[0] = rig_disk(disk), r.lus[1] = rig_tape(tape);
  CHECK_EQ(rig_run(&r, &p), GT_RESULT_OK);
  memcpy(member, disk->disk + 512, 1000);
  memcpy(member + 1000, disk->disk + 20 * 512, 2000);
  CHECK_EQ(rig_count(&r, GT_EV_DIGEST), 1);
  CHECK_EQ(rig_find(&r, GT_EV_DIGEST, 0)->bytes, 3000);
  CHECK_EQ(rig_find(&r, GT_EV_DIGEST, 0)->crc32c, gt_crc32c(0, member, 3000));
  CHECK_EQ(gt_load_le32(rig_find(&r, GT_EV_BLOCK_CRCS, 0)->data), gt_crc32c(0, p.stream, p.stream_len));
  rig_close(&r);
  rig_program_close(&p);
  gt_lu_close(&tape->lu);
  gt_lu_close(&disk->lu);
}

static void extents_in_one_block(void) {
  TEST("extents that share a disk block are laid over each other in order; what is behind the last byte becomes zeros");
  for (uint64_t seed = 1; seed < 30; seed++) {
    fake *from = fake_disk(512, 1024, 31), *to = fake_disk(4096, 64, seed);
    uint8_t before[4096];
    memcpy(before, to->disk + 30 * 4096, 4096);
    rig r;
    rig_program p;
    rig_program_open(&p);
    rig_extent(&p, from, 0, 3, 0, 30000, 0);
    size_t at = 0;
    for (uint64_t cut = seed; at < p.stream_len; cut += seed + 700) {
      size_t bytes = 1 + cut % 3000;
      if (bytes > p.stream_len - at) bytes = p.stream_len - at;
      rig_scatter(
          &p, (gt_seg){.op = GT_OP_EXTENT, .lu = 1, .addr = at / 4096, .skip = (uint16_t)(at % 4096), .bytes = bytes});
      at += bytes;
    }
    rig_scatter(&p, (gt_seg){.op = GT_OP_EXTENT, .lu = 1, .addr = 30, .skip = 50, .bytes = 100});
    rig_extent(&p, from, 0, 500, 0, 100, 0);
    to_disk_open(&r, from, to);
    CHECK_EQ(rig_run(&r, &p), GT_RESULT_OK);
    CHECK(!memcmp(to->disk, p.stream, 30000));
    for (size_t i = 30000; i < 32768; i++)
      CHECK(!to->disk[i]);
    const uint8_t *last = to->disk + 30 * 4096;
    CHECK(!memcmp(last, before, 50) && !memcmp(last + 50, p.stream + 30000, 100) && !last[150] && !last[4095]);
    rig_close(&r);
    rig_program_close(&p);
    gt_lu_close(&from->lu);
    gt_lu_close(&to->lu);
  }
}

/* LBAs that cannot be read: every one of 100…102, 107 and 131. */
static bool bad(uint64_t lba) { return (lba >= 100 && lba <= 102) || lba == 107 || lba == 131; }
static bool bad_blocks(fake *f, gt_io *io) {
  (void)f;
  if (io->cdb[0] != GT_READ_16) return false;
  uint64_t lba = gt_load_be64(io->cdb + 2);
  for (uint32_t i = 0; i < gt_load_be32(io->cdb + 10); i++) {
    if (!bad(lba + i)) continue;
    memset(io->data, 0xdb, io->data_len); /* what a device leaves behind is not to be trusted */
    fake_error(io, GT_KEY_MEDIUM_ERROR, GT_ASC_UNRECOVERED_READ_ERROR);
    return true;
  }
  return false;
}

static void zero_fill(void) {
  TEST("with zero_fill every block that can be read is copied, the others become zeros and are told as runs");
  fake *from = fake_disk(512, 256, 3), *to = fake_disk(512, 256, 4);
  rig r;
  rig_program p;
  rig_program_open(&p);
  rig_extent(&p, from, 0, 90, 0, 40 * 512, 1);
  rig_extent(&p, from, 0, 131, 100, 2000, 1);
  for (uint64_t lba = 0; lba < 256; lba++) {
    if (bad(lba) && lba < 130) memset(p.stream + (lba - 90) * 512, 0, 512);
  }
  memset(p.stream + 40 * 512, 0, 412);
  rig_scatter(&p, (gt_seg){.op = GT_OP_EXTENT, .lu = 1, .bytes = p.stream_len});
  from->script = bad_blocks;
  to_disk_open(&r, from, to);
  r.options.zero_fill = true;
  r.options.stream_offset = 1000;
  CHECK_EQ(rig_run(&r, &p), GT_RESULT_OK);
  CHECK(!memcmp(to->disk, p.stream, p.stream_len));
  static const struct {
    uint64_t lba, blocks, offset;
  } want[] = {{100, 3, 10 * 512}, {107, 1, 17 * 512}, {131, 1, 40 * 512}};
  CHECK_EQ(rig_count(&r, GT_EV_MEDIUM_ERROR), 3);
  CHECK_EQ(r.stats.medium_errors, 5);
  for (size_t i = 0; i < 3; i++) {
    bool found = false;
    for (size_t j = 0; j < r.count; j++) {
      const gt_event *e = &r.events[j];
      found = found || (e->type == GT_EV_MEDIUM_ERROR && e->lba == want[i].lba && e->blocks == want[i].blocks &&
                        e->stream_offset == 1000 + want[i].offset && e->sense_len >= 18 && e->lu == 0);
    }
    CHECK(found);
  }
  rig_close(&r);
  TEST("without it the first medium error ends the run, after what came before it");
  to_disk_open(&r, from, to);
  r.options.io_bytes = 512;
  r.options.depth = 1;
  CHECK_EQ(rig_run(&r, &p), GT_RESULT_DEVICE_ERROR);
  CHECK_EQ(r.done.gather_side, 1);
  CHECK_EQ(r.done.stream_offset, 10 * 512);
  CHECK_EQ(r.done.sense[2] & 0xf, GT_KEY_MEDIUM_ERROR);
  rig_close(&r);
  rig_program_close(&p);
  gt_lu_close(&from->lu);
  gt_lu_close(&to->lu);
}

/* One answer in seven is not what it should be; the command is not done. */
static bool shaky(fake *f, gt_io *io) {
  if (io->cdb[0] == GT_SYNCHRONIZE_CACHE_16 || f->commands % 7) return false;
  fake_good(io, 0);
  switch (f->counter++ % 7) {
  case 0: {
    /* A reset loses nothing of a source. */
    bool read = io->cdb[0] == GT_READ_16;
    fake_error(io, GT_KEY_UNIT_ATTENTION, read ? GT_ASC_POWER_ON_OR_RESET : GT_ASC_MODE_PARAMETERS_CHANGED);
    break;
  }
  case 1: fake_error(io, GT_KEY_ABORTED_COMMAND, 0x4700); break;
  case 2: io->status = GT_STATUS_TASK_SET_FULL; break;
  case 3: io->resid = 512; break;
  case 4: fake_error(io, GT_KEY_NOT_READY, GT_ASC_BECOMING_READY); break;
  case 5: io->status = GT_STATUS_TASK_ABORTED; break;
  default: io->status = GT_STATUS_BUSY;
  }
  return true;
}

static void shaky_disks(void) {
  TEST("disks that answer badly now and then: every command is repeated until it is done, and the copy is right");
  fake *from = fake_disk(512, 4096, 21), *to = fake_disk(512, 4096, 22);
  rig r;
  rig_program p;
  rig_program_open(&p);
  for (uint64_t i = 0; i < 100; i++)
    rig_extent(&p, from, 0, i * 37 % 4000, 0, 40 * 512, 0);
  for (uint64_t i = 0; i < 100; i++)
    rig_scatter(&p, (gt_seg){.op = GT_OP_EXTENT, .lu = 1, .addr = i * 40, .bytes = 40 * 512});
  from->script = to->script = shaky;
  to_disk_open(&r, from, to);
  CHECK_EQ(rig_run(&r, &p), GT_RESULT_OK);
  CHECK(!memcmp(to->disk, p.stream, p.stream_len));
  CHECK(r.stats.gather.retries > 5 && r.stats.scatter.retries > 5);
  CHECK(rig_count(&r, GT_EV_RETRIED) >= 2);
  CHECK_EQ(to->flushes, 1);
  rig_close(&r);
  rig_program_close(&p);
  gt_lu_close(&from->lu);
  gt_lu_close(&to->lu);
}

/* At the command of that number the disk says that it was reset. */
static bool was_reset(fake *f, gt_io *io) {
  if (f->commands != f->counter) return false;
  fake_error(io, GT_KEY_UNIT_ATTENTION, GT_ASC_POWER_ON_OR_RESET);
  return true;
}

static void reset_destination(void) {
  /* Eight writes, a flush, and so on. */
  static const struct {
    const char *name;
    uint64_t command;
    gt_result result;
    uint64_t offset;
  } rows[] = {{"a destination disk that was reset before its first write is written", 1, GT_RESULT_OK, 32 * 512},
              {"reset when all that it answered was flushed, too", 10, GT_RESULT_OK, 32 * 512},
              {"reset with writes in its cache, the run ends at the checkpoint before them", 13, GT_RESULT_DEVICE_ERROR,
               8 * 512},
              {"and so it does where the flush is what hears of it", 18, GT_RESULT_DEVICE_ERROR, 8 * 512}};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    TEST(rows[i].name);
    fake *from = fake_disk(512, 64, 31), *to = fake_disk(512, 64, 32);
    rig r;
    rig_program p;
    rig_program_open(&p);
    rig_extent(&p, from, 0, 0, 0, 32 * 512, 0);
    rig_scatter(&p, (gt_seg){.op = GT_OP_EXTENT, .lu = 1, .addr = 0, .bytes = 32 * 512});
    to->script = was_reset;
    to->counter = rows[i].command;
    to_disk_open(&r, from, to);
    r.options.io_bytes = 512;
    r.options.depth = 1;
    r.options.checkpoint_bytes = 8 * 512;
    CHECK_EQ(rig_run(&r, &p), rows[i].result);
    CHECK_EQ(r.done.stream_offset, rows[i].offset);
    CHECK_EQ(r.done.gather_side, 0);
    rig_close(&r);
    rig_program_close(&p);
    gt_lu_close(&from->lu);
    gt_lu_close(&to->lu);
  }
}

static bool always_aborted(fake *f, gt_io *io) {
  f->counter++;
  fake_error(io, GT_KEY_ABORTED_COMMAND, 0x4700);
  return true;
}
static bool resized(fake *f, gt_io *io) {
  f->counter++;
  fake_error(io, GT_KEY_UNIT_ATTENTION, 0x2a09);
  return true;
}
static bool reserved(fake *f, gt_io *io) {
  f->counter++;
  fake_good(io, 0);
  io->status = GT_STATUS_RESERVATION_CONFLICT;
  return true;
}

static void limits_of_retry(void) {
  static const struct {
    const char *name;
    bool (*script)(fake *, gt_io *);
    unsigned tries;
  } rows[] = {{"a command is tried as often as the limit says", always_aborted, 3},
              {"a capacity that changed ends the run at once", resized, 1},
              {"RESERVATION CONFLICT ends the run at once", reserved, 1}};
  for (size_t i = 0; i < 3; i++) {
    for (int side = 0; side < 2; side++) {
      TEST(rows[i].name);
      fake *from = fake_disk(512, 64, 21), *to = fake_disk(512, 64, 22), *shaking = side ? from : to;
      rig r;
      rig_program p;
      rig_program_open(&p);
      rig_extent(&p, from, 0, 1, 0, 4096, 0);
      rig_scatter(&p, (gt_seg){.op = GT_OP_EXTENT, .lu = 1, .addr = 2, .bytes = 4096});
      shaking->script = rows[i].script;
      to_disk_open(&r, from, to);
      r.options.retry_limit = 3;
      CHECK_EQ(rig_run(&r, &p), GT_RESULT_DEVICE_ERROR);
      CHECK_EQ(r.done.gather_side, side);
      CHECK_EQ(shaking->counter, rows[i].tries);
      rig_close(&r);
      rig_program_close(&p);
      gt_lu_close(&from->lu);
      gt_lu_close(&to->lu);
    }
  }
}

static void program_ends_do_not_meet(void) {
  TEST("a program whose sides differ in bytes ends as an error of its maker, never in waiting");
  for (int longer = 0; longer < 2; longer++) {
    fake *from = fake_disk(512, 1024, 21), *to = fake_disk(512, 1024, 22);
    rig r;
    rig_program p;
    rig_program_open(&p);
    rig_extent(&p, from, 0, 0, 0, 400000 + (longer ? 100000 : 0), 0);
    rig_scatter(&p, (gt_seg){.op = GT_OP_EXTENT, .lu = 1, .bytes = 400000 + (longer ? 0 : 1)});
    to_disk_open(&r, from, to);
    CHECK_EQ(rig_run(&r, &p), GT_RESULT_INTERNAL);
    CHECK_EQ(r.done.error, -EINVAL);
    rig_close(&r);
    rig_program_close(&p);
    gt_lu_close(&from->lu);
    gt_lu_close(&to->lu);
  }
}

int main(void) {
  CHECK_EQ(gt_arena_create(8 << 20, &arena), 0);
  short_blocks();
  ended_tape();
  over_two_tapes();
  positioning();
  memory_between();
  set_aside();
  extents_in_one_block();
  zero_fill();
  shaky_disks();
  reset_destination();
  limits_of_retry();
  program_ends_do_not_meet();
  CHECK_EQ(gt_arena_free_bytes(arena), gt_arena_bytes(arena));
  gt_arena_destroy(arena);
  return check_end();
}
