/* Reading and writing of a cartridge: one system call for each record in the steady state, and the payload
 * goes straight between the file and the caller's buffer. */
#include "device/cartridge.h"

#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/bytes.h"
#include "device/write_buffer.h"

enum { BATCH_BLOCKS = 64, MARKS_AT_ONCE = 4096 };
/* An index is saved while a tape is written when this much, and an eighth of all, is new. */
#define SAVE_BYTES (4ull << 30)

/* Data and what follows it: pad, trailing word, and the next object's first word where there is one. The
 * tail is looked at only when all of the data fits. */
static int read_whole_record(gt_cartridge *cartridge, const gt_tap_object *object, void *data) {
  uint8_t tail[1 + 4 + 4];
  uint32_t pad = object->length & 1;
  struct iovec vectors[2] = {{data, object->length}, {tail, pad + 8}};
  if (object->next + 4 > cartridge->size) vectors[1].iov_len = pad + 4;
  ssize_t got = preadv(cartridge->fd, vectors, 2, (off_t)object->data);
  if (got < (ssize_t)(object->length + pad + 4)) {
    /* Short or interrupted: the slow way, which also finds out why. */
    int error = gt_tap_pread(cartridge->fd, data, object->length, object->data);
    if (!error) error = gt_tap_pread(cartridge->fd, tail, pad + 4, object->data + object->length);
    if (error) return error == -ENODATA ? -EIO : error;
    got = 0;
  }
  if (gt_load_le32(tail + pad) != object->word) return -EILSEQ;
  bool ahead = got == (ssize_t)(object->length + pad + 8);
  cartridge->ahead_at = ahead ? object->next : UINT64_MAX;
  cartridge->ahead_word = ahead ? gt_load_le32(tail + pad + 4) : 0;
  return 0;
}

static int read_part(gt_cartridge *cartridge, const gt_tap_object *object, void *data, uint64_t room) {
  uint8_t trailing[4];
  int error = room ? gt_tap_pread(cartridge->fd, data, room, object->data) : 0;
  if (!error) error = gt_tap_pread(cartridge->fd, trailing, 4, object->next - 4);
  if (error) return error == -ENODATA ? -EIO : error;
  return gt_load_le32(trailing) == object->word ? 0 : -EILSEQ;
}

int gt_cartridge_read(gt_cartridge *cartridge, const gt_tap_object *object, void *data, uint64_t room) {
  int error =
      room >= object->length ? read_whole_record(cartridge, object, data) : read_part(cartridge, object, data, room);
  if (!error) gt_cartridge_pass(cartridge, object);
  return error;
}

/* Before a write: what lies behind the head goes, on disk first the index that speaks of it. */
static int make_end_here(gt_cartridge *cartridge) {
  cartridge->unsynced = true;
  cartridge->index_current = false;
  cartridge->ahead_at = UINT64_MAX;
  cartridge->window.have = 0;
  bool cut = cartridge->size != cartridge->here.offset;
  int error = cartridge->buffer ? gt_write_buffer_begin(cartridge, cut) : 0;
  if (error || !cut) return error;
  if (cartridge->here.offset < cartridge->indexed) {
    if (unlink(cartridge->index_path) && errno != ENOENT) return -errno;
    cartridge->indexed = 0;
  }
  if (!cartridge->buffer && ftruncate(cartridge->fd, (off_t)cartridge->here.offset)) return -errno;
  cartridge->size = cartridge->here.offset;
  cartridge->end = cartridge->here;
  cartridge->damaged = false;
  gt_tap_index_cut(&cartridge->index, &cartridge->here);
  return 0;
}

static void skip_written(struct iovec **vectors, int *count, size_t written) {
  while (*count && written >= (*vectors)->iov_len) {
    written -= (*vectors)->iov_len;
    ++*vectors, --*count;
  }
  if (!*count) return;
  (*vectors)->iov_base = (uint8_t *)(*vectors)->iov_base + written;
  (*vectors)->iov_len -= written;
}

/* Writes all of the vectors at the head: 0 or a negative errno; *done = bytes that are there. */
static int write_vectors(gt_cartridge *cartridge, struct iovec *vectors, int count, uint64_t *done) {
  if (cartridge->buffer) return gt_write_buffer_put(cartridge, vectors, count, done);
  int fd = cartridge->fd;
  uint64_t offset = cartridge->here.offset;
  for (*done = 0; count;) {
    ssize_t put = pwritev(fd, vectors, count, (off_t)(offset + *done));
    if (put == 0 || (put < 0 && errno != EINTR)) return put ? -errno : -ENOSPC;
    if (put < 0) continue;
    *done += (uint64_t)put;
    skip_written(&vectors, &count, (size_t)put);
  }
  return 0;
}

