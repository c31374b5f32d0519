// Units, classes, paths and punts: one function for each of csrc/plane/plane.h.
#include <cerrno>

#include "device.h"
#include "lu.h"
#include "plane.h"
#include "trace.h"

namespace gantry {
namespace {

void Check(Napi::Env env, int error, const char *sentence = "") {
  if (error < 0) throw Failure(env, error, sentence);
}

// planeOpen(puntTimeoutMs, reactors, connections, poolBytes, queueDepth, loginTimeoutMs, spinUs, onEvents)
Napi::Value OpenPlane(const Napi::CallbackInfo &info) {
  Args args(info);
  uint32_t punt_timeout_ms = args.U32();
  gt_target_options options = {};
  options.reactors = args.U32();
  options.connections = args.U32();
  options.pool_bytes = args.U64();
  options.queue_depth = args.U32();
  options.login_timeout_ms = args.U32();
  options.spin_us = args.U32();
  Napi::Function on_events = args.Function();
  auto core = std::make_shared<PlaneCore>(info.Env(), Host::Of(info.Env()).mailbox);
  core->Start(info.Env(), punt_timeout_ms, options, on_events);
  return WrapHandle(info.Env(), core);
}

Napi::Value ClosePlane(const Napi::CallbackInfo &info) { return Args(info).Handle<PlaneCore>()->Close(info.Env()); }

Napi::Value Take(const Napi::CallbackInfo &info) {
  auto core = Args(info).Handle<PlaneCore>();
  return TakePlane(info.Env(), *core);
}

// planeTakeTrace(plane) → { records, lost }
Napi::Value TakeTrace(const Napi::CallbackInfo &info) {
  auto core = Args(info).Handle<PlaneCore>();
  gt_plane *plane = core->Plane(info.Env());
  return TakeRecords(info.Env(), [plane](gt_trace_record *out, size_t max, uint64_t *lost) {
    return gt_plane_take_trace(plane, out, max, lost);
  });
}

// Rows as bytes: opcode, class, handling, flags, service action (16 bits, little-endian, signed), two zeros.
constexpr size_t kRowBytes = 8;

// planeClasses(plane, rows)
void Classes(const Napi::CallbackInfo &info) {
  Args args(info);
  auto core = args.Handle<PlaneCore>();
  Bytes packed = args.ByteView();
  if (packed.size % kRowBytes) throw Failure(info.Env(), -EINVAL, "The rows of the opcode table are cut off.");
  std::vector<gt_class_row> rows(packed.size / kRowBytes);
  for (size_t i = 0; i < rows.size(); i++) {
    const uint8_t *at = packed.data + i * kRowBytes;
    rows[i] = {at[0], static_cast<int16_t>(at[4] | at[5] << 8), at[1], at[2], at[3]};
  }
  Check(info.Env(), gt_plane_classes(core->Plane(info.Env()), rows.data(), rows.size()),
        "A row of the opcode table is wrong, or there twice.");
}

// planeAddDevice(plane, unit, device, inline)
void AddDevice(const Napi::CallbackInfo &info) {
  Args args(info);
  auto core = args.Handle<PlaneCore>();
  uint32_t unit = args.U32();
  gt_device *device = args.Handle<DeviceCore>()->Device(info.Env());
  Check(info.Env(), gt_plane_add_device(core->Plane(info.Env()), unit, device, args.Bool()));
}

// A real device is opened on a thread of its own, as in lu_open.cc, and then the plane has it.
class Adding : public Letter {
public:
  Adding(Napi::Env env, std::shared_ptr<PlaneCore> plane, Opener opener)
      : pledge(env, Host::Of(env).mailbox), plane_(std::move(plane)), opener_(std::move(opener)) {}
  ~Adding() override {
    if (lu_) gt_lu_close(lu_);
  }
  void Run() {
    error_ = opener_(&lu_, sentence_, sizeof sentence_);
    opener_ = nullptr; // secrets go
  }
  void Open(Napi::Env env) override {
    if (!error_ && plane_->Running())
      error_ = gt_plane_add_lu(plane_->Plane(env), unit, lu_, timeout_ms, slow_timeout_ms);
    else if (!error_)
      return pledge.Reject(env, ClosedError(env, PlaneCore::kName));
    if (error_) return pledge.Reject(env, Failure(env, error_, sentence_));
    uint32_t max_transfer = std::exchange(lu_, nullptr)->limits.max_transfer;
    pledge.Resolve(env, Napi::Number::New(env, max_transfer));
  }

