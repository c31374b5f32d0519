// Handles of several paths to one unit (csrc/transport/paths.h), and of the kernel's messages about devices
// (csrc/transport/uevent.h).
#ifndef GANTRY_PATHS_H
#define GANTRY_PATHS_H

#include "handle.h"

extern "C" {
#include "transport/paths.h"
#include "transport/uevent.h"
}

namespace gantry {

// As a letter it says that a path came, failed or is active now.
class PathsCore : public Letter, public std::enable_shared_from_this<PathsCore> {
public:
  static constexpr napi_type_tag kTag = {0x67616e7472790006, 0x2b6f8d10c94e73a5};
  static constexpr const char *kName = "set of paths";

  explicit PathsCore(std::shared_ptr<Mailbox> mailbox) : mailbox_(std::move(mailbox)) {}
  ~PathsCore() override { Collected(); }

  // All on the event loop.
  void Start(Napi::Env env, gt_paths_options &options, Napi::Function on_changed);
  // Throws when the handle is closed.
  std::shared_ptr<gt_paths> Share(Napi::Env env) const;
  void Collected();
  void Open(Napi::Env env) override;

private:
  struct Notice;
  static void Changed(void *context); // any thread
  static void Released(void *context);

  std::shared_ptr<Mailbox> mailbox_;
  gt_paths *paths_ = nullptr;
  Napi::FunctionReference on_changed_;
};

class UeventsCore : public Letter, public std::enable_shared_from_this<UeventsCore> {
public:
  static constexpr napi_type_tag kTag = {0x67616e7472790007, 0x90d1c3f5427ba86e};
  static constexpr const char *kName = "listener for devices";

  explicit UeventsCore(std::shared_ptr<Mailbox> mailbox) : mailbox_(std::move(mailbox)) {}
  ~UeventsCore() override { Collected(); }

  // All on the event loop. Throws.
  void Start(Napi::Env env, Napi::Function on_changed);
  void Collected();
  void Open(Napi::Env env) override;

private:
  std::shared_ptr<Mailbox> mailbox_;
  gt_uevents *uevents_ = nullptr;
  Napi::FunctionReference on_changed_;
};

// pathsOpen, pathsAdd, pathsRemove, pathsFacts, pathsClose, ueventsStart, ueventsStop, bsgProbe.
void ExportPaths(Napi::Env env, Napi::Object exports);

} // namespace gantry

#endif
