/* CRC-32C (Castagnoli, RFC 3720 appendix B.4; the digest of iSCSI, SCTP and of tape logical block
 * protection): reflected polynomial 82F63B78h, initial value and final XOR all ones.
 *
 * Values are finished ones: gt_crc32c(0, data, len) is the CRC of data, and a value may be handed back in
 * to go on, so that gt_crc32c(gt_crc32c(0, a, n), b, m) is the CRC of a followed by b. */
#ifndef GT_CRC32C_H
#define GT_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Any length, any alignment; by the processor's own instruction where it has one that is faster than tables. */
uint32_t gt_crc32c(uint32_t crc, const void *data, size_t len);

/* CRC of a followed by b, from the CRC of each and the length of b in bytes. */
uint32_t gt_crc32c_combine(uint32_t a, uint32_t b, uint64_t b_len);

/* The same by tables only: what processors without the instruction get, and what tests compare with. */
uint32_t gt_crc32c_portable(uint32_t crc, const void *data, size_t len);
uint32_t gt_crc32c_combine_portable(uint32_t a, uint32_t b, uint64_t b_len);

#endif
