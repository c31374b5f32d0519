// What one JavaScript environment has of the addon: a mailbox through which native threads reach its
// event loop, and the handles that must be closed before the environment goes. Nothing here is static,
// so the main thread and any number of workers load the addon side by side.
#ifndef GANTRY_HOST_H
#define GANTRY_HOST_H

// A worker that is being terminated cannot take exceptions any more; that must not end the process.
#define NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS
// std::bad_alloc and its like become JavaScript exceptions too.
#define NODE_ADDON_API_CPP_EXCEPTIONS_ALL
#include <napi.h>

#include <memory>
#include <mutex>
#include <string>
#include <unordered_set>
#include <vector>

namespace gantry {

class CopyCore;
class LuCore;
class PlaneCore;

// Something that a native thread has for the event loop. Posted by any thread, opened on the loop; a
// letter that the end of the environment overtakes is dropped unopened, on the loop too.
class Letter {
public:
  virtual ~Letter() = default;
  // On the event loop, with a handle scope.
  virtual void Open(Napi::Env env) = 0;

private:
  friend class Mailbox;
  bool posted_ = false; // protected by Mailbox::lock_
};

class Mailbox {
public:
  // On the event loop. Makes the threadsafe function, which does not keep the process alive by itself.
  static std::shared_ptr<Mailbox> Make(Napi::Env env);
  // Any thread. Posting a letter that lies in the box already changes nothing. False: the environment is
  // gone and the letter will not be opened.
  bool Post(std::shared_ptr<Letter> letter);
  // On the event loop: while anything is held (a promise is pending), the process stays alive.
  void Hold(napi_env env);
  void Release(napi_env env);
  // On the event loop, once, when the environment ends. No Post succeeds afterwards.
  void Close();

private:
  static void OnCall(napi_env env, napi_value function, void *context, void *data);
  void Deliver(Napi::Env env);
  std::vector<std::shared_ptr<Letter>> TakeAll();

  napi_threadsafe_function call_ = nullptr;
  size_t held_ = 0; // the event loop's
  std::mutex lock_;
  // Protected by lock_.
  std::vector<std::shared_ptr<Letter>> letters_;
  bool closed_ = false;
};

// A promise that a native thread settles by a letter. It keeps the process alive until then.
class Pledge {
public:
  Pledge(Napi::Env env, std::shared_ptr<Mailbox> mailbox);
  Napi::Promise Promise() const { return deferred_.Promise(); }
  void Resolve(Napi::Env env, napi_value value);
  void Reject(Napi::Env env, const Napi::Error &error);

private:
  Napi::Promise::Deferred deferred_;
  std::shared_ptr<Mailbox> mailbox_;
};

class Host {
public:
  static Host &Of(Napi::Env env);
  static void Install(Napi::Env env);

  std::shared_ptr<Mailbox> mailbox;
  // What has threads of its own; on the event loop only.
  std::unordered_set<std::shared_ptr<CopyCore>> copies;
  std::unordered_set<std::shared_ptr<LuCore>> lus;
  std::unordered_set<std::shared_ptr<PlaneCore>> planes;

private:
  // Runs when the environment ends, however it ends: copies first, for they use LUs.
  static void OnEnd(void *host);
};

// What the C library says of a negative errno.
const char *Meaning(int error);
// An error with `code` NATIVE_FAILED and `errno` as a name ("EBUSY"). error: negative errno. An empty
// sentence: what the C library says of it.
Napi::Error Failure(Napi::Env env, int error, const std::string &sentence = "");
// An error with `code` NATIVE_CLOSED.
Napi::Error ClosedError(Napi::Env env, const char *what);

} // namespace gantry

#endif