  Pledge pledge;
  uint32_t unit = 0, timeout_ms = 0, slow_timeout_ms = 0;

private:
  std::shared_ptr<PlaneCore> plane_;
  Opener opener_;
  gt_lu *lu_ = nullptr;
  int error_ = 0;
  char sentence_[256] = "";
};

Opener OpenerOf(Args &args, Napi::Env env) {
  std::string transport = args.Text();
  if (transport == "sg") return SgOpener(args);
  if (transport == "iscsi") return IscsiOpener(args);
  if (transport == "paths") return PathsOpener(args, env);
  throw Failure(env, -EINVAL, "The transport of a passed-through unit is sg, paths or iscsi.");
}

// planeAddLu(plane, unit, timeoutMs, slowTimeoutMs, transport, …as luOpenSg and luOpenIscsi) → Promise of maxTransfer
Napi::Value AddLu(const Napi::CallbackInfo &info) {
  Args args(info);
  auto core = args.Handle<PlaneCore>();
  core->Plane(info.Env());
  uint32_t unit = args.U32(), timeout_ms = args.U32(), slow_timeout_ms = args.U32();
  auto adding = std::make_shared<Adding>(info.Env(), core, OpenerOf(args, info.Env()));
  adding->unit = unit;
  adding->timeout_ms = timeout_ms;
  adding->slow_timeout_ms = slow_timeout_ms;
  auto mailbox = Host::Of(info.Env()).mailbox;
  Napi::Promise promise = adding->pledge.Promise();
  try {
    std::thread([adding, mailbox] {
      adding->Run();
      mailbox->Post(adding);
    }).detach();
  } catch (const std::system_error &) {
    adding->pledge.Reject(info.Env(), Failure(info.Env(), -EAGAIN, "There is no thread to open the unit with."));
  }
  return promise;
}

// planeRemoveUnit(plane, unit)
void RemoveUnit(const Napi::CallbackInfo &info) {
  Args args(info);
  auto core = args.Handle<PlaneCore>();
  Check(info.Env(), gt_plane_remove_unit(core->Plane(info.Env()), args.U32()));
}

// planeSetPort(plane, nexus, relative, group, name)
void SetPort(const Napi::CallbackInfo &info) {
  Args args(info);
  auto core = args.Handle<PlaneCore>();
  uint32_t nexus = args.U32();
  uint16_t relative = args.U16(), group = args.U16();
  std::string name = args.Text();
  int error = gt_plane_set_port(core->Plane(info.Env()), nexus, relative, group, name.c_str());
  if (error != -ENOENT) Check(info.Env(), error);
}

// planeSetPath(plane, nexus, lun, unit, gate, reservation, visible, writeProtected, expiresNs): false: no such nexus or
// unit
Napi::Value SetPath(const Napi::CallbackInfo &info) {
  Args args(info);
  auto core = args.Handle<PlaneCore>();
  uint32_t nexus = args.U32(), lun = args.U32(), unit = args.U32();
  gt_verdict verdict = {};
  verdict.gate = args.U16();
  verdict.reservation = args.U16();
  verdict.visible = args.Bool();
  verdict.write_protected = args.Bool();
  verdict.expires_ns = args.U64();
  int error = gt_plane_set_path(core->Plane(info.Env()), nexus, lun, unit, &verdict);
  if (error != -ENOENT) Check(info.Env(), error);
  return Napi::Boolean::New(info.Env(), error == 0);
}

// planeClearPath(plane, nexus, lun)
void ClearPath(const Napi::CallbackInfo &info) {
  Args args(info);
  auto core = args.Handle<PlaneCore>();
  uint32_t nexus = args.U32();
  int error = gt_plane_clear_path(core->Plane(info.Env()), nexus, args.U32());
  if (error != -ENOENT) Check(info.Env(), error);
}

// planeAttention(plane, nexus, lun, asc, ascq)
void Attention(const Napi::CallbackInfo &info) {
  Args args(info);
  auto core = args.Handle<PlaneCore>();
  uint32_t nexus = args.U32(), lun = args.U32();
  uint8_t asc = args.U8();
  int error = gt_plane_attention(core->Plane(info.Env()), nexus, lun, asc, args.U8());
  if (error != -ENOENT) Check(info.Env(), error);
}

// planeAbort(plane, unit, nexus, except, status, cookie)
void Abort(const Napi::CallbackInfo &info) {
  Args args(info);
  auto core = args.Handle<PlaneCore>();
  uint32_t unit = args.U32(), nexus = args.U32(), except = args.U32();
  uint8_t status = args.U8();
  Check(info.Env(), gt_plane_abort(core->Plane(info.Env()), unit, nexus, except, status, args.U64()));
}

// planeDrain(plane, unit, nexus, classes, cookie)
void Drain(const Napi::CallbackInfo &info) {
  Args args(info);
  auto core = args.Handle<PlaneCore>();
  uint32_t unit = args.U32(), nexus = args.U32();
  uint16_t classes = args.U16();
  Check(info.Env(), gt_plane_drain(core->Plane(info.Env()), unit, nexus, classes, args.U64()));
}

// planeAnswer(plane, punt, status, sense | null, data | null). Who asked is gone with a closed plane, as with its
// nexus.
void Answer(const Napi::CallbackInfo &info) {
  Args args(info);
  auto core = args.Handle<PlaneCore>();
  uint64_t punt = args.U64();
  uint8_t status = args.U8();
  Bytes sense = args.ByteView(), data = args.ByteView();
  if (!core->Running()) return;
  int error = gt_plane_answer(core->Plane(info.Env()), punt, status, sense.data, sense.size, data.data, data.size);
  if (error != -ENOENT) Check(info.Env(), error);
}

// planePass(plane, punt)
void Pass(const Napi::CallbackInfo &info) {
  Args args(info);
  auto core = args.Handle<PlaneCore>();
  if (!core->Running()) return;
  int error = gt_plane_pass(core->Plane(info.Env()), args.U64());
  if (error != -ENOENT) Check(info.Env(), error);
}

// planeTakeWrites(plane, unit) → [lba, blocks, lba, blocks, …]
Napi::Value TakeWrites(const Napi::CallbackInfo &info) {
  constexpr size_t kMax = 1024;
  Args args(info);
  auto core = args.Handle<PlaneCore>();
  std::vector<gt_extent> extents(kMax);
  size_t count = gt_plane_take_writes(core->Plane(info.Env()), args.U32(), extents.data(), kMax);
  auto list = Napi::Array::New(info.Env(), 2 * count);
  for (uint32_t i = 0; i < count; i++) {
    list.Set(2 * i, Napi::BigInt::New(info.Env(), extents[i].lba));
    list.Set(2 * i + 1, Napi::BigInt::New(info.Env(), extents[i].blocks));
  }
  return list;
}

// planePathStats(plane, nexus, lun)
Napi::Value PathStats(const Napi::CallbackInfo &info) {
  Args args(info);
  auto core = args.Handle<PlaneCore>();
  uint32_t nexus = args.U32();
  gt_path_stats stats = {};
  Check(info.Env(), gt_plane_path_stats(core->Plane(info.Env()), nexus, args.U32(), &stats));
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("commands", Napi::BigInt::New(info.Env(), stats.commands));
  object.Set("bytesIn", Napi::BigInt::New(info.Env(), stats.bytes_in));
  object.Set("bytesOut", Napi::BigInt::New(info.Env(), stats.bytes_out));
  object.Set("refused", Napi::BigInt::New(info.Env(), stats.refused));
  object.Set("errors", Napi::BigInt::New(info.Env(), stats.errors));
  object.Set("outstanding", Napi::Number::New(info.Env(), stats.outstanding));
  return object;
}

// planeTrace(plane, filters): pairs of nexus and unit, little-endian
void Trace(const Napi::CallbackInfo &info) {
  constexpr size_t kPair = 8;
  Args args(info);
  auto core = args.Handle<PlaneCore>();
  Bytes packed = args.ByteView();
  std::vector<gt_trace_filter> filters(packed.size / kPair);
  auto number = [&packed](size_t at) {
    return static_cast<uint32_t>(packed.data[at]) | static_cast<uint32_t>(packed.data[at + 1]) << 8 |
           static_cast<uint32_t>(packed.data[at + 2]) << 16 | static_cast<uint32_t>(packed.data[at + 3]) << 24;
  };
  for (size_t i = 0; i < filters.size(); i++)
    filters[i] = {number(i * kPair), number(i * kPair + 4)};
  Check(info.Env(), gt_plane_trace(core->Plane(info.Env()), filters.data(), filters.size()),
        "There are more filters than a trace has room for.");
}

} // namespace

void ExportPlane(Napi::Env env, Napi::Object exports) {
  exports.Set("planeOpen", Napi::Function::New<OpenPlane>(env, "planeOpen"));
  exports.Set("planeClose", Napi::Function::New<ClosePlane>(env, "planeClose"));
  exports.Set("planeTakeTrace", Napi::Function::New<TakeTrace>(env, "planeTakeTrace"));
  exports.Set("planeTake", Napi::Function::New<Take>(env, "planeTake"));
  exports.Set("planeClasses", Napi::Function::New<Classes>(env, "planeClasses"));
  exports.Set("planeAddDevice", Napi::Function::New<AddDevice>(env, "planeAddDevice"));
  exports.Set("planeAddLu", Napi::Function::New<AddLu>(env, "planeAddLu"));
  exports.Set("planeRemoveUnit", Napi::Function::New<RemoveUnit>(env, "planeRemoveUnit"));
  exports.Set("planeSetPort", Napi::Function::New<SetPort>(env, "planeSetPort"));
  exports.Set("planeSetPath", Napi::Function::New<SetPath>(env, "planeSetPath"));
  exports.Set("planeClearPath", Napi::Function::New<ClearPath>(env, "planeClearPath"));
  exports.Set("planeAttention", Napi::Function::New<Attention>(env, "planeAttention"));
  exports.Set("planeAbort", Napi::Function::New<Abort>(env, "planeAbort"));
  exports.Set("planeDrain", Napi::Function::New<Drain>(env, "planeDrain"));
  exports.Set("planeAnswer", Napi::Function::New<Answer>(env, "planeAnswer"));
  exports.Set("planePass", Napi::Function::New<Pass>(env, "planePass"));
  exports.Set("planeTakeWrites", Napi::Function::New<TakeWrites>(env, "planeTakeWrites"));
  exports.Set("planeTrace", Napi::Function::New<Trace>(env, "planeTrace"));
  exports.Set("planePathStats", Napi::Function::New<PathStats>(env, "planePathStats"));
}

} // namespace gantry
