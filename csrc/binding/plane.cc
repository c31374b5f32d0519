#include "plane.h"

#include <cerrno>
#include <utility>

namespace gantry {

// What the closing thread posts last.
class PlaneCore::Retired : public Letter {
public:
  explicit Retired(std::shared_ptr<PlaneCore> plane) : plane_(std::move(plane)) {}
  void Open(Napi::Env env) override { plane_->Settle(env); }

private:
  std::shared_ptr<PlaneCore> plane_;
};

void PlaneCore::Notify(void *context) {
  auto *self = static_cast<PlaneCore *>(context);
  self->mailbox_->Post(self->shared_from_this());
}

void PlaneCore::Start(Napi::Env env, uint32_t punt_timeout_ms, gt_target_options &options, Napi::Function on_events) {
  gt_plane_options plane = {};
  plane.notify = Notify;
  plane.context = this;
  plane.punt_timeout_ms = punt_timeout_ms;
  int error = gt_plane_open(&plane, &plane_);
  if (error) throw Failure(env, error, "The data plane of the bridge cannot be opened.");
  options.plane = plane_;
  options.notify = Notify;
  options.context = this;
  char sentence[256] = "";
  error = gt_target_open(&options, &target_, sentence, sizeof sentence);
  if (error) {
    gt_plane_close(std::exchange(plane_, nullptr));
    throw Failure(env, error, sentence);
  }
  state_ = State::kRunning;
  on_events_ = Napi::Persistent(on_events);
  Host::Of(env).planes.insert(shared_from_this());
  held_ = true;
  mailbox_->Hold(env);
}

gt_plane *PlaneCore::Plane(Napi::Env env) const {
  if (state_ != State::kRunning) throw ClosedError(env, kName);
  return plane_;
}

gt_target *PlaneCore::Target(Napi::Env env) const {
  if (state_ != State::kRunning) throw ClosedError(env, kName);
  return target_;
}

gt_lio *PlaneCore::Lio(Napi::Env env) {
  gt_lio_options options = {};
  options.plane = Plane(env);
  options.notify = Notify;
  options.context = this;
  char sentence[256] = "";
  int error = lio_ ? 0 : gt_lio_open(&options, &lio_, sentence, sizeof sentence);
  if (error) throw Failure(env, error, sentence);
  return lio_;
}

void PlaneCore::Open(Napi::Env) {
  if (state_ == State::kRunning && !on_events_.IsEmpty()) on_events_.Call({});
}

// Front ends first: the plane is closed when nobody brings tasks any more.
void PlaneCore::CloseAll() {
  gt_plane_unattended(plane_);
  gt_target_close(std::exchange(target_, nullptr));
  if (lio_) gt_lio_close(std::exchange(lio_, nullptr));
  gt_plane_close(std::exchange(plane_, nullptr));
}

Napi::Promise PlaneCore::Close(Napi::Env env) {
  Pledge pledge(env, mailbox_);
  Napi::Promise promise = pledge.Promise();
  if (state_ == State::kRetired)
    pledge.Resolve(env, env.Undefined());
  else
    closers_.push_back(std::move(pledge));
  Retire();
  return promise;
}

void PlaneCore::Retire() {
  if (state_ != State::kRunning) return;
  state_ = State::kRetiring;
  on_events_.Reset();
  if (std::exchange(held_, false)) mailbox_->Release(env_);
  auto self = shared_from_this();
  auto retire = [self] {
    self->CloseAll();
    self->mailbox_->Post(std::make_shared<Retired>(self));
  };
  try {
    retiring_ = std::thread(retire);
  } catch (const std::system_error &) {
    retire(); // slow, but what was asked for is done
  }
}

void PlaneCore::Settle(Napi::Env env) {
  if (retiring_.joinable()) retiring_.join();
  state_ = State::kRetired;
  Host::Of(env).planes.erase(shared_from_this());
  for (Pledge &closer : std::exchange(closers_, {}))
    closer.Resolve(env, env.Undefined());
}

void PlaneCore::Shutdown() {
  if (state_ == State::kRunning) CloseAll();
  if (retiring_.joinable()) retiring_.join();
  state_ = State::kRetired;
  on_events_.Reset();
}

} // namespace gantry
