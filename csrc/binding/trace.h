// Records of commands as objects, and the handles of taps (csrc/transport/trace.h).
#ifndef GANTRY_TRACE_H
#define GANTRY_TRACE_H

#include <functional>

#include "handle.h"

extern "C" {
#include "transport/trace.h"
}

namespace gantry {

class TapCore {
public:
  static constexpr napi_type_tag kTag = {0x67616e7472790009, 0x3b7e52d1c8a94f06};
  static constexpr const char *kName = "tap";

  explicit TapCore(gt_tap *tap) : tap_(tap) {}
  TapCore(const TapCore &) = delete;
  TapCore &operator=(const TapCore &) = delete;
  ~TapCore() { gt_tap_unref(tap_); }
  gt_tap *Tap() const { return tap_; }
  void Collected() {}

private:
  gt_tap *tap_;
};

// {records, lost}. take: as gt_trace_take.
using RecordSource = std::function<size_t(gt_trace_record *out, size_t max, uint64_t *lost)>;
Napi::Object TakeRecords(Napi::Env env, const RecordSource &take);

// tapOpen, tapSet, tapTake
void ExportTrace(Napi::Env env, Napi::Object exports);

} // namespace gantry

#endif
