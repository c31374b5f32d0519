#include <cstring>

#include "events.h"

namespace gantry {
namespace {

constexpr uint8_t kVersion = 1;

void PutU32(uint8_t *at, uint32_t value) {
  for (int i = 0; i < 4; i++)
    at[i] = static_cast<uint8_t>(value >> 8 * i);
}
void PutU64(uint8_t *at, uint64_t value) {
  for (int i = 0; i < 8; i++)
    at[i] = static_cast<uint8_t>(value >> 8 * i);
}
uint32_t GetU32(const uint8_t *at) {
  uint32_t value = 0;
  for (int i = 3; i >= 0; i--)
    value = value << 8 | at[i];
  return value;
}
uint64_t GetU64(const uint8_t *at) { return static_cast<uint64_t>(GetU32(at + 4)) << 32 | GetU32(at); }

} // namespace

Napi::Uint8Array PackDigest(Napi::Env env, const gt_digest_state &state) {
  uint8_t packed[kDigestBytes] = {kVersion};
  PutU32(packed + 4, state.tag);
  PutU32(packed + 8, state.crc32c);
  for (size_t i = 0; i < 8; i++)
    PutU32(packed + 12 + 4 * i, state.sha_state[i]);
  PutU64(packed + 44, state.sha_bytes);
  memcpy(packed + 52, state.sha_tail, sizeof state.sha_tail);
  PutU64(packed + 116, state.bytes);
  return CopyBytes(env, packed, sizeof packed);
}

bool UnpackDigest(const Bytes &bytes, gt_digest_state *state) {
  *state = {};
  if (bytes.size == 0) return true;
  if (bytes.size != kDigestBytes || GetU32(bytes.data) != kVersion) return false;
  state->tag = GetU32(bytes.data + 4);
  state->crc32c = GetU32(bytes.data + 8);
  for (size_t i = 0; i < 8; i++)
    state->sha_state[i] = GetU32(bytes.data + 12 + 4 * i);
  state->sha_bytes = GetU64(bytes.data + 44);
  memcpy(state->sha_tail, bytes.data + 52, sizeof state->sha_tail);
  state->bytes = GetU64(bytes.data + 116);
  return true;
}

} // namespace gantry
