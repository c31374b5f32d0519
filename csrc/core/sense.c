#include "core/sense.h"

#include <string.h>

#include "core/bytes.h"
#include "core/scsi.h"

enum { FIXED_BYTES = 18, DESCRIPTOR_MAX = 40 };
enum { DESC_INFORMATION = 0x00, DESC_KEY_SPECIFIC = 0x02, DESC_STREAM = 0x04, DESC_BLOCK = 0x05 };

/* FILEMARK(7) EOM(6) ILI(5): the same places in both formats. */
static uint8_t mark_bits(const gt_sense *sense) {
  return (uint8_t)((sense->filemark ? 0x80 : 0) | (sense->eom ? 0x40 : 0) | (sense->ili ? 0x20 : 0));
}

/* SPC-4 4.5.2.4.2, 4.5.2.4.4: SKSV(7) C/D(6) BPV(3) BIT POINTER(2-0), FIELD POINTER. */
static void put_key_specific(const gt_sense *sense, uint8_t out[3]) {
  if (sense->has_progress) {
    out[0] = 0x80;
    gt_store_be16(out + 1, sense->progress);
    return;
  }
  out[0] = (uint8_t)(0x80 | (sense->field_in_cdb ? 0x40 : 0));
  if (sense->field_bit >= 0) out[0] |= (uint8_t)(0x08 | sense->field_bit);
  gt_store_be16(out + 1, sense->field_byte);
}

/* The number as the 32 bits of fixed format see it; negative residuals are sign-extended. */
static bool fits_fixed(uint64_t information) {
  return information <= UINT32_MAX || (int64_t)information >= -(int64_t)0x80000000;
}

static size_t build_fixed(const gt_sense *sense, uint8_t out[DESCRIPTOR_MAX]) {
  out[0] = sense->deferred ? 0x71 : 0x70;
  out[2] = (uint8_t)(sense->key | mark_bits(sense));
  if (sense->has_information && fits_fixed(sense->information)) {
    out[0] |= 0x80; /* VALID */
    gt_store_be32(out + 3, (uint32_t)sense->information);
  }
  out[7] = FIXED_BYTES - 8; /* ADDITIONAL SENSE LENGTH */
  gt_store_be16(out + 12, sense->asc);
  if (sense->has_field || sense->has_progress) put_key_specific(sense, out + 15);
  return FIXED_BYTES;
}

static size_t build_descriptors(const gt_sense *sense, uint8_t out[DESCRIPTOR_MAX]) {
  size_t at = 8;
  out[0] = sense->deferred ? 0x73 : 0x72;
  out[1] = sense->key;
  gt_store_be16(out + 2, sense->asc);
  if (sense->has_information) {
    out[at] = DESC_INFORMATION;
    out[at + 1] = 0x0A;
    out[at + 2] = 0x80; /* VALID */
    gt_store_be64(out + at + 4, sense->information);
    at += 12;
  }
  if (sense->has_field || sense->has_progress) {
    out[at] = DESC_KEY_SPECIFIC;
    out[at + 1] = 0x06;
    put_key_specific(sense, out + at + 4);
    at += 8;
  }
  if (mark_bits(sense)) {
    out[at] = sense->stream ? DESC_STREAM : DESC_BLOCK;
    out[at + 1] = 0x02;
    out[at + 3] = mark_bits(sense);
    at += 4;
  }
  out[7] = (uint8_t)(at - 8); /* ADDITIONAL SENSE LENGTH */
  return at;
}

size_t gt_sense_build(const gt_sense *sense, bool descriptor_format, uint8_t *out, size_t room) {
  uint8_t bytes[DESCRIPTOR_MAX] = {0};
  size_t length = descriptor_format ? build_descriptors(sense, bytes) : build_fixed(sense, bytes);
  if (length > room) length = room;
  memcpy(out, bytes, length);
  return length;
}

static void take_marks(gt_sense *out, uint8_t bits) {
  out->filemark = bits & 0x80;
  out->eom = bits & 0x40;
  out->ili = bits & 0x20;
}

static void take_key_specific(gt_sense *out, const uint8_t *p) {
  if (p[0] & 0x80 && (out->key == GT_KEY_NOT_READY || out->key == GT_KEY_NO_SENSE)) {
    out->has_progress = true;
    out->progress = gt_load_be16(p + 1);
  }
  if (!(p[0] & 0x80) || out->key != GT_KEY_ILLEGAL_REQUEST) return;
  out->has_field = true;
  out->field_in_cdb = p[0] & 0x40;
  out->field_bit = (int8_t)(p[0] & 0x08 ? p[0] & 0x07 : -1);
  out->field_byte = gt_load_be16(p + 1);
}

static void parse_descriptor(const uint8_t *p, size_t length, gt_sense *out) {
  if (p[0] == DESC_INFORMATION && length >= 12) {
    out->has_information = p[2] & 0x80;
    out->information = gt_load_be64(p + 4);
  } else if (p[0] == DESC_KEY_SPECIFIC && length >= 7) {
    take_key_specific(out, p + 4);
  } else if ((p[0] == DESC_STREAM || p[0] == DESC_BLOCK) && length >= 4) {
    out->stream = p[0] == DESC_STREAM;
    take_marks(out, p[3]);
  }
}

static bool parse_fixed(const uint8_t *data, size_t length, gt_sense *out) {
  if (length < 3) return false;
  out->deferred = (data[0] & 0x7F) == 0x71;
  out->key = data[2] & 0x0F;
  take_marks(out, data[2]);
  if (length >= 7 && data[0] & 0x80) {
    out->has_information = true;
    /* A block device's INFORMATION is unsigned and a tape's is signed: ILI and FILEMARK tell, and where
     * they do not the caller knows its device. */
    uint32_t low = gt_load_be32(data + 3);
    out->information = out->ili ? (uint64_t)(int64_t)(int32_t)low : low;
  }
  if (length >= 14) out->asc = gt_load_be16(data + 12);
  if (length >= 18) take_key_specific(out, data + 15);
  return true;
}

bool gt_sense_parse(const uint8_t *data, size_t length, gt_sense *out) {
  memset(out, 0, sizeof *out);
  if (!length) return false;
  uint8_t code = data[0] & 0x7F;
  if (code == 0x70 || code == 0x71) return parse_fixed(data, length, out);
  if ((code != 0x72 && code != 0x73) || length < 4) return false;
  out->deferred = code == 0x73;
  out->key = data[1] & 0x0F;
  out->asc = gt_load_be16(data + 2);
  size_t end = length < 8 ? 0 : (size_t)data[7] + 8;
  if (end > length) end = length;
  for (size_t at = 8; at + 2 <= end;) {
    size_t size = (size_t)data[at + 1] + 2;
    if (size > end - at) break;
    parse_descriptor(data + at, size, out);
    at += size;
  }
  return true;
}
