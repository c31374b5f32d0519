// Opening a logical unit may take as long as a dead target's time-out. Each open has a thread of its
// own, so that it neither blocks the event loop nor takes a seat of libuv's pool. An environment that
// ends does not wait for it: the thread then closes what it opened and goes.
#include <cerrno>
#include <cstring>
#include <thread>

#include "device.h"
#include "lu.h"
#include "paths.h"
#include "trace.h"

namespace gantry {
namespace {

// How often an idle iSCSI session looks for pings of its target, which give it up otherwise, and paths that wait are
// asked whether they are still there.
constexpr uint32_t kIdleMs = 5000;

// Where the unit's commands can be recorded, if anywhere.
struct Tapped {
  std::shared_ptr<TapCore> tap;
  uint32_t tag = 0;

  // From the last two arguments: a tap, or null, and the tag.
  explicit Tapped(Args &args) {
    Napi::Value handle = args.Next();
    if (!handle.IsNull()) tap = FromHandle<TapCore>(handle);
    tag = args.U32();
  }
};

class Opening : public Letter {
public:
  Opening(Napi::Env env, std::shared_ptr<Mailbox> mailbox, Opener opener, uint32_t idle_ms, Tapped tapped)
      : pledge(env, mailbox), mailbox_(std::move(mailbox)), opener_(std::move(opener)), idle_ms_(idle_ms),
        tapped_(std::move(tapped)) {}
  ~Opening() override {
    if (runner_) gt_runner_free(runner_);
  }
  void Run();
  void Open(Napi::Env env) override;

