// Handles: JavaScript objects that hold a share of a native object and can be told apart. What a handle
// is for is decided by functions that take it, so the addon's surface stays plain functions.
#ifndef GANTRY_HANDLE_H
#define GANTRY_HANDLE_H

#include <cstdint>
#include <optional>
#include <string>

#include "host.h"

namespace gantry {

// T has kTag (its own 128 bits), kName, and Collected(), which is called on the event loop when the
// handle is garbage or the environment ends.
template <class T> Napi::Object WrapHandle(Napi::Env env, std::shared_ptr<T> core) {
  Napi::Object handle = Napi::Object::New(env);
  auto *share = new std::shared_ptr<T>(std::move(core));
  auto collect = [](napi_env, void *data, void *) {
    auto *garbage = static_cast<std::shared_ptr<T> *>(data);
    (*garbage)->Collected();
    delete garbage;
  };
  if (napi_wrap(env, handle, share, collect, nullptr, nullptr) != napi_ok) {
    delete share;
    throw Napi::Error::New(env);
  }
  handle.TypeTag(&T::kTag);
  return handle;
}

template <class T> std::shared_ptr<T> FromHandle(const Napi::Value &value) {
  void *share = nullptr;
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&T::kTag) ||
      napi_unwrap(value.Env(), value, &share) != napi_ok)
    throw Failure(value.Env(), -EINVAL, std::string("This is not a handle of a ") + T::kName + ".");
  return *static_cast<std::shared_ptr<T> *>(share);
}

struct Bytes {
  const uint8_t *data = nullptr;
  size_t size = 0;
};

// Reads positional arguments one after another. TypeScript has checked them in words; here they are
// checked once more, so that no value whatever makes the addon crash.
class Args {
public:
  explicit Args(const Napi::CallbackInfo &info) : info_(info) {}

  Napi::Value Next() { return info_[next_++]; }
  uint32_t U32();
  uint64_t U64();
  uint16_t U16() { return static_cast<uint16_t>(Ranged(UINT16_MAX)); }
  uint8_t U8() { return static_cast<uint8_t>(Ranged(UINT8_MAX)); }
  bool Bool();
  std::string Text();
  std::optional<std::string> OptionalText();
  // Valid until the next call into JavaScript. null: an empty one.
  Bytes ByteView();
  Napi::Function Function();
  Napi::Array Array();
  template <class T> std::shared_ptr<T> Handle() { return FromHandle<T>(Next()); }

private:
  uint32_t Ranged(uint32_t max);
  [[noreturn]] void Wrong(const char *wanted) const;

  const Napi::CallbackInfo &info_;
  size_t next_ = 0;
};

inline const char *OrNull(const std::optional<std::string> &text) { return text ? text->c_str() : nullptr; }

uint32_t ToU32(const Napi::Value &value);
uint64_t ToU64(const Napi::Value &value);
Napi::Uint8Array CopyBytes(Napi::Env env, const void *data, size_t size);

} // namespace gantry

#endif
