// The addon: plain functions over handles. src/native is the only caller and gives them their shape.
#include <cerrno>

#include <sys/file.h>

#include "copy.h"
#include "device.h"
#include "lu.h"
#include "paths.h"
#include "plane.h"
#include "trace.h"

extern "C" {
#include "core/crc32c.h"
#include "core/notify.h"
}

namespace gantry {
namespace {

// crc32c(bytes, seed)
Napi::Value Crc32c(const Napi::CallbackInfo &info) {
  Args args(info);
  Bytes bytes = args.ByteView();
  return Napi::Number::New(info.Env(), gt_crc32c(args.U32(), bytes.data, bytes.size));
}

// notify(socketPath, state)
void Notify(const Napi::CallbackInfo &info) {
  Args args(info);
  std::string path = args.Text(), state = args.Text();
  int error = gt_notify(path.c_str(), state.c_str());
  if (error) throw Failure(info.Env(), error);
}

// lockFile(fd): false when somebody else has it locked. The lock ends with the open file, however the process ends.
Napi::Value LockFile(const Napi::CallbackInfo &info) {
  Args args(info);
  bool taken = flock(static_cast<int>(args.U32()), LOCK_EX | LOCK_NB) == 0;
  if (!taken && errno != EWOULDBLOCK) throw Failure(info.Env(), -errno);
  return Napi::Boolean::New(info.Env(), taken);
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  Host::Install(env);
  ExportDevice(env, exports);
  ExportOpeners(env, exports);
  ExportLu(env, exports);
  ExportPaths(env, exports);
  ExportTrace(env, exports);
  ExportArena(env, exports);
  ExportCopy(env, exports);
  ExportPlane(env, exports);
  ExportTarget(env, exports);
  ExportLio(env, exports);
  exports.Set("crc32c", Napi::Function::New<Crc32c>(env, "crc32c"));
  exports.Set("lockFile", Napi::Function::New<LockFile>(env, "lockFile"));
  exports.Set("notify", Napi::Function::New<Notify>(env, "notify"));
  return exports;
}

} // namespace
} // namespace gantry

static Napi::Object InitAddon(Napi::Env env, Napi::Object exports) { return gantry::Init(env, exports); }
NODE_API_MODULE(gantry, InitAddon)
