// Rings of the kernel's own target: one function for each of csrc/lio/lio.h. Its thread starts with the first nexus.
#include <cerrno>

#include "plane.h"

namespace gantry {
namespace {

// lioOpenNexus(plane) → nexus; undefined: none is left
Napi::Value OpenNexus(const Napi::CallbackInfo &info) {
  auto core = Args(info).Handle<PlaneCore>();
  uint32_t nexus = UINT32_MAX;
  int error = gt_lio_open_nexus(core->Lio(info.Env()), &nexus);
  if (error == -EBUSY) return info.Env().Undefined();
  if (error) throw Failure(info.Env(), error);
  return Napi::Number::New(info.Env(), nexus);
}

// lioCloseNexus(plane, nexus)
void CloseNexus(const Napi::CallbackInfo &info) {
  Args args(info);
  auto core = args.Handle<PlaneCore>();
  gt_lio_close_nexus(core->Lio(info.Env()), args.U32());
}

// lioAttach(plane, nexus, lun, sequential, node, bytes) → ring
Napi::Value Attach(const Napi::CallbackInfo &info) {
  Args args(info);
  auto core = args.Handle<PlaneCore>();
  uint32_t nexus = args.U32(), lun = args.U32(), ring = 0;
  bool sequential = args.Bool();
  std::string node = args.Text();
  uint64_t bytes = args.U64();
  char sentence[256] = "";
  int error = gt_lio_attach_node(core->Lio(info.Env()), nexus, lun, sequential, node.c_str(), bytes, &ring, sentence,
                                 sizeof sentence);
  if (error) throw Failure(info.Env(), error, sentence);
  return Napi::Number::New(info.Env(), ring);
}

// lioDetach(plane, ring)
void Detach(const Napi::CallbackInfo &info) {
  Args args(info);
  auto core = args.Handle<PlaneCore>();
  gt_lio_detach(core->Lio(info.Env()), args.U32());
}

// lioStats(plane)
Napi::Value Stats(const Napi::CallbackInfo &info) {
  auto core = Args(info).Handle<PlaneCore>();
  gt_lio_stats stats = {};
  gt_lio_stat(core->Lio(info.Env()), &stats);
  Napi::Object object = Napi::Object::New(info.Env());
  auto wide = [&](const char *name, uint64_t value) { object.Set(name, Napi::BigInt::New(info.Env(), value)); };
  object.Set("rings", Napi::Number::New(info.Env(), stats.rings));
  wide("commands", stats.commands);
  wide("inPlace", stats.in_place);
  wide("gathered", stats.gathered);
  wide("aborted", stats.aborted);
  wide("full", stats.full);
  wide("inherited", stats.inherited);
  wide("broken", stats.broken);
  wide("starved", stats.starved);
  return object;
}

} // namespace

void ExportLio(Napi::Env env, Napi::Object exports) {
  exports.Set("lioOpenNexus", Napi::Function::New<OpenNexus>(env, "lioOpenNexus"));
  exports.Set("lioCloseNexus", Napi::Function::New<CloseNexus>(env, "lioCloseNexus"));
  exports.Set("lioAttach", Napi::Function::New<Attach>(env, "lioAttach"));
  exports.Set("lioDetach", Napi::Function::New<Detach>(env, "lioDetach"));
  exports.Set("lioStats", Napi::Function::New<Stats>(env, "lioStats"));
}

} // namespace gantry
