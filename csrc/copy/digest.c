#include "digest.h"

#include <string.h>

#include "../core/crc32c.h"

void gt_digest_init(gt_digest *digest, bool sha256, const gt_digest_state *state) {
  memset(digest, 0, sizeof *digest);
  digest->sha256 = sha256;
  digest->tag = state->tag;
  if (!state->tag) return;
  digest->crc32c = state->crc32c;
  digest->bytes = state->bytes;
  gt_sha256_resume(&digest->sha, state->sha_state, state->sha_bytes, state->sha_tail);
}

void gt_digest_open(gt_digest *digest, uint32_t tag) {
  digest->tag = tag;
  digest->crc32c = 0;
  digest->bytes = 0;
  if (tag && digest->sha256) gt_sha256_init(&digest->sha);
}

void gt_digest_update(gt_digest *digest, uint32_t crc32c, const uint8_t *data, size_t len) {
  digest->block_crc32c = gt_crc32c_combine(digest->block_crc32c, crc32c, len);
  if (!digest->tag || digest->aside) return;
  digest->crc32c = gt_crc32c_combine(digest->crc32c, crc32c, len);
  digest->bytes += len;
  if (digest->sha256) gt_sha256_update(&digest->sha, data, len);
}

void gt_digest_close(gt_digest *digest, gt_event *event) {
  event->tag = digest->tag;
  event->crc32c = digest->crc32c;
  event->bytes = digest->bytes;
  if (digest->sha256) gt_sha256_digest(&digest->sha, event->sha256);
  digest->tag = 0;
}

void gt_digest_save(const gt_digest *digest, gt_digest_state *state) {
  memset(state, 0, sizeof *state);
  if (!digest->tag || !digest->bytes) return; /* a member that has no bytes yet is opened by its first segment */
  state->tag = digest->tag;
  state->crc32c = digest->crc32c;
  state->bytes = digest->bytes;
  if (!digest->sha256) return;
  memcpy(state->sha_state, digest->sha.state, sizeof state->sha_state);
  state->sha_bytes = digest->sha.bytes;
  memcpy(state->sha_tail, digest->sha.tail, sizeof state->sha_tail);
}
