#include "trace.h"

#include <vector>

namespace gantry {
namespace {

constexpr size_t kChunk = 32;
constexpr size_t kTag = 4;

Napi::Number Plain(Napi::Env env, double value) { return Napi::Number::New(env, value); }

Napi::Object RecordObject(Napi::Env env, const gt_trace_record &record) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("beganNs", Napi::BigInt::New(env, record.began_ns));
  object.Set("endedNs", Napi::BigInt::New(env, record.ended_ns));
  object.Set("nexus", Plain(env, record.nexus));
  object.Set("lun", Plain(env, record.lun));
  object.Set("unit", Plain(env, record.unit));
  object.Set("dataBytes", Plain(env, record.data_len));
  object.Set("residual", Plain(env, record.resid));
  object.Set("direction", Plain(env, record.dir));
  object.Set("outcome", Plain(env, record.outcome));
  object.Set("status", Plain(env, record.status));
  object.Set("cdb", CopyBytes(env, record.cdb, record.cdb_len));
  object.Set("sense", CopyBytes(env, record.sense, record.sense_len));
  return object;
}

// tapOpen()
Napi::Value OpenTap(const Napi::CallbackInfo &info) {
  gt_tap *tap = nullptr;
  if (int error = gt_tap_new(&tap)) throw Failure(info.Env(), error);
  return WrapHandle(info.Env(), std::make_shared<TapCore>(tap));
}

// tapSet(tap, tags): little-endian, four bytes each
void SetTap(const Napi::CallbackInfo &info) {
  Args args(info);
  auto core = args.Handle<TapCore>();
  Bytes packed = args.ByteView();
  std::vector<uint32_t> tags(packed.size / kTag);
  for (size_t i = 0; i < tags.size(); i++)
    for (size_t byte = 0; byte < kTag; byte++)
      tags[i] |= static_cast<uint32_t>(packed.data[i * kTag + byte]) << (8 * byte);
  int error = gt_tap_set(core->Tap(), tags.data(), tags.size());
  if (error) throw Failure(info.Env(), error, "There are more tags than a tap has room for, or there is no memory.");
}

// tapTake(tap)
Napi::Value TakeTap(const Napi::CallbackInfo &info) {
  auto core = Args(info).Handle<TapCore>();
  return TakeRecords(info.Env(), [&core](gt_trace_record *out, size_t max, uint64_t *lost) {
    return gt_tap_take(core->Tap(), out, max, lost);
  });
}

} // namespace

Napi::Object TakeRecords(Napi::Env env, const RecordSource &take) {
  Napi::Array records = Napi::Array::New(env);
  uint32_t total = 0;
  uint64_t lost = 0;
  // No more than the queue holds: who writes at the same time is not run after.
  for (size_t count = kChunk; count == kChunk && total < GT_TRACE_RECORDS;) {
    gt_trace_record items[kChunk];
    uint64_t more = 0;
    count = take(items, kChunk, &more);
    lost += more;
    for (size_t i = 0; i < count; i++)
      records.Set(total++, RecordObject(env, items[i]));
  }
  Napi::Object taken = Napi::Object::New(env);
  taken.Set("records", records);
  taken.Set("lost", Napi::BigInt::New(env, lost));
  return taken;
}

void ExportTrace(Napi::Env env, Napi::Object exports) {
  exports.Set("tapOpen", Napi::Function::New<OpenTap>(env, "tapOpen"));
  exports.Set("tapSet", Napi::Function::New<SetTap>(env, "tapSet"));
  exports.Set("tapTake", Napi::Function::New<TakeTap>(env, "tapTake"));
}

} // namespace gantry
