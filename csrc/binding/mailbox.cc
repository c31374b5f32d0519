#include "host.h"

#include <utility>

namespace gantry {

std::shared_ptr<Mailbox> Mailbox::Make(Napi::Env env) {
  auto mailbox = std::make_shared<Mailbox>();
  // The function outlives the mailbox's owner by a turn of the loop; it holds a share of its own.
  auto *share = new std::shared_ptr<Mailbox>(mailbox);
  auto drop = [](napi_env, void *data, void *) { delete static_cast<std::shared_ptr<Mailbox> *>(data); };
  napi_status status = napi_create_threadsafe_function(env, nullptr, nullptr, Napi::String::New(env, "gantry"), 0, 1,
                                                       share, drop, share, OnCall, &mailbox->call_);
  if (status != napi_ok) {
    delete share;
    throw Napi::Error::New(env, "There is no way from native threads to the event loop.");
  }
  napi_unref_threadsafe_function(env, mailbox->call_);
  return mailbox;
}

bool Mailbox::Post(std::shared_ptr<Letter> letter) {
  std::lock_guard<std::mutex> guard(lock_);
  if (closed_) return false;
  if (letter->posted_) return true;
  letter->posted_ = true;
  letters_.push_back(std::move(letter));
  // One call for all letters that lie there: its queue cannot grow. Under the lock, so that Close knows
  // when the last call has been made.
  if (letters_.size() == 1) napi_call_threadsafe_function(call_, nullptr, napi_tsfn_nonblocking);
  return true;
}

void Mailbox::Hold(napi_env env) {
  if (held_++ == 0) napi_ref_threadsafe_function(env, call_);
}

void Mailbox::Release(napi_env env) {
  if (--held_ == 0) napi_unref_threadsafe_function(env, call_);
}

std::vector<std::shared_ptr<Letter>> Mailbox::TakeAll() {
  std::lock_guard<std::mutex> guard(lock_);
  // From here on a letter may be posted again: what is news after this is another delivery.
  for (const auto &letter : letters_)
    letter->posted_ = false;
  return std::exchange(letters_, {});
}

void Mailbox::OnCall(napi_env env, napi_value, void *context, void *) {
  if (!env) return; // the environment ends; Close discards
  auto mailbox = *static_cast<std::shared_ptr<Mailbox> *>(context);
  mailbox->Deliver(env);
}

// A letter whose receiver throws is an uncaught exception of the process, and does not keep the others from
// their receivers.
void Mailbox::Deliver(Napi::Env env) {
  for (const auto &letter : TakeAll()) {
    Napi::HandleScope scope(env);
    try {
      letter->Open(env);
    } catch (const Napi::Error &error) {
      napi_fatal_exception(env, error.Value());
    }
  }
}

void Mailbox::Close() {
  {
    std::lock_guard<std::mutex> guard(lock_);
    closed_ = true;
  }
  TakeAll();
  napi_release_threadsafe_function(call_, napi_tsfn_abort);
}

} // namespace gantry
