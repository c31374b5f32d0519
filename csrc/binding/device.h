// Handles of emulated devices.
#ifndef GANTRY_DEVICE_H
#define GANTRY_DEVICE_H

#include "handle.h"

extern "C" {
#include "device/device.h"
}

namespace gantry {

class DeviceCore {
public:
  static constexpr napi_type_tag kTag = {0x67616e7472790001, 0x9d1c6a57e0b24f31};
  static constexpr const char *kName = "emulated device";

  DeviceCore(gt_device *device, bool tape) : tape(tape), device_(device) {}
  ~DeviceCore() { Close(); }
  DeviceCore(const DeviceCore &) = delete;

  // Throws when the handle is closed.
  gt_device *Device(Napi::Env env) const {
    if (!device_) throw ClosedError(env, kName);
    return device_;
  }
  void Close() {
    if (device_) gt_device_unref(device_);
    device_ = nullptr;
  }
  void Collected() { Close(); }

  const bool tape;

private:
  gt_device *device_;
};

void ExportDevice(Napi::Env env, Napi::Object exports);

} // namespace gantry

#endif