  Pledge pledge;

private:
  std::shared_ptr<Mailbox> mailbox_;
  Opener opener_;
  uint32_t idle_ms_;
  Tapped tapped_;
  gt_runner *runner_ = nullptr;
  gt_lu_limits limits_ = {};
  int error_ = 0;
  char sentence_[256] = "";
};

void Opening::Run() {
  gt_lu *lu = nullptr;
  error_ = opener_(&lu, sentence_, sizeof sentence_);
  opener_ = nullptr; // secrets and device references go
  if (error_) return;
  limits_ = lu->limits;
  if (tapped_.tap) {
    lu->tap = gt_tap_ref(tapped_.tap->Tap());
    lu->tag = tapped_.tag;
  }
  error_ = gt_runner_start(lu, idle_ms_, &runner_);
  if (error_) gt_lu_close(lu);
}

void Opening::Open(Napi::Env env) {
  if (error_) return pledge.Reject(env, Failure(env, error_, sentence_));
  auto core = std::make_shared<LuCore>(std::exchange(runner_, nullptr), mailbox_);
  Host::Of(env).lus.insert(core);
  Napi::Object result = Napi::Object::New(env);
  result.Set("handle", WrapHandle(env, core));
  result.Set("maxTransfer", Napi::Number::New(env, limits_.max_transfer));
  result.Set("maxQueue", Napi::Number::New(env, limits_.max_queue));
  pledge.Resolve(env, result);
}

Napi::Value Start(const Napi::CallbackInfo &info, uint32_t idle_ms, Opener opener, Args &args) {
  auto mailbox = Host::Of(info.Env()).mailbox;
  auto opening = std::make_shared<Opening>(info.Env(), mailbox, std::move(opener), idle_ms, Tapped(args));
  Napi::Promise promise = opening->pledge.Promise();
  try {
    std::thread([opening, mailbox] {
      opening->Run();
      mailbox->Post(opening);
    }).detach();
  } catch (const std::system_error &) {
    opening->pledge.Reject(info.Env(), Failure(info.Env(), -EAGAIN, "There is no thread to open the unit with."));
  }
  return promise;
}

// luOpenVirtual(device, tap, tag); tap: null, or where its commands can be recorded. So for all of these.
Napi::Value OpenVirtual(const Napi::CallbackInfo &info) {
  Args args(info);
  Opener opener = VirtualOpener(args, info.Env());
  return Start(info, 0, std::move(opener), args);
}

// luOpenSg(path, reservedBytes, directIo, tap, tag)
Napi::Value OpenSg(const Napi::CallbackInfo &info) {
  Args args(info);
  Opener opener = SgOpener(args);
  return Start(info, 0, std::move(opener), args);
}

// luOpenIscsi(portal, target, lun, initiator, user, secret, targetUser, targetSecret, headerDigest, timeoutMs, tap,
// tag)
Napi::Value OpenIscsi(const Napi::CallbackInfo &info) {
  Args args(info);
  Opener opener = IscsiOpener(args);
  return Start(info, kIdleMs, std::move(opener), args);
}

// luOpenPaths(paths, tap, tag)
Napi::Value OpenOverPaths(const Napi::CallbackInfo &info) {
  Args args(info);
  Opener opener = PathsOpener(args, info.Env());
  return Start(info, kIdleMs, std::move(opener), args);
}

struct IscsiTexts {
  std::string portal, target, initiator;
  std::optional<std::string> user, secret, target_user, target_secret;
  ~IscsiTexts() {
    for (auto *text : {&secret, &target_secret})
      if (*text) explicit_bzero((*text)->data(), (*text)->size());
  }
};

} // namespace

Opener VirtualOpener(Args &args, Napi::Env env) {
  gt_device *device = gt_device_ref(args.Handle<DeviceCore>()->Device(env));
  std::shared_ptr<gt_device> share(device, gt_device_unref);
  return [share](gt_lu **lu, char *, size_t) { return gt_virtual_open(share.get(), lu); };
}

Opener SgOpener(Args &args) {
  std::string path = args.Text();
  uint32_t reserved = args.U32();
  bool direct = args.Bool();
  return [=](gt_lu **lu, char *err, size_t err_len) {
    return gt_sg_open(path.c_str(), reserved, direct, lu, err, err_len);
  };
}

Opener PathsOpener(Args &args, Napi::Env env) {
  auto paths = args.Handle<PathsCore>()->Share(env);
  return [paths](gt_lu **lu, char *err, size_t err_len) {
    int error = gt_paths_open(paths.get(), lu);
    if (error == -ENODEV) snprintf(err, err_len, "no path to the device is left");
    return error;
  };
}

Opener IscsiOpener(Args &args) {
  auto texts = std::make_shared<IscsiTexts>();
  gt_iscsi_options options = {};
  texts->portal = args.Text();
  texts->target = args.Text();
  options.lun = args.U32();
  texts->initiator = args.Text();
  texts->user = args.OptionalText();
  texts->secret = args.OptionalText();
  texts->target_user = args.OptionalText();
  texts->target_secret = args.OptionalText();
  options.header_digest = args.Bool();
  options.connect_timeout_ms = args.U32();
  options.portal = texts->portal.c_str();
  options.target = texts->target.c_str();
  options.initiator = texts->initiator.c_str();
  options.chap_user = OrNull(texts->user);
  options.chap_secret = OrNull(texts->secret);
  options.target_chap_user = OrNull(texts->target_user);
  options.target_chap_secret = OrNull(texts->target_secret);
  return [texts, options](gt_lu **lu, char *err, size_t err_len) { return gt_iscsi_open(&options, lu, err, err_len); };
}

void ExportOpeners(Napi::Env env, Napi::Object exports) {
  exports.Set("luOpenVirtual", Napi::Function::New<OpenVirtual>(env, "luOpenVirtual"));
  exports.Set("luOpenSg", Napi::Function::New<OpenSg>(env, "luOpenSg"));
  exports.Set("luOpenPaths", Napi::Function::New<OpenOverPaths>(env, "luOpenPaths"));
  exports.Set("luOpenIscsi", Napi::Function::New<OpenIscsi>(env, "luOpenIscsi"));
}

} // namespace gantry
