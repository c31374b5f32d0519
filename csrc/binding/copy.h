// Handles of runs of the copy engine, and of the arena that their rings come from.
#ifndef GANTRY_COPY_H
#define GANTRY_COPY_H

#include <condition_variable>
#include <deque>
#include <thread>
#include <vector>

#include "handle.h"
#include "lu.h"

extern "C" {
#include "copy/engine.h"
}

namespace gantry {

class ArenaCore {
public:
  static constexpr napi_type_tag kTag = {0x67616e7472790003, 0xb3a1974de62f08c5};
  static constexpr const char *kName = "arena";

  explicit ArenaCore(gt_arena *arena) : arena_(arena) {}
  ~ArenaCore() { Free(); }
  ArenaCore(const ArenaCore &) = delete;

  gt_arena *Arena(Napi::Env env) const {
    if (!arena_) throw ClosedError(env, kName);
    return arena_;
  }
  void Free() {
    if (arena_) gt_arena_destroy(arena_);
    arena_ = nullptr;
  }
  // Copies hold their arena's handle, so garbage has no users.
  void Collected() {}

  size_t users = 0; // copies that have a slice

private:
  gt_arena *arena_;
};

// One run. The event loop is the engine's controlling thread until the run is retired; then the retiring
// thread is, and afterwards the engine is gone and only events that nobody took are left.
//
// As a letter it says that events are waiting.
class CopyCore : public Letter, public std::enable_shared_from_this<CopyCore> {
public:
  static constexpr napi_type_tag kTag = {0x67616e7472790004, 0x0e8d5b6f12c97a43};
  static constexpr const char *kName = "copy";
  static constexpr size_t kTakeMax = 1024; // events in one take

  struct Unit {
    std::shared_ptr<LuCore> core;
    Napi::ObjectReference handle; // a unit in use is not garbage
    gt_runner *runner;
  };

  CopyCore(napi_env env, std::shared_ptr<Mailbox> mailbox, bool sha256)
      : env_(env), mailbox_(std::move(mailbox)), sha256_(sha256) {}
  ~CopyCore() override { ReleaseKept(); }

  // All on the event loop, unless said otherwise.
  // units: as the engine wants them, but for lu, which is filled in here from handles. Throws; then nothing
  // is lent and nothing runs.
  void Start(Napi::Env env, gt_copy_options &options, const Napi::Value &arena, std::vector<gt_copy_lu> &units,
             const std::vector<Napi::Object> &handles, Napi::Function on_events);
  // The engine; throws when the handle is closed. nullptr: the run was retired because one of its units was closed.
  gt_copy *Engine(Napi::Env env) const;
  // From now on the run ends by itself, and the process stays alive until DONE was taken or the copy closed.
  void ExpectEnd(Napi::Env env);
  Napi::Array Take(Napi::Env env);
  gt_copy_stats Stats(Napi::Env env) const;
  Napi::Promise Close(Napi::Env env);
  void Collected();

  // Cancels and joins on a thread of its own; what was not taken can be taken afterwards.
  void Retire();
  void Cancel();
  // At the end of the environment: the same at once.
  void Shutdown();
  void Open(Napi::Env env) override;

private:
  class Retired;
  enum class State { kIdle, kRunning, kRetiring, kRetired };

  static void Notify(void *context); // an engine thread
  void LendUnits(Napi::Env env, std::vector<gt_copy_lu> &units, const std::vector<Napi::Object> &handles);
  void GiveBack();   // any thread that is alone with units_
  void RetireHere(); // the retiring thread
  void KeepEvents(); // the retiring thread
  void Finish();
  void Settle(Napi::Env env);
  void ReleaseKept();
  void LetGo(); // the process may end
  size_t TakeRaw(gt_event *events, size_t max);

  const napi_env env_;
  std::shared_ptr<Mailbox> mailbox_;
  const bool sha256_;
  State state_ = State::kIdle;
  bool closed_ = false; // take and the rest throw
  bool ended_ = false;  // DONE was taken
  bool held_ = false;   // the process, by ExpectEnd
  gt_copy *copy_ = nullptr;
  std::shared_ptr<ArenaCore> arena_;
  Napi::ObjectReference arena_handle_;
  std::vector<Unit> units_;
  Napi::FunctionReference on_events_; // keeps itself alive until DONE was taken
  std::vector<Pledge> closers_;
  std::thread retiring_;
  // The retiring thread's while there is one.
  bool keep_ = false;
  std::deque<gt_event> kept_;
  gt_copy_stats last_stats_ = {};

  std::mutex lock_;
  std::condition_variable news_;
  bool has_news_ = false; // protected by lock_
};

void ExportArena(Napi::Env env, Napi::Object exports);
void ExportCopy(Napi::Env env, Napi::Object exports);

} // namespace gantry

#endif
