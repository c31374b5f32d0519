#include "copy.h"

#include <cerrno>
#include <chrono>
#include <utility>

#include "events.h"

namespace gantry {

// What the retiring thread posts last.
class CopyCore::Retired : public Letter {
public:
  explicit Retired(std::shared_ptr<CopyCore> copy) : copy_(std::move(copy)) {}
  void Open(Napi::Env env) override { copy_->Settle(env); }

private:
  std::shared_ptr<CopyCore> copy_;
};

void CopyCore::Notify(void *context) {
  auto *self = static_cast<CopyCore *>(context);
  {
    std::lock_guard<std::mutex> guard(self->lock_);
    self->has_news_ = true;
  }
  self->news_.notify_one();
  self->mailbox_->Post(self->shared_from_this());
}

void CopyCore::LendUnits(Napi::Env env, std::vector<gt_copy_lu> &units, const std::vector<Napi::Object> &handles) {
  for (size_t i = 0; i < handles.size(); i++) {
    auto core = FromHandle<LuCore>(handles[i]);
    units[i].lu = core->Lend(env, this);
    units_.push_back({core, Napi::Persistent(handles[i]), core->Runner(env)});
  }
}

void CopyCore::GiveBack() {
  for (const Unit &unit : units_)
    gt_runner_take_back(unit.runner);
}

void CopyCore::Start(Napi::Env env, gt_copy_options &options, const Napi::Value &arena, std::vector<gt_copy_lu> &units,
                     const std::vector<Napi::Object> &handles, Napi::Function on_events) {
  arena_ = FromHandle<ArenaCore>(arena);
  options.arena = arena_->Arena(env);
  options.lus = units.data();
  options.notify = Notify;
  options.notify_context = this;
  char sentence[256] = "";
  int error = 0;
  arena_->users++;
  try {
    LendUnits(env, units, handles);
    error = gt_copy_start(&options, &copy_, sentence, sizeof sentence);
    if (error) throw Failure(env, error, sentence);
  } catch (...) {
    GiveBack();
    Finish();
    throw;
  }
  state_ = State::kRunning;
  arena_handle_ = Napi::Persistent(arena.As<Napi::Object>());
  on_events_ = Napi::Persistent(on_events);
  Host::Of(env).copies.insert(shared_from_this());
}

gt_copy *CopyCore::Engine(Napi::Env env) const {
  if (closed_) throw ClosedError(env, kName);
  return state_ == State::kRunning ? copy_ : nullptr;
}

// Called by the engine's notify through the mailbox, and once more when the run was retired.
void CopyCore::Open(Napi::Env) {
  if (!closed_ && !on_events_.IsEmpty()) on_events_.Call({});
}

void CopyCore::ExpectEnd(Napi::Env env) {
  if (held_ || ended_ || state_ != State::kRunning) return;
  held_ = true;
  mailbox_->Hold(env);
}

void CopyCore::LetGo() {
  if (std::exchange(held_, false)) mailbox_->Release(env_);
}

size_t CopyCore::TakeRaw(gt_event *events, size_t max) {
  if (state_ == State::kRunning) return gt_copy_take(copy_, events, max);
  if (state_ == State::kRetiring) return 0;
  size_t count = std::min(max, kept_.size());
  std::copy_n(kept_.begin(), count, events);
  kept_.erase(kept_.begin(), kept_.begin() + static_cast<std::ptrdiff_t>(count));
  return count;
}

Napi::Array CopyCore::Take(Napi::Env env) {
  if (closed_) throw ClosedError(env, kName);
  constexpr size_t kChunk = 32;
  gt_event events[kChunk];
  Napi::Array taken = Napi::Array::New(env);
  uint32_t total = 0;
  for (size_t count; total < kTakeMax && (count = TakeRaw(events, kChunk)) > 0;) {
    for (size_t i = 0; i < count; i++) {
      taken.Set(total++, EventObject(env, events[i], sha256_));
      if (events[i].type == GT_EV_DONE) ended_ = true;
      gt_event_release(&events[i]);
    }
  }
  if (ended_) {
    LetGo();
    on_events_.Reset();
  } else if (total >= kTakeMax) {
    // More may lie there, of which the engine has told already.
    mailbox_->Post(shared_from_this());
  }
  return taken;
}

gt_copy_stats CopyCore::Stats(Napi::Env env) const {
  if (closed_) throw ClosedError(env, kName);
  gt_copy_stats stats = last_stats_;
  if (state_ == State::kRunning)
    gt_copy_stats_get(copy_, &stats);
  else if (state_ == State::kRetiring)
    throw ClosedError(env, kName);
  return stats;
}

Napi::Promise CopyCore::Close(Napi::Env env) {
  closed_ = true;
  on_events_.Reset();
  LetGo();
  Pledge pledge(env, mailbox_);
  Napi::Promise promise = pledge.Promise();
  if (state_ == State::kRetired)
    pledge.Resolve(env, env.Undefined());
  else
    closers_.push_back(std::move(pledge));
  Retire();
  return promise;
}

void CopyCore::Collected() {
  closed_ = true;
  LetGo();
  Retire();
}

void CopyCore::Cancel() {
  if (state_ == State::kRunning) gt_copy_cancel(copy_);
}

void CopyCore::Retire() {
  if (state_ != State::kRunning) return;
  state_ = State::kRetiring;
  keep_ = !closed_ && !ended_;
  // Whoever waits for the run's last events has a right to them, though nothing else keeps the process alive.
  mailbox_->Hold(env_);
  auto self = shared_from_this();
  auto retire = [self] {
    self->RetireHere();
    self->mailbox_->Post(std::make_shared<Retired>(self));
  };
  try {
    retiring_ = std::thread(retire);
  } catch (const std::system_error &) {
    retire(); // slow, but what was asked for is done
  }
}

void CopyCore::RetireHere() {
  if (keep_) KeepEvents();
  gt_copy_stats_get(copy_, &last_stats_);
  gt_copy_close(copy_);
  copy_ = nullptr;
  GiveBack();
}

void CopyCore::KeepEvents() {
  gt_copy_cancel(copy_);
  for (bool done = false; !done;) {
    gt_event events[32];
    size_t count = gt_copy_take(copy_, events, 32);
    for (size_t i = 0; i < count; i++) {
      kept_.push_back(events[i]);
      done = done || events[i].type == GT_EV_DONE;
    }
    if (count) continue;
    std::unique_lock<std::mutex> guard(lock_);
    news_.wait_for(guard, std::chrono::milliseconds(100), [this] { return has_news_; });
    has_news_ = false;
  }
}

// What the run had is free again; the engine is gone.
void CopyCore::Finish() {
  if (retiring_.joinable()) retiring_.join();
  for (const Unit &unit : units_)
    unit.core->Returned();
  units_.clear();
  arena_->users--;
  arena_handle_.Reset();
  state_ = State::kRetired;
}

void CopyCore::Settle(Napi::Env env) {
  if (state_ == State::kRetiring) Finish();
  mailbox_->Release(env_);
  Host::Of(env).copies.erase(shared_from_this());
  if (closed_) ReleaseKept();
  for (Pledge &closer : std::exchange(closers_, {}))
    closer.Resolve(env, env.Undefined());
  Open(env);
}

void CopyCore::ReleaseKept() {
  for (gt_event &event : kept_)
    gt_event_release(&event);
  kept_.clear();
}

void CopyCore::Shutdown() {
  closed_ = true;
  if (state_ == State::kRunning) RetireHere();
  if (state_ != State::kRetired) Finish();
  on_events_.Reset();
}

} // namespace gantry
