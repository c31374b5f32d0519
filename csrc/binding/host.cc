#include "host.h"

#include <cstring>

#include "copy.h"
#include "lu.h"
#include "plane.h"

namespace gantry {

Host &Host::Of(Napi::Env env) { return *env.GetInstanceData<Host>(); }

void Host::Install(Napi::Env env) {
  auto *host = new Host;
  env.SetInstanceData<Host>(host);
  host->mailbox = Mailbox::Make(env);
  // Hooks run last in, first out: this one runs while the threadsafe function is still whole.
  napi_add_env_cleanup_hook(env, OnEnd, host);
}

void Host::OnEnd(void *data) {
  auto *host = static_cast<Host *>(data);
  for (const auto &plane : host->planes)
    plane->Shutdown();
  host->planes.clear();
  for (const auto &copy : host->copies)
    copy->Cancel();
  for (const auto &copy : host->copies)
    copy->Shutdown();
  host->copies.clear();
  for (const auto &lu : host->lus)
    lu->Stop();
  for (const auto &lu : host->lus)
    lu->Shutdown();
  host->lus.clear();
  host->mailbox->Close();
}

Pledge::Pledge(Napi::Env env, std::shared_ptr<Mailbox> mailbox)
    : deferred_(Napi::Promise::Deferred::New(env)), mailbox_(std::move(mailbox)) {
  mailbox_->Hold(env);
}

void Pledge::Resolve(Napi::Env env, napi_value value) {
  mailbox_->Release(env);
  deferred_.Resolve(value);
}

void Pledge::Reject(Napi::Env env, const Napi::Error &error) {
  mailbox_->Release(env);
  deferred_.Reject(error.Value());
}

const char *Meaning(int error) {
  const char *meaning = strerrordesc_np(-error);
  return meaning ? meaning : "unknown error";
}

Napi::Error Failure(Napi::Env env, int error, const std::string &sentence) {
  const char *name = strerrorname_np(-error);
  Napi::Error failure = Napi::Error::New(env, sentence.empty() ? Meaning(error) : sentence);
  failure.Set("code", Napi::String::New(env, "NATIVE_FAILED"));
  failure.Set("errno", Napi::String::New(env, name ? name : "EIO"));
  return failure;
}

Napi::Error ClosedError(Napi::Env env, const char *what) {
  Napi::Error failure = Napi::Error::New(env, std::string("The ") + what + " is closed; open it again.");
  failure.Set("code", Napi::String::New(env, "NATIVE_CLOSED"));
  return failure;
}

} // namespace gantry
