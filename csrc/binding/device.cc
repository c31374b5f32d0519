#include "device.h"

#include <cerrno>

namespace gantry {
namespace {

constexpr size_t kSentence = 256;

Napi::Value OpenDisk(const Napi::CallbackInfo &info) {
  Args args(info);
  std::string path = args.Text();
  gt_disk_options options = {};
  options.path = path.c_str();
  options.block_bytes = args.U32();
  options.blocks = args.U64();
  auto vendor = args.OptionalText(), product = args.OptionalText(), serial = args.OptionalText();
  options.vendor = OrNull(vendor);
  options.product = OrNull(product);
  options.serial = OrNull(serial);
  options.thin = args.Bool();
  options.read_only = args.Bool();
  options.max_transfer_blocks = args.U32();
  gt_device *device = nullptr;
  char sentence[kSentence] = "";
  int error = gt_disk_open(&options, &device, sentence, sizeof sentence);
  if (error) throw Failure(info.Env(), error, sentence);
  return WrapHandle(info.Env(), std::make_shared<DeviceCore>(device, false));
}

Napi::Value OpenTape(const Napi::CallbackInfo &info) {
  Args args(info);
  auto vendor = args.OptionalText(), product = args.OptionalText(), serial = args.OptionalText();
  gt_tape_options options = {};
  options.vendor = OrNull(vendor);
  options.product = OrNull(product);
  options.serial = OrNull(serial);
  options.max_block_bytes = args.U32();
  gt_device *device = nullptr;
  char sentence[kSentence] = "";
  int error = gt_tape_open(&options, &device, sentence, sizeof sentence);
  if (error) throw Failure(info.Env(), error, sentence);
  return WrapHandle(info.Env(), std::make_shared<DeviceCore>(device, true));
}

gt_device *TapeOf(const Napi::CallbackInfo &info, Args &args) {
  auto core = args.Handle<DeviceCore>();
  if (!core->tape) throw Failure(info.Env(), -EINVAL, "Only a tape drive takes a cartridge.");
  return core->Device(info.Env());
}

void TapeLoad(const Napi::CallbackInfo &info) {
  Args args(info);
  gt_device *tape = TapeOf(info, args);
  std::string path = args.Text();
  gt_cartridge_options cartridge = {};
  cartridge.path = path.c_str();
  cartridge.capacity_bytes = args.U64();
  cartridge.early_warning_bytes = args.U64();
  cartridge.write_protected = args.Bool();
  cartridge.worm = args.Bool();
  char sentence[kSentence] = "";
  int error = gt_tape_load(tape, &cartridge, sentence, sizeof sentence);
  if (error) throw Failure(info.Env(), error, sentence);
}

void TapeUnload(const Napi::CallbackInfo &info) {
  Args args(info);
  int error = gt_tape_unload(TapeOf(info, args));
  if (error == -ENOMEDIUM) throw Failure(info.Env(), error, "There is no cartridge in the drive.");
  if (error == -EBUSY) throw Failure(info.Env(), error, "An initiator prevents the removal of the cartridge.");
  if (error) throw Failure(info.Env(), error);
}

void Inject(const Napi::CallbackInfo &info) {
  Args args(info);
  gt_device *device = args.Handle<DeviceCore>()->Device(info.Env());
  gt_fault fault = {};
  fault.opcode = args.U16();
  fault.first = args.U64();
  fault.last = args.U64();
  fault.skip = args.U32();
  fault.count = args.U32();
  fault.status = args.U8();
  fault.key = args.U8();
  fault.asc = args.U8();
  fault.ascq = args.U8();
  fault.outcome = args.U8();
  fault.after = args.Bool();
  fault.deferred = args.Bool();
  fault.delay_ms = args.U32();
  int error = gt_device_inject(device, &fault);
  if (error) throw Failure(info.Env(), error);
}

void ClearFaults(const Napi::CallbackInfo &info) {
  gt_device_clear_faults(Args(info).Handle<DeviceCore>()->Device(info.Env()));
}

void Pace(const Napi::CallbackInfo &info) {
  Args args(info);
  gt_device *device = args.Handle<DeviceCore>()->Device(info.Env());
  gt_device_pace(device, args.U64());
}

void CloseDevice(const Napi::CallbackInfo &info) { Args(info).Handle<DeviceCore>()->Close(); }

} // namespace

void ExportDevice(Napi::Env env, Napi::Object exports) {
  exports.Set("openDisk", Napi::Function::New<OpenDisk>(env, "openDisk"));
  exports.Set("openTape", Napi::Function::New<OpenTape>(env, "openTape"));
  exports.Set("tapeLoad", Napi::Function::New<TapeLoad>(env, "tapeLoad"));
  exports.Set("tapeUnload", Napi::Function::New<TapeUnload>(env, "tapeUnload"));
  exports.Set("deviceInject", Napi::Function::New<Inject>(env, "deviceInject"));
  exports.Set("deviceClearFaults", Napi::Function::New<ClearFaults>(env, "deviceClearFaults"));
  exports.Set("devicePace", Napi::Function::New<Pace>(env, "devicePace"));
  exports.Set("deviceClose", Napi::Function::New<CloseDevice>(env, "deviceClose"));
}

} // namespace gantry
