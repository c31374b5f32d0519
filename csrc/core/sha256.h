/* SHA-256 (FIPS 180-4) whose state is plain data: it can be stored after any byte and gone on with by
 * another process, which is what a job resumed from a checkpoint needs. */
#ifndef GT_SHA256_H
#define GT_SHA256_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct gt_sha256 {
  uint32_t state[8];
  uint64_t bytes;   /* so far */
  uint8_t tail[64]; /* the last bytes % 64 bytes */
  bool hardware;    /* not part of the state: how this process computes */
} gt_sha256;

void gt_sha256_init(gt_sha256 *sha);
/* Goes on from a stored state; tail holds at least bytes % 64 bytes. */
void gt_sha256_resume(gt_sha256 *sha, const uint32_t state[8], uint64_t bytes, const uint8_t *tail);
void gt_sha256_update(gt_sha256 *sha, const void *data, size_t len);
/* Leaves sha as it was, so that one may go on. */
void gt_sha256_digest(const gt_sha256 *sha, uint8_t digest[32]);

#endif
