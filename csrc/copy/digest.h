/* CRC-32C and SHA-256 of the member that is open, and the CRC-32C of the block being filled. Every byte is
 * run through CRC-32C once: the value of a run of bytes is joined to the member's and to the block's. */
#ifndef GT_DIGEST_H
#define GT_DIGEST_H

#include "../core/sha256.h"
#include "engine.h"

typedef struct gt_digest {
  uint32_t tag; /* 0: no member is open */
  uint32_t crc32c;
  uint64_t bytes;
  bool aside;            /* bytes go into the block's CRC only (GT_TAG_ASIDE) */
  uint32_t block_crc32c; /* of the bytes since it was last set to 0 */
  bool sha256;
  gt_sha256 sha;
} gt_digest;

/* Goes on with a stored state (tag 0: none). */
void gt_digest_init(gt_digest *digest, bool sha256, const gt_digest_state *state);
void gt_digest_open(gt_digest *digest, uint32_t tag);
/* crc32c: of the data. */
void gt_digest_update(gt_digest *digest, uint32_t crc32c, const uint8_t *data, size_t len);
/* Result of the open member, into the fields of GT_EV_DIGEST, and closes it. */
void gt_digest_close(gt_digest *digest, gt_event *event);
void gt_digest_save(const gt_digest *digest, gt_digest_state *state);

#endif
