// Engine events and statistics as the objects of src/native/types.ts, and the stored form of a digest in
// progress.
#ifndef GANTRY_EVENTS_H
#define GANTRY_EVENTS_H

#include "handle.h"

extern "C" {
#include "copy/engine.h"
}

namespace gantry {

// The event's data stays the caller's to release.
Napi::Object EventObject(Napi::Env env, const gt_event &event, bool sha256);
Napi::Object StatsObject(Napi::Env env, const gt_copy_stats &stats);

// Stored form, little-endian, 124 bytes: u8 version = 1, 3 zero bytes, u32 tag, u32 crc32c,
// u32 sha_state[8], u64 sha_bytes, u8 sha_tail[64], u64 bytes. It lies in journals on disk, so a change of
// gt_digest_state takes a new version here.
constexpr size_t kDigestBytes = 124;
Napi::Uint8Array PackDigest(Napi::Env env, const gt_digest_state &state);
// An empty view is "no digest in progress". False: this is no stored form that is known here.
bool UnpackDigest(const Bytes &bytes, gt_digest_state *state);

} // namespace gantry

#endif
