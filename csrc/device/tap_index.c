#include "device/tap_index.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/crc32c.h"
#include "device/tap.h"

enum { SPACING_OBJECTS = 64, SPACING_BYTES = 256 << 10, SAMPLES = 64, SAMPLE_BYTES = 64, EDGE_BYTES = 4096 };

void gt_tap_index_reset(gt_tap_index *index) {
  index->spacing_objects = SPACING_OBJECTS;
  index->spacing_bytes = SPACING_BYTES;
  index->count = 1;
  index->places[0] = (gt_tap_place){0};
}

static void thin_out(gt_tap_index *index) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < index->count; i += 2)
    index->places[kept++] = index->places[i];
  index->count = kept;
  index->spacing_objects *= 2;
  index->spacing_bytes *= 2;
}

void gt_tap_index_note(gt_tap_index *index, const gt_tap_place *place) {
  const gt_tap_place *last = &index->places[index->count - 1];
  if (place->object < last->object + index->spacing_objects) return;
  if (place->offset < last->offset + index->spacing_bytes) return;
  if (index->count == GT_TAP_CHECKPOINTS) return thin_out(index), gt_tap_index_note(index, place);
  index->places[index->count++] = *place;
}

void gt_tap_index_cut(gt_tap_index *index, const gt_tap_place *place) {
  while (index->count > 1 && index->places[index->count - 1].offset > place->offset)
    index->count--;
}

const gt_tap_place *gt_tap_index_by_object(const gt_tap_index *index, uint64_t object) {
  uint32_t low = 0, high = index->count;
  while (high - low > 1) {
    uint32_t middle = low + (high - low) / 2;
    if (index->places[middle].object <= object)
      low = middle;
    else
      high = middle;
  }
  return &index->places[low];
}

const gt_tap_place *gt_tap_index_by_file(const gt_tap_index *index, uint64_t files) {
  uint32_t low = 0, high = index->count;
  while (high - low > 1) {
    uint32_t middle = low + (high - low) / 2;
    if (index->places[middle].files < files)
      low = middle;
    else
      high = middle;
  }
  return &index->places[low];
}

/* On disk, all little-endian: the head (64 bytes), the checkpoints (32 bytes each), CRC-32C of all that.
 *
 *    0  "GTTAPIDX"          8  version 1           12  number of checkpoints
 *   16  end: offset, object, files, data          48  mtime of the image, ns
 *   56  CRC-32C of content samples                60  log2(spacing / SPACING) */
enum { HEAD_BYTES = 64, PLACE_BYTES = 32, VERSION = 1 };
static const char magic[8] = {'G', 'T', 'T', 'A', 'P', 'I', 'D', 'X'};

static void put_place(uint8_t *out, const gt_tap_place *place) {
  gt_store_le64(out, place->offset);
  gt_store_le64(out + 8, place->object);
  gt_store_le64(out + 16, place->files);
  gt_store_le64(out + 24, place->data);
}

static gt_tap_place get_place(const uint8_t *in) {
  return (gt_tap_place){gt_load_le64(in), gt_load_le64(in + 8), gt_load_le64(in + 16), gt_load_le64(in + 24)};
}

static int add_sample(int fd, uint64_t offset, uint64_t length, uint64_t end, uint32_t *crc) {
  uint8_t bytes[EDGE_BYTES];
  if (length > end - offset) length = end - offset;
  int error = gt_tap_pread(fd, bytes, length, offset);
  *crc = error ? 0 : gt_crc32c(*crc, bytes, length);
  return error;
}

/* CRC of samples of the content before `end`: both ends, and the beginnings of checkpoints spread over it. */
static int sample(const gt_tap_index *index, int fd, uint64_t end, uint32_t *crc) {
  *crc = 0;
  int error = add_sample(fd, 0, EDGE_BYTES, end, crc);
  if (!error) error = add_sample(fd, end > EDGE_BYTES ? end - EDGE_BYTES : 0, EDGE_BYTES, end, crc);
  uint32_t step = index->count / SAMPLES + 1;
  for (uint32_t i = 0; i < index->count && !error; i += step)
    error = add_sample(fd, index->places[i].offset, SAMPLE_BYTES, end, crc);
  return error;
}

static uint64_t mtime_ns(const struct stat *status) {
  return (uint64_t)status->st_mtim.tv_sec * 1000000000u + (uint64_t)status->st_mtim.tv_nsec;
}

static uint32_t spacing_shift(const gt_tap_index *index) {
  uint32_t shift = 0;
  while (index->spacing_objects >> shift > SPACING_OBJECTS)
    shift++;
  return shift;
}

static int write_whole(const char *path, const uint8_t *bytes, size_t length) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), error = 0;
  if (fd < 0) return -errno;
  for (size_t done = 0; done < length && !error;) {
    ssize_t put = write(fd, bytes + done, length - done);
    if (put > 0)
      done += (size_t)put;
    else if (put == 0 || errno != EINTR)
      error = put ? -errno : -ENOSPC;
  }
  if (!error && fdatasync(fd)) error = -errno;
  if (close(fd) && !error) error = -errno;
  return error;
}

