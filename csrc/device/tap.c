#include "device/tap.h"

#include <errno.h>
#include <unistd.h>

#include "core/bytes.h"

/* No tape block is longer (SSC-4: TRANSFER LENGTH has 24 bits): a longer record that is not there is damage. */
enum { BLOCK_MAX = 0xFFFFFF, TAIL_MARKS = 16 };
enum { CLASS_GOOD = 0x0, CLASS_MARKER = 0x7, CLASS_BAD = 0x8, CLASS_RESERVED_MARKER = 0xF };

int gt_tap_pread(int fd, void *data, uint64_t length, uint64_t offset) {
  for (uint64_t done = 0; done < length;) {
    ssize_t got = pread(fd, (uint8_t *)data + done, length - done, (off_t)(offset + done));
    if (got > 0)
      done += (uint64_t)got;
    else if (got == 0)
      return -ENODATA;
    else if (errno != EINTR)
      return -errno;
  }
  return 0;
}

/* The word at `offset`, which lies wholly in the file; reads a window from there on. */
static int load_word(int fd, uint64_t size, uint64_t offset, gt_tap_window *window, uint32_t *word) {
  bool inside =
      offset >= window->at && offset - window->at <= window->have && window->have - (offset - window->at) >= 4;
  if (!inside) {
    uint64_t left = size - offset;
    window->have = 0;
    uint32_t take = left < sizeof window->bytes ? (uint32_t)left : (uint32_t)sizeof window->bytes;
    int error = gt_tap_pread(fd, window->bytes, take, offset);
    if (error) return error;
    window->at = offset;
    window->have = take;
  }
  *word = gt_load_le32(window->bytes + (offset - window->at));
  return 0;
}

/* A record of any class at `offset`: are both its words there, and the same? */
static int look_record(int fd, uint64_t size, uint64_t offset, gt_tap_window *window, gt_tap_object *out) {
  uint32_t trailing, length = out->word & 0x0FFFFFFF;
  uint64_t bytes = gt_tap_record_bytes(length);
  if (size - offset < bytes) {
    out->kind = length > BLOCK_MAX ? GT_TAP_DAMAGED : GT_TAP_TORN;
    return 0;
  }
  int error = load_word(fd, size, offset + bytes - 4, window, &trailing);
  if (error) return error;
  if (trailing != out->word) {
    /* Where the file is long enough and its last page never came, zeros stand there. */
    out->kind = size - offset == bytes && trailing == 0 ? GT_TAP_TORN : GT_TAP_DAMAGED;
    return 0;
  }
  out->kind = GT_TAP_RECORD;
  out->length = length;
  out->data = offset + 4;
  out->next = offset + bytes;
  return 0;
}

/* One word and what belongs to it. `*offset` moves over what is passed over; true: go on from there. */
static bool pass_over(gt_tap_object *object, uint64_t *offset) {
  uint32_t word = object->word, class = word >> 28;
  if (word == GT_TAP_HALF_GAP) return *offset += 2, true;
  if (word >= 0xFFFE0000u && word < GT_TAP_HALF_GAP) return false; /* illegal values */
  if (class == CLASS_MARKER || (class == CLASS_RESERVED_MARKER && word != GT_TAP_END_OF_MEDIUM))
    return *offset += 4, true;
  return false;
}

int gt_tap_look(int fd, uint64_t size, uint64_t offset, gt_tap_window *window, gt_tap_object *out) {
  *out = (gt_tap_object){.kind = GT_TAP_END, .next = offset};
  for (uint64_t start = offset;;) {
    if (start >= size) return 0;
    if (size - start < 4) return out->kind = GT_TAP_TORN, 0;
    int error = load_word(fd, size, start, window, &out->word);
    if (error) return error;
    uint32_t class = out->word >> 28;
    if (out->word == GT_TAP_END_OF_MEDIUM) return 0;
    if (out->word == 0) return out->kind = GT_TAP_MARK, out->next = start + 4, 0;
    if (pass_over(out, &start)) continue;
    if (class == CLASS_RESERVED_MARKER) return out->kind = GT_TAP_DAMAGED, 0;
    error = look_record(fd, size, start, window, out);
    if (error || out->kind != GT_TAP_RECORD) return out->next = offset, error;
    out->bad = class == CLASS_BAD;
    if (class == CLASS_GOOD || class == CLASS_BAD) return 0;
    start = out->next; /* a private or reserved record */
    out->kind = GT_TAP_END;
    out->next = offset;
  }
}

/* Could the word be one of a record of `most` bytes in the file at most? */
static bool may_be_record(uint32_t word, uint64_t most) {
  uint32_t class = word >> 28, length = word & 0x0FFFFFFF;
  return (class == CLASS_GOOD || class == CLASS_BAD) && length && length <= BLOCK_MAX &&
         gt_tap_record_bytes(length) <= most;
}

/* Does a record end at `end`, one that begins at `offset` or behind it? */
static int record_ends(int fd, uint64_t size, uint64_t offset, uint64_t end, uint32_t trailing, gt_tap_window *window,
                       bool *yes) {
  uint32_t leading = trailing;
  if (!may_be_record(trailing, end - offset)) return 0;
  uint64_t start = end - gt_tap_record_bytes(trailing & 0x0FFFFFFF);
  /* The damaged one itself is known by its place. */
  int error = start == offset ? 0 : load_word(fd, size, start, window, &leading);
  *yes = !error && leading == trailing;
  return error;
}

int gt_tap_tail_is_whole(int fd, uint64_t size, uint64_t offset, gt_tap_window *window, bool *whole) {
  uint32_t word, before;
  *whole = false;
  if (size - offset < 8) return 0;
  /* Tapes have blocks of one length: the record before tells where this one should end. */
  if (offset >= 4) {
    int error = load_word(fd, size, offset - 4, window, &before);
    if (error) return error;
    if (may_be_record(before, size - offset)) {
      error = load_word(fd, size, offset + gt_tap_record_bytes(before & 0x0FFFFFFF) - 4, window, &word);
      if (error || (*whole = word == before)) return error;
    }
  }
  /* A tape ends with a record and a few filemarks; one that was cut off ends anywhere. */
  for (unsigned marks = 0; marks <= TAIL_MARKS && size - offset >= 4 * marks + 8; marks++) {
    uint64_t end = size - 4 * marks;
    int error = load_word(fd, size, end - 4, window, &word);
    if (error) return error;
    if (word) return record_ends(fd, size, offset, end, word, window, whole);
  }
  return 0;
}
