/* What a run may be asked for, and what it gets where nothing was said. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "internal.h"

enum {
  DEFAULT_IO_BYTES = 1 << 20,
  DEFAULT_DEPTH = 16,
  DEEPEST = 256,
  DEFAULT_TIMEOUT_MS = 30000,
  DEFAULT_TAPE_TIMEOUT_MS = 900000,
  DEFAULT_TAPE_START_MS = 2000,
  DEFAULT_TRIES = 8,
  DEFAULT_BUSY_MS = 60000,
  LARGEST_TAPE_BLOCK = 8 << 20,
};

static int refuse(char *err, size_t err_len, const char *sentence) {
  if (err && err_len) snprintf(err, err_len, "%s", sentence);
  return -EINVAL;
}

static bool moves(const gt_copy_lu *lu, uint32_t bytes) {
  return lu->lu->limits.max_transfer >= bytes && (!lu->max_io_bytes || lu->max_io_bytes >= bytes);
}

int gt_copy_check_options(const gt_copy_options *o, char *err, size_t err_len) {
  uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
  if (!o->arena || !o->lus || !o->lu_count) return refuse(err, err_len, "An arena and at least one unit are needed.");
  if (!o->tape_block_bytes || o->tape_block_bytes > LARGEST_TAPE_BLOCK)
    return refuse(err, err_len, "A tape block has 1 to 8388608 bytes.");
  if (o->source_block_bytes > LARGEST_TAPE_BLOCK)
    return refuse(err, err_len, "A block of a source tape has at most 8388608 bytes.");
  uint32_t source = o->source_block_bytes ? o->source_block_bytes : o->tape_block_bytes;
  uint32_t smaller = source < o->tape_block_bytes ? source : o->tape_block_bytes;
  if (o->ring_bytes % page || o->ring_bytes < 4 * page || o->ring_bytes / 4 < o->tape_block_bytes ||
      o->ring_bytes / 4 < source)
    return refuse(err, err_len, "The ring must be whole pages, at least four, and hold at least four tape blocks.");
  if (o->stream_offset > (uint64_t)INT64_MAX) return refuse(err, err_len, "The stream offset is too large.");
  for (unsigned i = 0; i < o->lu_count; i++) {
    const gt_copy_lu *lu = &o->lus[i];
    if (!lu->lu || lu->type > 1) return refuse(err, err_len, "A unit is missing, or neither disk nor tape.");
    if (lu->type == 0 && (lu->block_bytes < 512 || lu->block_bytes > 4096))
      return refuse(err, err_len, "A disk block has 512 to 4096 bytes.");
    /* Which side a drive is on, and so which of the two it has to move, the program tells. */
    if (lu->type == 1 && !moves(lu, smaller))
      return refuse(err, err_len, "The tape block is larger than the drive or its transport can move in one command.");
    for (unsigned j = 0; j < i; j++) {
      if (o->lus[j].lu == lu->lu)
        return refuse(err, err_len, "Two entries name the same unit: each side polls its own.");
    }
  }
  return 0;
}

void gt_copy_set_defaults(gt_copy_options *o) {
  if (!o->source_block_bytes) o->source_block_bytes = o->tape_block_bytes;
  if (!o->io_bytes) o->io_bytes = DEFAULT_IO_BYTES;
  if (!o->depth) o->depth = DEFAULT_DEPTH;
  if (o->depth > DEEPEST) o->depth = DEEPEST;
  if (!o->command_timeout_ms) o->command_timeout_ms = DEFAULT_TIMEOUT_MS;
  if (!o->tape_timeout_ms) o->tape_timeout_ms = DEFAULT_TAPE_TIMEOUT_MS;
  if (!o->tape_start_ms) o->tape_start_ms = DEFAULT_TAPE_START_MS;
  if (!o->retry_limit) o->retry_limit = DEFAULT_TRIES;
  if (!o->busy_limit_ms) o->busy_limit_ms = DEFAULT_BUSY_MS;
  if (!o->digest.bytes) o->digest.tag = 0;
}
