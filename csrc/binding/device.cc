#include "device.h"

#include <cerrno>
#include <cstdio>
#include <functional>
#include <thread>

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
  options.volatile_cache = args.Bool();
  options.removable = args.Bool();
  options.physical_block_bytes = args.U32();
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
  options.volatile_cache = args.Bool();
  gt_device *device = nullptr;
  char sentence[kSentence] = "";
  int error = gt_tape_open(&options, &device, sentence, sizeof sentence);
  if (error) throw Failure(info.Env(), error, sentence);
  return WrapHandle(info.Env(), std::make_shared<DeviceCore>(device, true));
}

// Loading scans an image that has no usable index, and unloading waits for the medium: both take as long as the
// tape is long, on a thread of their own. An environment that ends does not wait for it; the thread has a share of
// the drive, so that closing the handle meanwhile takes nothing from under it.
class TapeWork : public Letter {
public:
  // Called on the thread: a negative errno, perhaps with a sentence in err.
  using Task = std::function<int(gt_device *tape, char *err, size_t err_len)>;

  TapeWork(Napi::Env env, const std::shared_ptr<Mailbox> &mailbox, gt_device *tape, Task task)
      : pledge(env, mailbox), tape_(gt_device_ref(tape), gt_device_unref), task_(std::move(task)) {}

  void Run() {
    error_ = task_(tape_.get(), sentence_, sizeof sentence_);
    // What the last share leaves to be flushed is flushed here and not on the event loop.
    tape_.reset();
  }
  void Open(Napi::Env env) override {
    if (error_) return pledge.Reject(env, Failure(env, error_, sentence_));
    pledge.Resolve(env, env.Undefined());
  }

  Pledge pledge;

private:
  std::shared_ptr<gt_device> tape_;
  Task task_;
  int error_ = 0;
  char sentence_[kSentence] = "";
};

Napi::Value OnThread(const Napi::CallbackInfo &info, gt_device *tape, TapeWork::Task task) {
  auto mailbox = Host::Of(info.Env()).mailbox;
  auto work = std::make_shared<TapeWork>(info.Env(), mailbox, tape, std::move(task));
  Napi::Promise promise = work->pledge.Promise();
  try {
    std::thread([work, mailbox] {
      work->Run();
      mailbox->Post(work);
    }).detach();
  } catch (const std::system_error &) {
    work->pledge.Reject(info.Env(), Failure(info.Env(), -EAGAIN, "There is no thread to move the cartridge with."));
  }
  return promise;
}

gt_device *TapeOf(const Napi::CallbackInfo &info, Args &args) {
  auto core = args.Handle<DeviceCore>();
  if (!core->tape) throw Failure(info.Env(), -EINVAL, "Only a tape drive takes a cartridge.");
  return core->Device(info.Env());
}

// tapeLoad(tape, path, capacity, earlyWarning, writeProtected, worm) → Promise
Napi::Value TapeLoad(const Napi::CallbackInfo &info) {
  Args args(info);
  gt_device *tape = TapeOf(info, args);
  std::string path = args.Text();
  gt_cartridge_options cartridge = {};
  cartridge.capacity_bytes = args.U64();
  cartridge.early_warning_bytes = args.U64();
  cartridge.write_protected = args.Bool();
  cartridge.worm = args.Bool();
  return OnThread(info, tape, [path, cartridge](gt_device *device, char *err, size_t err_len) {
    gt_cartridge_options options = cartridge;
    options.path = path.c_str();
    return gt_tape_load(device, &options, err, err_len);
  });
}

const char *WhyNotUnloaded(int error) {
  if (error == -ENOMEDIUM) return "There is no cartridge in the drive.";
  if (error == -EBUSY) return "An initiator prevents the removal of the cartridge.";
  return "";
}

// tapeUnload(tape) → Promise
Napi::Value TapeUnload(const Napi::CallbackInfo &info) {
  Args args(info);
  return OnThread(info, TapeOf(info, args), [](gt_device *device, char *err, size_t err_len) {
    int error = gt_tape_unload(device);
    snprintf(err, err_len, "%s", WhyNotUnloaded(error));
    return error;
  });
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

// tapeStream(tape, bytesPerS, bufferBytes)
void TapeStream(const Napi::CallbackInfo &info) {
  Args args(info);
  gt_device *tape = TapeOf(info, args);
  uint64_t bytes_per_s = args.U64();
  gt_tape_stream(tape, bytes_per_s, args.U64());
}

// tapeStreamCounts(tape) → [starts, underruns]
Napi::Value TapeStreamCounts(const Napi::CallbackInfo &info) {
  Args args(info);
  uint64_t starts, underruns;
  gt_tape_stream_counts(TapeOf(info, args), &starts, &underruns);
  auto counts = Napi::Array::New(info.Env(), 2);
  counts.Set(0u, Napi::Number::New(info.Env(), static_cast<double>(starts)));
  counts.Set(1u, Napi::Number::New(info.Env(), static_cast<double>(underruns)));
  return counts;
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
  exports.Set("tapeStream", Napi::Function::New<TapeStream>(env, "tapeStream"));
  exports.Set("tapeStreamCounts", Napi::Function::New<TapeStreamCounts>(env, "tapeStreamCounts"));
  exports.Set("deviceClose", Napi::Function::New<CloseDevice>(env, "deviceClose"));
}

} // namespace gantry
