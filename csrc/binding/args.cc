#include <cerrno>
#include <cstring>

#include "handle.h"

namespace gantry {

void Args::Wrong(const char *wanted) const {
  throw Failure(info_.Env(), -EINVAL, "Argument " + std::to_string(next_) + " is not " + wanted + ".");
}

uint32_t ToU32(const Napi::Value &value) {
  double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(number >= 0 && number <= UINT32_MAX) || number != static_cast<double>(static_cast<uint32_t>(number)))
    throw Failure(value.Env(), -EINVAL, "A number is not an integer from 0 to 4294967295.");
  return static_cast<uint32_t>(number);
}

uint64_t ToU64(const Napi::Value &value) {
  bool lossless = false;
  uint64_t number = value.IsBigInt() ? value.As<Napi::BigInt>().Uint64Value(&lossless) : 0;
  if (!lossless) throw Failure(value.Env(), -EINVAL, "A value is not a bigint from 0 to 18446744073709551615.");
  return number;
}

uint32_t Args::U32() { return ToU32(Next()); }
uint64_t Args::U64() { return ToU64(Next()); }

uint32_t Args::Ranged(uint32_t max) {
  uint32_t number = U32();
  if (number > max) Wrong("small enough");
  return number;
}

bool Args::Bool() {
  Napi::Value value = Next();
  if (!value.IsBoolean()) Wrong("a boolean");
  return value.As<Napi::Boolean>().Value();
}

// Text goes to C, where a NUL would end it early: a path must not change its meaning that way.
std::string Args::Text() {
  Napi::Value value = Next();
  if (!value.IsString()) Wrong("a string");
  std::string text = value.As<Napi::String>().Utf8Value();
  if (text.find('\0') != std::string::npos) Wrong("a string without NUL");
  return text;
}

std::optional<std::string> Args::OptionalText() {
  if (info_[next_].IsNull() || info_[next_].IsUndefined()) {
    next_++;
    return std::nullopt;
  }
  return Text();
}

Bytes Args::ByteView() {
  Napi::Value value = Next();
  if (value.IsNull()) return {};
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) Wrong("a Uint8Array");
  auto array = value.As<Napi::Uint8Array>();
  return {array.Data(), array.ByteLength()};
}

Napi::Function Args::Function() {
  Napi::Value value = Next();
  if (!value.IsFunction()) Wrong("a function");
  return value.As<Napi::Function>();
}

Napi::Array Args::Array() {
  Napi::Value value = Next();
  if (!value.IsArray()) Wrong("an array");
  return value.As<Napi::Array>();
}

Napi::Uint8Array CopyBytes(Napi::Env env, const void *data, size_t size) {
  auto array = Napi::Uint8Array::New(env, size);
  if (size) memcpy(array.Data(), data, size);
  return array;
}

} // namespace gantry
