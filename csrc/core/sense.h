/* Sense data, made in one place only: every layer says what happened in a gt_sense, and gt_sense_build
 * alone knows the bytes (SPC-4 4.5). Also the reading of sense data that a device made. */
#ifndef GT_SENSE_H
#define GT_SENSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct gt_sense {
  uint8_t key;   /* enum gt_sense_key */
  uint16_t asc;  /* enum gt_asc: additional sense code << 8 | qualifier */
  bool deferred; /* the error belongs to an earlier command (SPC-4 4.5.5) */
  bool stream;   /* sequential-access device: filemark, eom and ili travel in the stream descriptor */
  bool filemark, eom, ili;
  bool has_information;
  uint64_t information; /* of negative residuals: two's complement in 64 bits */
  /* Field pointer of ILLEGAL REQUEST (SPC-4 4.5.2.4.2). */
  bool has_field;
  bool field_in_cdb; /* else in the parameter list */
  uint16_t field_byte;
  int8_t field_bit; /* 7 … 0 of the field's leftmost bit; -1: the whole byte */
  /* Progress indication of NOT READY and NO SENSE, of 65536 (SPC-4 4.5.2.4.4); not together with a field. */
  bool has_progress;
  uint16_t progress;
} gt_sense;

/* Writes sense data of at most `room` bytes (18 in fixed, up to 40 in descriptor format are made) and
 * returns how many. INFORMATION that does not fit into the 32 bits of the fixed format is left out, with
 * VALID zero (SPC-4 4.5.3). */
size_t gt_sense_build(const gt_sense *sense, bool descriptor_format, uint8_t *out, size_t room);

/* Reads sense data of either format; what is not in it (or was cut off) stays zero. Returns false where
 * the bytes are no sense data. */
bool gt_sense_parse(const uint8_t *data, size_t length, gt_sense *out);

#endif
