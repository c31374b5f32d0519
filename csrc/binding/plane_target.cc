// Portals, logins and sessions: one function for each of csrc/fabric/target.h.
#include <cerrno>

#include "plane.h"

namespace gantry {
namespace {

// targetListen(plane, portal, host, port) → port bound
Napi::Value Listen(const Napi::CallbackInfo &info) {
  Args args(info);
  auto core = args.Handle<PlaneCore>();
  uint32_t portal = args.U32();
  std::string host = args.Text();
  uint16_t port = args.U16();
  char sentence[256] = "";
  int bound = gt_target_listen(core->Target(info.Env()), portal, host.c_str(), port, sentence, sizeof sentence);
  if (bound < 0) throw Failure(info.Env(), bound, sentence);
  return Napi::Number::New(info.Env(), bound);
}

// targetUnlisten(plane, portal)
void Unlisten(const Napi::CallbackInfo &info) {
  Args args(info);
  auto core = args.Handle<PlaneCore>();
  int error = gt_target_unlisten(core->Target(info.Env()), args.U32());
  if (error && error != -ENOENT) throw Failure(info.Env(), error);
}

// A number, or undefined where it is UINT32_MAX.
Napi::Value NexusNumber(Napi::Env env, uint32_t nexus) {
  return nexus == UINT32_MAX ? env.Undefined() : Napi::Number::New(env, nexus);
}

// targetOpenNexus(plane, connection) → nexus; undefined: the connection is gone, or no nexus is left
Napi::Value OpenNexus(const Napi::CallbackInfo &info) {
  Args args(info);
  auto core = args.Handle<PlaneCore>();
  uint32_t nexus = UINT32_MAX;
  int error = gt_target_open_nexus(core->Target(info.Env()), args.U32(), &nexus);
  if (error && error != -ENOENT && error != -ENOSPC) throw Failure(info.Env(), error);
  return NexusNumber(info.Env(), error ? UINT32_MAX : nexus);
}

const uint8_t *Header(Napi::Env env, const Bytes &header) {
  if (header.size != GT_ISCSI_BHS) throw Failure(env, -EINVAL, "A basic header segment has 48 bytes.");
  return header.data;
}

constexpr uint32_t kNumbers = 16;

gt_full_feature FullFeature(Napi::Env env, const Napi::Array &list) {
  if (list.Length() != kNumbers) throw Failure(env, -EINVAL, "What was negotiated has 16 numbers.");
  uint32_t number[kNumbers];
  for (uint32_t i = 0; i < kNumbers; i++)
    number[i] = ToU32(list.Get(i));
  gt_full_feature enter = {};
  enter.header_digest = number[0];
  enter.data_digest = number[1];
  enter.initiator_max_recv = number[2];
  enter.target_max_recv = number[3];
  enter.max_burst = number[4];
  enter.first_burst = number[5];
  enter.initial_r2t = number[6];
  enter.immediate_data = number[7];
  enter.max_outstanding_r2t = number[8];
  if (!number[9] || !number[10]) throw Failure(env, -EINVAL, "Data comes in order here (RFC 7143 13.18, 13.19).");
  enter.discovery = number[11];
  enter.exp_cmdsn = number[12];
  enter.statsn = number[13];
  enter.tsih = static_cast<uint16_t>(number[14]);
  enter.cid = static_cast<uint16_t>(number[15]);
  return enter;
}

// targetAnswer(plane, connection, header, data, enter | null) → nexus, or undefined: none, or the connection is gone
Napi::Value Answer(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  Args args(info);
  auto core = args.Handle<PlaneCore>();
  uint32_t connection = args.U32();
  Bytes header = args.ByteView(), data = args.ByteView();
  Napi::Value negotiated = args.Next();
  gt_full_feature enter = {};
  if (!negotiated.IsNull()) {
    if (!negotiated.IsArray()) throw Failure(env, -EINVAL, "What was negotiated is no list.");
    enter = FullFeature(env, negotiated.As<Napi::Array>());
  }
  uint32_t nexus = UINT32_MAX;
  int error = gt_target_answer(core->Target(env), connection, Header(env, header), data.data, data.size,
                               negotiated.IsNull() ? nullptr : &enter, &nexus);
  if (error && error != -ENOENT) throw Failure(env, error);
  return NexusNumber(env, error || negotiated.IsNull() ? UINT32_MAX : nexus);
}

// targetRefuse(plane, connection, header | null, data | null)
void Refuse(const Napi::CallbackInfo &info) {
  Args args(info);
  auto core = args.Handle<PlaneCore>();
  uint32_t connection = args.U32();
  Bytes header = args.ByteView(), data = args.ByteView();
  const uint8_t *last = header.data ? Header(info.Env(), header) : nullptr;
  gt_target_refuse(core->Target(info.Env()), connection, last, data.data, data.size);
}

// targetCloseNexus(plane, nexus, asyncEvent): 255: no message
void CloseNexus(const Napi::CallbackInfo &info) {
  Args args(info);
  auto core = args.Handle<PlaneCore>();
  uint32_t nexus = args.U32();
  uint8_t event = args.U8();
  gt_target_close_nexus(core->Target(info.Env()), nexus, event == UINT8_MAX ? -1 : event);
}

// targetStats(plane)
Napi::Value Stats(const Napi::CallbackInfo &info) {
  auto core = Args(info).Handle<PlaneCore>();
  gt_target_stats stats = {};
  gt_target_stat(core->Target(info.Env()), &stats);
  Napi::Object object = Napi::Object::New(info.Env());
  auto wide = [&](const char *name, uint64_t value) { object.Set(name, Napi::BigInt::New(info.Env(), value)); };
  object.Set("connections", Napi::Number::New(info.Env(), stats.connections));
  object.Set("sessions", Napi::Number::New(info.Env(), stats.sessions));
  wide("accepted", stats.accepted);
  wide("refused", stats.refused);
  wide("pdusIn", stats.pdus_in);
  wide("pdusOut", stats.pdus_out);
  wide("bytesIn", stats.bytes_in);
  wide("bytesOut", stats.bytes_out);
  wide("rejects", stats.rejects);
  wide("digestErrors", stats.digest_errors);
  wide("protocolErrors", stats.protocol_errors);
  wide("timeouts", stats.timeouts);
  wide("starved", stats.starved);
  return object;
}

} // namespace

void ExportTarget(Napi::Env env, Napi::Object exports) {
  exports.Set("targetListen", Napi::Function::New<Listen>(env, "targetListen"));
  exports.Set("targetUnlisten", Napi::Function::New<Unlisten>(env, "targetUnlisten"));
  exports.Set("targetOpenNexus", Napi::Function::New<OpenNexus>(env, "targetOpenNexus"));
  exports.Set("targetAnswer", Napi::Function::New<Answer>(env, "targetAnswer"));
  exports.Set("targetRefuse", Napi::Function::New<Refuse>(env, "targetRefuse"));
  exports.Set("targetCloseNexus", Napi::Function::New<CloseNexus>(env, "targetCloseNexus"));
  exports.Set("targetStats", Napi::Function::New<Stats>(env, "targetStats"));
}

} // namespace gantry
