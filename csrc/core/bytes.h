/* Loads and stores of integers in the byte order of SCSI (big-endian) and of tape images
 * (little-endian), at any alignment. Nothing here checks bounds: the caller knows its buffer. */
#ifndef GT_BYTES_H
#define GT_BYTES_H

#include <stdint.h>

static inline uint16_t gt_load_be16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }

static inline uint32_t gt_load_be24(const uint8_t *p) { return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2]; }

static inline uint32_t gt_load_be32(const uint8_t *p) { return (uint32_t)gt_load_be16(p) << 16 | gt_load_be16(p + 2); }

static inline uint64_t gt_load_be64(const uint8_t *p) { return (uint64_t)gt_load_be32(p) << 32 | gt_load_be32(p + 4); }

static inline void gt_store_be16(uint8_t *p, uint16_t value) {
  p[0] = (uint8_t)(value >> 8);
  p[1] = (uint8_t)value;
}

static inline void gt_store_be24(uint8_t *p, uint32_t value) {
  p[0] = (uint8_t)(value >> 16);
  gt_store_be16(p + 1, (uint16_t)value);
}

static inline void gt_store_be32(uint8_t *p, uint32_t value) {
  gt_store_be16(p, (uint16_t)(value >> 16));
  gt_store_be16(p + 2, (uint16_t)value);
}

static inline void gt_store_be64(uint8_t *p, uint64_t value) {
  gt_store_be32(p, (uint32_t)(value >> 32));
  gt_store_be32(p + 4, (uint32_t)value);
}

static inline uint32_t gt_load_le32(const uint8_t *p) {
  return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t gt_load_le64(const uint8_t *p) { return gt_load_le32(p) | (uint64_t)gt_load_le32(p + 4) << 32; }

static inline void gt_store_le32(uint8_t *p, uint32_t value) {
  p[0] = (uint8_t)value;
  p[1] = (uint8_t)(value >> 8);
  p[2] = (uint8_t)(value >> 16);
  p[3] = (uint8_t)(value >> 24);
}

static inline void gt_store_le64(uint8_t *p, uint64_t value) {
  gt_store_le32(p, (uint32_t)value);
  gt_store_le32(p + 4, (uint32_t)(value >> 32));
}

#endif
