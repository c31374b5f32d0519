// Handles of logical units. Every unit has a runner (csrc/transport/runner.h), which runs its single
// commands and lends it to a copy.
#ifndef GANTRY_LU_H
#define GANTRY_LU_H

#include <functional>
#include <vector>

#include "handle.h"

extern "C" {
#include "transport/runner.h"
}

namespace gantry {

class LuCore : public Letter, public std::enable_shared_from_this<LuCore> {
public:
  static constexpr napi_type_tag kTag = {0x67616e7472790002, 0x51f0c3a2b9de4c77};
  static constexpr const char *kName = "logical unit";

  LuCore(gt_runner *runner, std::shared_ptr<Mailbox> mailbox) : runner_(runner), mailbox_(std::move(mailbox)) {}

  // All on the event loop.
  // Throws when the handle is closed or being closed.
  gt_runner *Runner(Napi::Env env) const;
  // For a copy: throws EBUSY while another one or a command has the unit.
  gt_lu *Lend(Napi::Env env, CopyCore *user);
  // After the copy gave the unit back to the runner.
  void Returned();
  // The promise is settled when the thread is gone. A copy on the unit is cancelled and joined first.
  Napi::Promise Close(Napi::Env env);
  void Collected() { Stop(); }
  // Begins to close; Open (a letter from the runner's thread) ends it.
  void Stop();
  void Open(Napi::Env env) override;
  // At the end of the environment: joins.
  void Shutdown();

private:
  gt_runner *runner_; // nullptr: closed
  std::shared_ptr<Mailbox> mailbox_;
  CopyCore *user_ = nullptr;
  bool stopping_ = false;
  std::vector<Pledge> closers_;
};

// Opens a unit, which may take as long as a dead target's time-out: puts it into *lu or a sentence into err. Any
// thread.
using Opener = std::function<int(gt_lu **lu, char *err, size_t err_len)>;
// From the arguments that follow.
Opener VirtualOpener(Args &args, Napi::Env env);
Opener SgOpener(Args &args);
Opener IscsiOpener(Args &args);
Opener PathsOpener(Args &args, Napi::Env env);

// luExecute; lu_open.cc has the openers.
void ExportLu(Napi::Env env, Napi::Object exports);
void ExportOpeners(Napi::Env env, Napi::Object exports);

// Names of gt_outcome, as src/native/types.ts has them.
const char *OutcomeName(uint8_t outcome);

} // namespace gantry

#endif
