/* Whether a path leads to the logical unit that is meant: by what names it goes in VPD pages 83h and 80h. */
#include <errno.h>
#include <string.h>

#include "../core/bytes.h"
#include "../core/scsi.h"
#include "paths.h"

enum {
  PAGE_SERIAL = 0x80,
  PAGE_IDENTIFICATION = 0x83,
  HEAD = 4,
  PAGE_MAX = 1020, /* devices of SPC-2 look at the low byte of an allocation length only, which is 252 here */
  STANDARD = 36,
  VENDOR_AT = 8,
  TIMEOUT_MS = 10000,
};

static bool is_text(uint8_t type) { return type == 0 || type == 1 || type == 8 || type == GT_BY_SERIAL; }

static size_t trimmed(const uint8_t *value, size_t len) {
  while (len && (value[len - 1] == ' ' || value[len - 1] == 0))
    len--;
  return len;
}

/* Bytes of the answer, or a negative errno. */
static int inquire(gt_lu *lu, int page, uint8_t *data, uint16_t room) {
  gt_io io = {.cdb = {GT_INQUIRY, page >= 0, (uint8_t)(page >= 0 ? page : 0)},
              .cdb_len = 6,
              .dir = GT_DIR_IN,
              .timeout_ms = TIMEOUT_MS,
              .data = data,
              .data_len = room};
  gt_store_be16(io.cdb + 3, room);
  int error = gt_lu_execute(lu, &io);
  if (error) return error;
  if (io.outcome != GT_DELIVERED || io.status != GT_STATUS_GOOD) return -EIO;
  int moved = (int)room - (io.resid > 0 ? io.resid : 0);
  return moved < 0 ? -EIO : moved;
}

/* What follows the head of a page, or NULL: it is another page, or cut off in the head. */
static const uint8_t *payload(const uint8_t *data, int length, uint8_t page, size_t *payload_len) {
  if (length < HEAD || data[1] != page) return NULL;
  size_t told = gt_load_be16(data + 2), there = (size_t)length - HEAD;
  *payload_len = told < there ? told : there;
  return data + HEAD;
}

static bool same(const gt_identity *identity, const uint8_t *value, size_t len) {
  if (is_text(identity->type)) len = trimmed(value, len);
  return len == identity->len && memcmp(value, identity->value, len) == 0;
}

static int by_designator(gt_lu *lu, const gt_identity *identity) {
  uint8_t data[PAGE_MAX];
  size_t len = 0;
  int got = inquire(lu, PAGE_IDENTIFICATION, data, sizeof data);
  const uint8_t *list = got < 0 ? NULL : payload(data, got, PAGE_IDENTIFICATION, &len);
  if (!list) return got < 0 ? got : -EIO;
  for (size_t at = 0; at + HEAD <= len;) {
    const uint8_t *one = list + at;
    size_t own = one[3];
    if (own > len - at - HEAD) break;
    /* ASSOCIATION 00b: the logical unit itself (SPC-4 7.8.6.1). */
    if ((one[1] >> 4 & 3) == 0 && (one[1] & 0xF) == identity->type && same(identity, one + HEAD, own)) return 0;
    at += HEAD + own;
  }
  return -ENXIO;
}

static int by_serial(gt_lu *lu, const gt_identity *identity) {
  uint8_t standard[STANDARD], page[PAGE_MAX];
  int got = inquire(lu, -1, standard, sizeof standard);
  if (got < STANDARD) return got < 0 ? got : -EIO;
  size_t vendor = trimmed(standard + VENDOR_AT, GT_VENDOR_BYTES), len = 0;
  if (vendor != strlen(identity->vendor) || memcmp(standard + VENDOR_AT, identity->vendor, vendor) != 0) return -ENXIO;
  got = inquire(lu, PAGE_SERIAL, page, sizeof page);
  const uint8_t *serial = got < 0 ? NULL : payload(page, got, PAGE_SERIAL, &len);
  if (!serial) return got < 0 ? got : -EIO;
  while (len && *serial == ' ') /* right-aligned in some devices (SPC-4 7.8.17) */
    serial++, len--;
  return same(identity, serial, len) ? 0 : -ENXIO;
}

int gt_lu_is(gt_lu *lu, const gt_identity *identity) {
  return identity->type == GT_BY_SERIAL ? by_serial(lu, identity) : by_designator(lu, identity);
}
