// Handles of the bridge's data plane: units, paths, punts (csrc/plane/plane.h), the iSCSI target in front of it
// (csrc/fabric/target.h), and the rings of the kernel's own target (csrc/lio/lio.h).
#ifndef GANTRY_PLANE_H
#define GANTRY_PLANE_H

#include <thread>
#include <vector>

#include "handle.h"

extern "C" {
// C's _Atomic is no word of C++17. It stands in gt_task only, which the binding never makes and never looks into.
#define _Atomic
#include "fabric/target.h"
#include "lio/lio.h"
#include "plane/plane.h"
#undef _Atomic
}

namespace gantry {

// The event loop is the controlling thread of all until Close; then the closing thread is.
//
// As a letter it says that something can be taken. An open plane keeps the process alive, as a listening server does.
class PlaneCore : public Letter, public std::enable_shared_from_this<PlaneCore> {
public:
  static constexpr napi_type_tag kTag = {0x67616e7472790005, 0x7c43e91ab80d52f6};
  static constexpr const char *kName = "data plane of the bridge";

  PlaneCore(napi_env env, std::shared_ptr<Mailbox> mailbox) : env_(env), mailbox_(std::move(mailbox)) {}

  // All on the event loop.
  // Throws; then nothing runs.
  void Start(Napi::Env env, uint32_t punt_timeout_ms, gt_target_options &options, Napi::Function on_events);
  bool Running() const { return state_ == State::kRunning; }
  // Throw when the handle is closed.
  gt_plane *Plane(Napi::Env env) const;
  gt_target *Target(Napi::Env env) const;
  // Opened when it is asked for first.
  gt_lio *Lio(Napi::Env env);
  // Null: it was not asked for.
  gt_lio *LioIfAny() const { return lio_; }
  // Ends sessions and tasks and joins the threads on a thread of its own.
  Napi::Promise Close(Napi::Env env);
  void Collected() { Retire(); }
  void Open(Napi::Env env) override;
  // What a taker left behind is told again.
  void Again() { mailbox_->Post(shared_from_this()); }
  // At the end of the environment: closes at once.
  void Shutdown();

private:
  class Retired;
  enum class State { kIdle, kRunning, kRetiring, kRetired };

  static void Notify(void *context); // any thread
  void CloseAll();                   // whoever is the controlling thread
  void Retire();
  void Settle(Napi::Env env);

  const napi_env env_;
  std::shared_ptr<Mailbox> mailbox_;
  State state_ = State::kIdle;
  bool held_ = false; // the process
  gt_plane *plane_ = nullptr;
  gt_target *target_ = nullptr;
  gt_lio *lio_ = nullptr;
  Napi::FunctionReference on_events_;
  std::vector<Pledge> closers_;
  std::thread retiring_;
};

// planeOpen, planeClose, planeTake and the calls of units and paths.
void ExportPlane(Napi::Env env, Napi::Object exports);
// Portals, logins, sessions.
void ExportTarget(Napi::Env env, Napi::Object exports);

// Rings of the kernel's own target.
void ExportLio(Napi::Env env, Napi::Object exports);

// What is waiting, as src/native/plane.ts takes it apart.
Napi::Object TakePlane(Napi::Env env, PlaneCore &core);

} // namespace gantry

#endif
