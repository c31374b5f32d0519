#include "paths.h"

#include <cerrno>
#include <cstring>
#include <thread>

extern "C" {
#include "transport/bsg.h"
}

namespace gantry {

// What a thread of the data plane knows of us; it may outlive the handle and the environment.
struct PathsCore::Notice {
  std::shared_ptr<Mailbox> mailbox;
  std::weak_ptr<PathsCore> core;
};

void PathsCore::Changed(void *context) {
  auto *notice = static_cast<Notice *>(context);
  if (auto core = notice->core.lock()) notice->mailbox->Post(core);
}

void PathsCore::Released(void *context) { delete static_cast<Notice *>(context); }

void PathsCore::Start(Napi::Env env, gt_paths_options &options, Napi::Function on_changed) {
  auto notice = std::make_unique<Notice>(Notice{mailbox_, weak_from_this()});
  options.changed = Changed;
  options.released = Released;
  options.context = notice.get();
  int error = gt_paths_new(&options, &paths_);
  if (error) throw Failure(env, error);
  notice.release();
  on_changed_ = Napi::Persistent(on_changed);
}

std::shared_ptr<gt_paths> PathsCore::Share(Napi::Env env) const {
  if (!paths_) throw ClosedError(env, kName);
  return std::shared_ptr<gt_paths>(gt_paths_ref(paths_), gt_paths_unref);
}

void PathsCore::Collected() {
  on_changed_.Reset();
  if (auto *paths = std::exchange(paths_, nullptr)) gt_paths_unref(paths);
}

void PathsCore::Open(Napi::Env) {
  if (!on_changed_.IsEmpty()) on_changed_.Call({});
}

void UeventsCore::Start(Napi::Env env, Napi::Function on_changed) {
  auto changed = [](void *context) {
    auto *self = static_cast<UeventsCore *>(context);
    if (auto core = self->weak_from_this().lock()) self->mailbox_->Post(core);
  };
  int error = gt_uevents_start(changed, this, &uevents_);
  if (error) throw Failure(env, error);
  on_changed_ = Napi::Persistent(on_changed);
}

void UeventsCore::Collected() {
  on_changed_.Reset();
  if (auto *uevents = std::exchange(uevents_, nullptr)) gt_uevents_stop(uevents);
}

void UeventsCore::Open(Napi::Env) {
  if (!on_changed_.IsEmpty()) on_changed_.Call({});
}

namespace {

// A path is opened and asked who it is on a thread of its own, as every device is.
class Joining : public Letter {
public:
  Joining(Napi::Env env, std::shared_ptr<gt_paths> paths)
      : pledge(env, Host::Of(env).mailbox), paths_(std::move(paths)) {}
  void Run();
  void Open(Napi::Env env) override {
    paths_ = nullptr;
    if (error_) return pledge.Reject(env, Failure(env, error_, sentence_));
    pledge.Resolve(env, env.Undefined());
  }

  Pledge pledge;
  uint32_t id = 0, reserved = 0;
  bool direct = false, settle = false;
  std::string path;
  gt_identity identity = {};

private:
  void Say(const char *what) { snprintf(sentence_, sizeof sentence_, "%s %s", path.c_str(), what); }