static void advance(gt_cartridge *cartridge, uint64_t bytes, uint32_t data, uint32_t files) {
  gt_tap_place *here = &cartridge->here;
  here->offset += bytes;
  here->object++;
  here->data += data;
  here->files += files;
  gt_tap_index_note(&cartridge->index, here);
}

/* After `done` bytes of equal objects were written, of which only whole ones count. */
static int account(gt_cartridge *cartridge, uint64_t each, uint32_t data, uint32_t files, uint64_t done, int error) {
  for (uint64_t whole = done / each; whole; whole--)
    advance(cartridge, each, data, files);
  cartridge->end = cartridge->here;
  cartridge->size = cartridge->here.offset;
  if (error && !cartridge->buffer && ftruncate(cartridge->fd, (off_t)cartridge->here.offset))
    cartridge->size = UINT64_MAX;
  return error;
}

/* Up to BATCH_BLOCKS records in one call. Between two of them stand the trailing word of the first and the
 * leading word of the second, which are the same for all, so one piece of glue serves them all. */
static int write_batch(gt_cartridge *cartridge, const uint8_t *data, uint32_t block_bytes, uint32_t blocks) {
  uint8_t glue[1 + 4 + 4] = {0};
  struct iovec vectors[2 * BATCH_BLOCKS + 1];
  uint32_t pad = block_bytes & 1;
  uint64_t done;
  int count = 0;
  gt_store_le32(glue + pad, block_bytes);
  gt_store_le32(glue + pad + 4, block_bytes);
  vectors[count++] = (struct iovec){glue + pad + 4, 4};
  for (uint32_t i = 0; i < blocks; i++) {
    vectors[count++] = (struct iovec){(uint8_t *)data + (uint64_t)i * block_bytes, block_bytes};
    vectors[count++] = (struct iovec){glue, pad + (i + 1 < blocks ? 8 : 4)};
  }
  int error = write_vectors(cartridge, vectors, count, &done);
  return account(cartridge, gt_tap_record_bytes(block_bytes), block_bytes, 0, done, error);
}

int gt_cartridge_write(gt_cartridge *cartridge, const void *data, uint32_t block_bytes, uint32_t blocks,
                       uint32_t *written) {
  *written = 0;
  uint64_t fit = GT_WRITE_BUFFER_BYTES / gt_tap_record_bytes(block_bytes);
  uint32_t most = cartridge->buffer && fit < BATCH_BLOCKS ? (uint32_t)fit : BATCH_BLOCKS;
  int error = make_end_here(cartridge);
  while (!error && *written < blocks) {
    uint32_t batch = blocks - *written < most ? blocks - *written : most;
    uint64_t before = cartridge->here.object;
    error = write_batch(cartridge, (const uint8_t *)data + (uint64_t)*written * block_bytes, block_bytes, batch);
    *written += (uint32_t)(cartridge->here.object - before);
  }
  return error;
}

int gt_cartridge_write_marks(gt_cartridge *cartridge, uint32_t marks) {
  static const uint8_t zeros[MARKS_AT_ONCE * 4];
  int error = make_end_here(cartridge);
  while (!error && marks) {
    uint32_t batch = marks < MARKS_AT_ONCE ? marks : MARKS_AT_ONCE;
    struct iovec vector = {(uint8_t *)zeros, (size_t)batch * 4};
    uint64_t done;
    error = write_vectors(cartridge, &vector, 1, &done);
    account(cartridge, 4, 0, 1, done, error);
    marks -= batch;
  }
  return error;
}

int gt_cartridge_truncate(gt_cartridge *cartridge) {
  int error = make_end_here(cartridge);
  return error ? error : gt_cartridge_sync(cartridge);
}

/* Synchronization that failed once stays failed: the kernel tells of lost pages only once. */
int gt_cartridge_sync(gt_cartridge *cartridge) {
  int failed;
  cartridge->unsynced = false;
  if (cartridge->buffer && gt_write_buffer_drain(cartridge)) cartridge->sync_failed = true;
  while ((failed = fdatasync(cartridge->fd)) && errno == EINTR)
    continue;
  if (failed) cartridge->sync_failed = true;
  if (cartridge->sync_failed) return -EIO;
  uint64_t fresh = cartridge->end.offset > cartridge->indexed ? cartridge->end.offset - cartridge->indexed : 0;
  if (fresh < SAVE_BYTES || fresh < cartridge->end.offset / 8) return 0;
  if (!gt_tap_index_save(&cartridge->index, cartridge->fd, &cartridge->end, cartridge->index_path))
    cartridge->indexed = cartridge->end.offset;
  return 0;
}
