// The functions that JavaScript calls on copies and arenas.
#include <cerrno>
#include <cstring>

#include "copy.h"
#include "events.h"

namespace gantry {
namespace {

static_assert(sizeof(gt_seg) == 24, "SEGMENT_BYTES of src/native/types.ts");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "packed segments are little-endian");

Napi::Value CreateArena(const Napi::CallbackInfo &info) {
  gt_arena *arena = nullptr;
  int error = gt_arena_create(Args(info).U64(), &arena);
  if (error == -ENOMEM) throw Failure(info.Env(), error, "There is not enough memory for the arena; make it smaller.");
  if (error) throw Failure(info.Env(), error);
  return WrapHandle(info.Env(), std::make_shared<ArenaCore>(arena));
}

Napi::Value ArenaFreeBytes(const Napi::CallbackInfo &info) {
  auto arena = Args(info).Handle<ArenaCore>();
  return Napi::BigInt::New(info.Env(), gt_arena_free_bytes(arena->Arena(info.Env())));
}

void ArenaClose(const Napi::CallbackInfo &info) {
  auto arena = Args(info).Handle<ArenaCore>();
  if (arena->users) throw Failure(info.Env(), -EBUSY, "A copy uses the arena; close the copy first.");
  arena->Free();
}

// Each unit is [handle, type, blockBytes, blocks, maxIoBytes].
void ReadUnits(Napi::Array list, std::vector<gt_copy_lu> &units, std::vector<Napi::Object> &handles) {
  if (list.Length() > UINT8_MAX) throw Failure(list.Env(), -EINVAL, "A copy has at most 255 logical units.");
  for (uint32_t i = 0; i < list.Length(); i++) {
    Napi::Value entry = list.Get(i);
    if (!entry.IsArray() || !entry.As<Napi::Array>().Get(0u).IsObject())
      throw Failure(list.Env(), -EINVAL, "A unit of the copy is not an array that starts with a handle.");
    Napi::Array unit = entry.As<Napi::Array>();
    gt_copy_lu parsed = {};
    uint32_t type = ToU32(unit.Get(1u));
    if (type > 1) throw Failure(list.Env(), -EINVAL, "A unit of the copy is neither a disk nor a tape.");
    parsed.type = static_cast<uint8_t>(type);
    parsed.block_bytes = ToU32(unit.Get(2u));
    parsed.blocks = ToU64(unit.Get(3u));
    parsed.max_io_bytes = ToU32(unit.Get(4u));
    units.push_back(parsed);
    handles.push_back(unit.Get(0u).As<Napi::Object>());
  }
}

// startCopy(arena, units, ringBytes, tapeBlockBytes, sourceBlockBytes, ioBytes, depth, sha256, zeroFill, sourceCrcs,
//   keepMember, leaveCached, streamOffset, tapeObject, digest | null, checkpointBytes, checkpointMs, bytesPerS,
//   commandTimeoutMs, tapeTimeoutMs, retryLimit, busyLimitMs, onEvents)
Napi::Value StartCopy(const Napi::CallbackInfo &info) {
  Args args(info);
  Napi::Value arena = args.Next();
  std::vector<gt_copy_lu> units;
  std::vector<Napi::Object> handles;
  ReadUnits(args.Array(), units, handles);
  gt_copy_options options = {};
  options.lu_count = static_cast<uint8_t>(units.size());
  options.ring_bytes = args.U64();
  options.tape_block_bytes = args.U32();
  options.source_block_bytes = args.U32();
  options.io_bytes = args.U32();
  options.depth = args.U16();
  options.sha256 = args.Bool();
  options.zero_fill = args.Bool();
  options.source_crcs = args.Bool();
  options.keep_member = args.Bool();
  options.leave_cached = args.Bool();
  options.stream_offset = args.U64();
  options.tape_object = args.U64();
  if (!UnpackDigest(args.ByteView(), &options.digest))
    throw Failure(info.Env(), -EINVAL, "The digest in progress is not one that this version knows.");
  options.checkpoint_bytes = args.U64();
  options.checkpoint_ms = args.U32();
  options.bytes_per_s = args.U64();
  options.command_timeout_ms = args.U32();
  options.tape_timeout_ms = args.U32();
  options.retry_limit = args.U32();
  options.busy_limit_ms = args.U32();
  Napi::Function on_events = args.Function();
  auto copy = std::make_shared<CopyCore>(info.Env(), Host::Of(info.Env()).mailbox, options.sha256);
  copy->Start(info.Env(), options, arena, units, handles, on_events);
  return WrapHandle(info.Env(), copy);
}

// A view may start anywhere; the engine reads aligned segments.
const gt_seg *Segments(const Bytes &bytes, std::vector<gt_seg> &aligned) {
  if (reinterpret_cast<uintptr_t>(bytes.data) % alignof(gt_seg) == 0)
    return reinterpret_cast<const gt_seg *>(bytes.data);
  aligned.resize(bytes.size / sizeof(gt_seg));
  memcpy(aligned.data(), bytes.data, bytes.size);
  return aligned.data();
}

// copyAppend(copy, gather, scatter, inline) → false: the queue is full
Napi::Value Append(const Napi::CallbackInfo &info) {
  Args args(info);
  auto copy = args.Handle<CopyCore>();
  Bytes gather = args.ByteView(), scatter = args.ByteView(), inlined = args.ByteView();
  if (gather.size % sizeof(gt_seg) || scatter.size % sizeof(gt_seg))
    throw Failure(info.Env(), -EINVAL, "Packed segments are a multiple of 24 bytes long.");
  gt_copy *engine = copy->Engine(info.Env());
  if (!engine) throw ClosedError(info.Env(), CopyCore::kName);
  std::vector<gt_seg> aligned_gather, aligned_scatter;
  size_t bad = SIZE_MAX;
  int error = gt_copy_append(engine, Segments(gather, aligned_gather), gather.size / sizeof(gt_seg),
                             Segments(scatter, aligned_scatter), scatter.size / sizeof(gt_seg), inlined.data,
                             inlined.size, &bad);
  if (error == -ENOSPC) return Napi::Boolean::New(info.Env(), false);
  if (error == -EINVAL && bad != SIZE_MAX) {
    Napi::Error failure =
        Failure(info.Env(), error, "Segment " + std::to_string(bad) + " is wrong; nothing of this append was taken.");
    failure.Set("segment", Napi::Number::New(info.Env(), static_cast<double>(bad)));
    throw failure;
  }
  if (error) throw Failure(info.Env(), error);
  return Napi::Boolean::New(info.Env(), true);
}

// After finish and cancel the run comes to its end without further calls.
template <void (*Control)(gt_copy *)> void Conclude(const Napi::CallbackInfo &info) {
  auto copy = Args(info).Handle<CopyCore>();
  gt_copy *engine = copy->Engine(info.Env());
  if (engine) Control(engine);
  copy->ExpectEnd(info.Env());
}

// A run that was retired has nothing left to control.
template <void (*Control)(gt_copy *)> void Steer(const Napi::CallbackInfo &info) {
  gt_copy *engine = Args(info).Handle<CopyCore>()->Engine(info.Env());
  if (engine) Control(engine);
}

void Rate(const Napi::CallbackInfo &info) {
  Args args(info);
  gt_copy *engine = args.Handle<CopyCore>()->Engine(info.Env());
  uint64_t bytes_per_s = args.U64();
  if (engine) gt_copy_rate(engine, bytes_per_s);
}

Napi::Value Take(const Napi::CallbackInfo &info) { return Args(info).Handle<CopyCore>()->Take(info.Env()); }
Napi::Value Stats(const Napi::CallbackInfo &info) {
  return StatsObject(info.Env(), Args(info).Handle<CopyCore>()->Stats(info.Env()));
}
Napi::Value Close(const Napi::CallbackInfo &info) { return Args(info).Handle<CopyCore>()->Close(info.Env()); }

} // namespace

