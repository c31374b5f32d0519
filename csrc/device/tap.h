/* The SIMH tape image format ("SIMH Magtape Representation and Handling", 17 January 2022): how records
 * and marks lie in a file. Pure reading; who writes is cartridge.c.
 *
 *   data record   length n (4 bytes, little-endian), n bytes, a pad byte where n is odd, length n again
 *   tape mark     00000000h
 *   erase gap     FFFFFFFEh, skipped; FFFEFFFFh is half of one
 *   end of medium FFFFFFFFh; the end of the file means the same
 *
 * The top four bits of a length are a class: 0h good data, 8h bad data; the others are for other people's
 * records and markers and are passed over, as the format asks. */
#ifndef GT_TAP_H
#define GT_TAP_H

#include <stdbool.h>
#include <stdint.h>

#define GT_TAP_GAP 0xFFFFFFFEu
#define GT_TAP_HALF_GAP 0xFFFEFFFFu
#define GT_TAP_END_OF_MEDIUM 0xFFFFFFFFu

typedef enum gt_tap_kind {
  GT_TAP_RECORD,
  GT_TAP_MARK,
  GT_TAP_END,     /* end of file, or end-of-medium marker */
  GT_TAP_TORN,    /* the file ends inside a word or a record of a tape block's length: who wrote it was stopped */
  GT_TAP_DAMAGED, /* no record, though the file goes on */
} gt_tap_kind;

typedef struct gt_tap_object {
  gt_tap_kind kind;
  bool bad;        /* class 8h: the data was read with an error when the image was made */
  uint32_t word;   /* leading (and so trailing) word of a record */
  uint32_t length; /* data bytes */
  uint64_t data;   /* offset of the data in the file */
  uint64_t next;   /* offset behind the object; unchanged for END, TORN and DAMAGED */
} gt_tap_object;

/* A little of the file, so that scanning does not read four bytes at a time. */
typedef struct gt_tap_window {
  uint64_t at;
  uint32_t have; /* 0: empty */
  uint8_t bytes[4096];
} gt_tap_window;

/* What stands at `offset` of a file of `size` bytes. 0 or a negative errno. */
int gt_tap_look(int fd, uint64_t size, uint64_t offset, gt_tap_window *window, gt_tap_object *out);

/* What begins at `offset` is a TORN record. Is that because its length word was damaged: do words stand behind it that
 * only a record that was written whole leaves there? 0 or a negative errno. */
int gt_tap_tail_is_whole(int fd, uint64_t size, uint64_t offset, gt_tap_window *window, bool *whole);

static inline uint64_t gt_tap_padded(uint32_t length) { return ((uint64_t)length + 1) & ~(uint64_t)1; }
/* Bytes in the file of a record with so much data. */
static inline uint64_t gt_tap_record_bytes(uint32_t length) { return gt_tap_padded(length) + 8; }

/* Reads exactly `length` bytes at `offset`: 0, -ENODATA at the end of the file, or a negative errno. */
int gt_tap_pread(int fd, void *data, uint64_t length, uint64_t offset);

#endif