  std::shared_ptr<gt_paths> paths_;
  int error_ = 0;
  char sentence_[256] = "";
};

void Joining::Run() {
  gt_lu *lu = nullptr;
  error_ = gt_sg_open(path.c_str(), reserved, direct, &lu, sentence_, sizeof sentence_);
  if (error_) return;
  error_ = gt_lu_is(lu, &identity);
  if (error_) {
    Say(error_ == -ENXIO ? "leads to another device than the one that is configured"
                         : "does not say which device it leads to (VPD pages 83h, 80h)");
  } else {
    error_ = gt_paths_add(paths_.get(), id, lu, settle);
    if (error_ == -EMSGSIZE) Say("moves less in one command than the other paths of the device");
    if (error_ == -ENOSPC) Say("is one path too many");
  }
  if (error_) gt_lu_close(lu);
}

// pathsOpen(again, checkMs, onChanged)
Napi::Value OpenPaths(const Napi::CallbackInfo &info) {
  Args args(info);
  gt_paths_options options = {};
  Bytes again = args.ByteView();
  if (again.size != sizeof options.again) throw Failure(info.Env(), -EINVAL, "The table of opcodes has 32 bytes.");
  memcpy(options.again, again.data, sizeof options.again);
  options.check_ms = args.U32();
  auto core = std::make_shared<PathsCore>(Host::Of(info.Env()).mailbox);
  core->Start(info.Env(), options, args.Function());
  return WrapHandle(info.Env(), core);
}

// pathsAdd(paths, id, path, reservedBytes, directIo, settle, type, value, vendor): a Promise
Napi::Value AddPath(const Napi::CallbackInfo &info) {
  Args args(info);
  auto core = args.Handle<PathsCore>();
  auto joining = std::make_shared<Joining>(info.Env(), core->Share(info.Env()));
  joining->id = args.U32();
  joining->path = args.Text();
  joining->reserved = args.U32();
  joining->direct = args.Bool();
  joining->settle = args.Bool();
  gt_identity &identity = joining->identity;
  identity.type = args.U8();
  Bytes value = args.ByteView();
  std::string vendor = args.Text();
  bool fits = value.size && value.size <= sizeof identity.value && vendor.size() < sizeof identity.vendor;
  if (!fits) throw Failure(info.Env(), -EINVAL, "The identity of the device is too long.");
  identity.len = static_cast<uint8_t>(value.size);
  memcpy(identity.value, value.data, value.size);
  memcpy(identity.vendor, vendor.data(), vendor.size());
  Napi::Promise promise = joining->pledge.Promise();
  auto mailbox = Host::Of(info.Env()).mailbox;
  try {
    std::thread([joining, mailbox] {
      joining->Run();
      mailbox->Post(joining);
    }).detach();
  } catch (const std::system_error &) {
    joining->pledge.Reject(info.Env(), Failure(info.Env(), -EAGAIN, "There is no thread to open the path with."));
  }
  return promise;
}

// pathsRemove(paths, id)
void RemovePath(const Napi::CallbackInfo &info) {
  Args args(info);
  auto core = args.Handle<PathsCore>();
  gt_paths_remove(core->Share(info.Env()).get(), args.U32());
}

// pathsFacts(paths): [id, state, failures] of each; undefined: the unit was closed
Napi::Value Facts(const Napi::CallbackInfo &info) {
  auto paths = Args(info).Handle<PathsCore>()->Share(info.Env());
  gt_paths_fact facts[GT_PATHS_MAX];
  bool closed = false;
  size_t count = gt_paths_facts(paths.get(), facts, &closed);
  if (closed) return info.Env().Undefined();
  auto list = Napi::Array::New(info.Env(), count);
  for (uint32_t i = 0; i < count; i++) {
    auto one = Napi::Array::New(info.Env(), 3);
    one.Set(0u, Napi::Number::New(info.Env(), facts[i].id));
    one.Set(1u, Napi::Number::New(info.Env(), facts[i].state));
    one.Set(2u, Napi::Number::New(info.Env(), facts[i].failures));
    list.Set(i, one);
  }
  return list;
}

// pathsClose(paths): lets go of the handle; the unit lives on while it is open.
void ClosePaths(const Napi::CallbackInfo &info) { Args(info).Handle<PathsCore>()->Collected(); }

// ueventsStart(onChanged)
Napi::Value StartUevents(const Napi::CallbackInfo &info) {
  Args args(info);
  auto core = std::make_shared<UeventsCore>(Host::Of(info.Env()).mailbox);
  core->Start(info.Env(), args.Function());
  return WrapHandle(info.Env(), core);
}

// ueventsStop(uevents)
void StopUevents(const Napi::CallbackInfo &info) { Args(info).Handle<UeventsCore>()->Collected(); }

// bsgProbe(path): 0 or a negative errno
Napi::Value ProbeBsg(const Napi::CallbackInfo &info) {
  return Napi::Number::New(info.Env(), gt_bsg_probe(Args(info).Text().c_str()));
}

} // namespace

void ExportPaths(Napi::Env env, Napi::Object exports) {
  exports.Set("pathsOpen", Napi::Function::New<OpenPaths>(env, "pathsOpen"));
  exports.Set("pathsAdd", Napi::Function::New<AddPath>(env, "pathsAdd"));
  exports.Set("pathsRemove", Napi::Function::New<RemovePath>(env, "pathsRemove"));
  exports.Set("pathsFacts", Napi::Function::New<Facts>(env, "pathsFacts"));
  exports.Set("pathsClose", Napi::Function::New<ClosePaths>(env, "pathsClose"));
  exports.Set("ueventsStart", Napi::Function::New<StartUevents>(env, "ueventsStart"));
  exports.Set("ueventsStop", Napi::Function::New<StopUevents>(env, "ueventsStop"));
  exports.Set("bsgProbe", Napi::Function::New<ProbeBsg>(env, "bsgProbe"));
}

} // namespace gantry