void ExportArena(Napi::Env env, Napi::Object exports) {
  exports.Set("createArena", Napi::Function::New<CreateArena>(env, "createArena"));
  exports.Set("arenaFreeBytes", Napi::Function::New<ArenaFreeBytes>(env, "arenaFreeBytes"));
  exports.Set("arenaClose", Napi::Function::New<ArenaClose>(env, "arenaClose"));
}

void ExportCopy(Napi::Env env, Napi::Object exports) {
  exports.Set("startCopy", Napi::Function::New<StartCopy>(env, "startCopy"));
  exports.Set("copyAppend", Napi::Function::New<Append>(env, "copyAppend"));
  exports.Set("copyFinish", Napi::Function::New<Conclude<gt_copy_finish>>(env, "copyFinish"));
  exports.Set("copyPause", Napi::Function::New<Steer<gt_copy_pause>>(env, "copyPause"));
  exports.Set("copyResume", Napi::Function::New<Steer<gt_copy_resume>>(env, "copyResume"));
  exports.Set("copyCancel", Napi::Function::New<Conclude<gt_copy_cancel>>(env, "copyCancel"));
  exports.Set("copyRate", Napi::Function::New<Rate>(env, "copyRate"));
  exports.Set("copyTake", Napi::Function::New<Take>(env, "copyTake"));
  exports.Set("copyStats", Napi::Function::New<Stats>(env, "copyStats"));
  exports.Set("copyClose", Napi::Function::New<Close>(env, "copyClose"));
}

} // namespace gantry