static int encode(const gt_tap_index *index, int fd, const gt_tap_place *end, uint8_t *out, size_t *length) {
  struct stat status;
  uint32_t samples;
  if (fstat(fd, &status)) return -errno;
  int error = sample(index, fd, end->offset, &samples);
  if (error) return error;
  memcpy(out, magic, sizeof magic);
  gt_store_le32(out + 8, VERSION);
  gt_store_le32(out + 12, index->count);
  put_place(out + 16, end);
  gt_store_le64(out + 48, mtime_ns(&status));
  gt_store_le32(out + 56, samples);
  gt_store_le32(out + 60, spacing_shift(index));
  for (uint32_t i = 0; i < index->count; i++)
    put_place(out + HEAD_BYTES + (size_t)i * PLACE_BYTES, &index->places[i]);
  *length = HEAD_BYTES + (size_t)index->count * PLACE_BYTES;
  gt_store_le32(out + *length, gt_crc32c(0, out, *length));
  *length += 4;
  return 0;
}

int gt_tap_index_save(const gt_tap_index *index, int fd, const gt_tap_place *end, const char *path) {
  size_t length = strlen(path) + sizeof ".tmp";
  char *temporary = malloc(length);
  uint8_t *bytes = malloc(HEAD_BYTES + (size_t)index->count * PLACE_BYTES + 4);
  int error = temporary && bytes ? 0 : -ENOMEM;
  if (!error) snprintf(temporary, length, "%s.tmp", path);
  if (!error) error = encode(index, fd, end, bytes, &length);
  if (!error) error = write_whole(temporary, bytes, length);
  if (!error && rename(temporary, path)) error = -errno;
  if (error && temporary) unlink(temporary);
  free(bytes);
  free(temporary);
  return error;
}

/* Can `b` be a place at or behind `a`? An object has four bytes at least, and data bytes are bytes of the file. */
static bool follows(const gt_tap_place *a, const gt_tap_place *b) {
  return b->offset >= a->offset && b->object >= a->object && b->files >= a->files && b->data >= a->data &&
         b->object - a->object <= (b->offset - a->offset) / 4 && b->files - a->files <= b->object - a->object &&
         b->data - a->data <= b->offset - a->offset;
}

/* Takes the checkpoints over if they are in order; whoever wrote the file, nothing else is believed. */
static int decode(gt_tap_index *index, const uint8_t *in, size_t length, gt_tap_place *end) {
  if (length < HEAD_BYTES + PLACE_BYTES + 4 || memcmp(in, magic, sizeof magic) != 0) return -EBADMSG;
  uint32_t count = gt_load_le32(in + 12), shift = gt_load_le32(in + 60);
  if (gt_load_le32(in + 8) != VERSION || count < 1 || count > GT_TAP_CHECKPOINTS || shift > 32) return -EBADMSG;
  if (length != HEAD_BYTES + (size_t)count * PLACE_BYTES + 4) return -EBADMSG;
  if (gt_load_le32(in + length - 4) != gt_crc32c(0, in, length - 4)) return -EBADMSG;
  *end = get_place(in + 16);
  for (uint32_t i = 0; i < count; i++) {
    gt_tap_place place = get_place(in + HEAD_BYTES + (size_t)i * PLACE_BYTES);
    const gt_tap_place *before = i ? &index->places[i - 1] : &place;
    if (!follows(before, &place) || !follows(&place, end)) return -EBADMSG;
    if (!i && (place.offset || place.object || place.files || place.data)) return -EBADMSG;
    index->places[i] = place;
  }
  index->count = count;
  index->spacing_objects = (uint64_t)SPACING_OBJECTS << shift;
  index->spacing_bytes = (uint64_t)SPACING_BYTES << shift;
  return 0;
}

/* The image may have grown since (a crash between two saves), but not been changed in place: a file of the
 * same length must have the same mtime too. */
static int still_fits(const gt_tap_index *index, int fd, const uint8_t *head, const gt_tap_place *end) {
  struct stat status;
  uint32_t samples;
  if (fstat(fd, &status)) return -errno;
  if ((uint64_t)status.st_size < end->offset) return -ESTALE;
  if ((uint64_t)status.st_size == end->offset && mtime_ns(&status) != gt_load_le64(head + 48)) return -ESTALE;
  int error = sample(index, fd, end->offset, &samples);
  if (error) return error;
  return samples == gt_load_le32(head + 56) ? 0 : -ESTALE;
}

static int read_whole(const char *path, uint8_t **bytes, size_t *length) {
  struct stat status;
  int fd = open(path, O_RDONLY | O_CLOEXEC), error = 0;
  if (fd < 0) return -errno;
  *bytes = NULL;
  if (fstat(fd, &status)) error = -errno;
  size_t most = HEAD_BYTES + (size_t)GT_TAP_CHECKPOINTS * PLACE_BYTES + 4;
  if (!error && (status.st_size < 0 || (size_t)status.st_size > most)) error = -EBADMSG;
  *length = error ? 0 : (size_t)status.st_size;
  if (!error && !(*bytes = malloc(*length + 1))) error = -ENOMEM;
  if (!error) error = gt_tap_pread(fd, *bytes, *length, 0);
  close(fd);
  return error;
}

int gt_tap_index_load(gt_tap_index *index, int fd, const char *path, gt_tap_place *end) {
  uint8_t *bytes = NULL;
  size_t length = 0;
  int error = read_whole(path, &bytes, &length);
  if (!error) error = decode(index, bytes, length, end);
  if (!error) error = still_fits(index, fd, bytes, end);
  if (error) {
    gt_tap_index_reset(index);
    *end = (gt_tap_place){0};
  }
  free(bytes);
  return error;
}
