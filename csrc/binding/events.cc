#include "events.h"

#include <algorithm>
#include <cstring>

#include "lu.h"

namespace gantry {
namespace {

Napi::BigInt Wide(Napi::Env env, uint64_t value) { return Napi::BigInt::New(env, value); }
Napi::Number Plain(Napi::Env env, double value) { return Napi::Number::New(env, value); }

const char *ResultName(uint8_t result) {
  switch (result) {
  case GT_RESULT_OK: return "ok";
  case GT_RESULT_CANCELLED: return "cancelled";
  case GT_RESULT_VOLUME_FULL: return "volume-full";
  case GT_RESULT_TAPE_ENDED: return "tape-ended";
  case GT_RESULT_DEVICE_ERROR: return "device-error";
  case GT_RESULT_TRANSPORT_ERROR: return "transport-error";
  case GT_RESULT_BLOCK_TOO_LARGE: return "block-too-large";
  default: return "internal";
  }
}

Napi::Uint8Array Sense(Napi::Env env, const gt_event &event) {
  return CopyBytes(env, event.sense, std::min<size_t>(event.sense_len, GT_SENSE_MAX));
}

Napi::Object FailedCommand(Napi::Env env, const gt_event &event) {
  Napi::Object failed = Napi::Object::New(env);
  failed.Set("lu", Plain(env, event.lu));
  failed.Set("side", event.gather_side ? "source" : "destination");
  failed.Set("outcome", OutcomeName(event.outcome));
  failed.Set("status", Plain(env, event.status));
  failed.Set("sense", Sense(env, event));
  failed.Set("cdb", CopyBytes(env, event.cdb, std::min<size_t>(event.cdb_len, GT_CDB_MAX)));
  return failed;
}

Napi::Uint32Array BlockCrcs(Napi::Env env, const gt_event &event) {
  auto crcs = Napi::Uint32Array::New(env, event.data_len / 4);
  for (size_t i = 0; i < crcs.ElementLength(); i++) {
    const uint8_t *at = event.data + 4 * i;
    crcs[i] = at[0] | at[1] << 8 | at[2] << 16 | static_cast<uint32_t>(at[3]) << 24;
  }
  return crcs;
}

void FillDone(Napi::Env env, Napi::Object object, const gt_event &event) {
  object.Set("type", "done");
  object.Set("result", ResultName(event.result));
  object.Set("streamOffset", Wide(env, event.stream_offset));
  object.Set("object", Wide(env, event.object));
  object.Set("digest", PackDigest(env, event.digest));
  object.Set("error", Plain(env, std::abs(event.error)));
  if (event.result == GT_RESULT_DEVICE_ERROR || event.result == GT_RESULT_TRANSPORT_ERROR || event.cdb_len)
    object.Set("failed", FailedCommand(env, event));
}

void FillTrouble(Napi::Env env, Napi::Object object, const gt_event &event) {
  bool medium = event.type == GT_EV_MEDIUM_ERROR;
  object.Set("type", medium ? "medium-error" : "miscompare");
  object.Set("lu", Plain(env, event.lu));
  object.Set("lba", Wide(env, event.lba));
  object.Set("streamOffset", Wide(env, event.stream_offset));
  if (!medium) return;
  object.Set("blocks", Wide(env, event.blocks));
  object.Set("sense", Sense(env, event));
}

void FillDigest(Napi::Env env, Napi::Object object, const gt_event &event, bool sha256) {
  object.Set("type", "digest");
  object.Set("tag", Plain(env, event.tag));
  object.Set("bytes", Wide(env, event.bytes));
  object.Set("crc32c", Plain(env, event.crc32c));
  object.Set("streamOffset", Wide(env, event.stream_offset));
  if (sha256) object.Set("sha256", CopyBytes(env, event.sha256, sizeof event.sha256));
}

Napi::Object Stage(Napi::Env env, const gt_stage_stats &stage) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("bytes", Wide(env, stage.bytes));
  object.Set("commands", Wide(env, stage.commands));
  object.Set("retries", Wide(env, stage.retries));
  object.Set("busyNs", Wide(env, stage.busy_ns));
  object.Set("waitNs", Wide(env, stage.wait_ns));
  return object;
}

} // namespace

Napi::Object EventObject(Napi::Env env, const gt_event &event, bool sha256) {
  Napi::Object object = Napi::Object::New(env);
  switch (event.type) {
  case GT_EV_HUNGRY: object.Set("type", "hungry"); break;
  case GT_EV_CHECKPOINT:
    object.Set("type", "checkpoint");
    object.Set("streamOffset", Wide(env, event.stream_offset));
    object.Set("object", Wide(env, event.object));
    object.Set("digest", PackDigest(env, event.digest));
    object.Set("final", Napi::Boolean::New(env, event.count == 1));
    break;
  case GT_EV_DIGEST: FillDigest(env, object, event, sha256); break;
  case GT_EV_BLOCK_CRCS:
    object.Set("type", "block-crcs");
    object.Set("object", Wide(env, event.object));
    object.Set("crcs", BlockCrcs(env, event));
    break;
  case GT_EV_HELD:
    object.Set("type", "held");
    object.Set("cookie", Wide(env, event.cookie));
    object.Set("data", CopyBytes(env, event.data, event.data_len));
    break;
  case GT_EV_MEDIUM_ERROR:
  case GT_EV_MISCOMPARE: FillTrouble(env, object, event); break;
  case GT_EV_RETRIED:
    object.Set("type", "retried");
    object.Set("lu", Plain(env, event.lu));
    object.Set("count", Plain(env, event.count));
    object.Set("failed", FailedCommand(env, event));
    break;
  case GT_EV_DONE: FillDone(env, object, event); break;
  default: throw Failure(env, -EPROTO, "The engine made an event that the binding does not know.");
  }
  return object;
}

Napi::Object StatsObject(Napi::Env env, const gt_copy_stats &stats) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("gather", Stage(env, stats.gather));
  object.Set("scatter", Stage(env, stats.scatter));
  object.Set("tapeWaits", Wide(env, stats.tape_waits));
  object.Set("tapeWaitNs", Wide(env, stats.tape_wait_ns));
  object.Set("throttleNs", Wide(env, stats.throttle_ns));
  object.Set("streamOffset", Wide(env, stats.stream_offset));
  object.Set("mediumErrors", Wide(env, stats.medium_errors));
  object.Set("elapsedNs", Wide(env, stats.now_ns - stats.started_ns));
  return object;
}

} // namespace gantry
