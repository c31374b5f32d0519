#include "lu.h"

#include <cerrno>
#include <cstring>

#include "copy.h"

namespace gantry {

const char *OutcomeName(uint8_t outcome) {
  switch (outcome) {
  case GT_DELIVERED: return "delivered";
  case GT_TIMED_OUT: return "timed-out";
  case GT_ABORTED: return "aborted";
  default: return "transport"; // nothing to be trusted
  }
}

gt_runner *LuCore::Runner(Napi::Env env) const {
  if (stopping_ || !runner_) throw ClosedError(env, kName);
  return runner_;
}

gt_lu *LuCore::Lend(Napi::Env env, CopyCore *user) {
  gt_lu *lu = nullptr;
  int error = gt_runner_lend(Runner(env), &lu);
  if (error == -EBUSY && user_)
    throw Failure(env, error, "The logical unit is in use by a copy; a copy has its units until it is closed.");
  if (error == -EBUSY) throw Failure(env, error, "A command on the logical unit has not ended yet; await it first.");
  if (error) throw Failure(env, error);
  user_ = user;
  return lu;
}

void LuCore::Returned() { user_ = nullptr; }

Napi::Promise LuCore::Close(Napi::Env env) {
  Pledge pledge(env, mailbox_);
  Napi::Promise promise = pledge.Promise();
  if (!runner_)
    pledge.Resolve(env, env.Undefined());
  else
    closers_.push_back(std::move(pledge));
  Stop();
  return promise;
}

void LuCore::Stop() {
  if (stopping_ || !runner_) return;
  stopping_ = true;
  if (user_) user_->Retire();
  auto stopped = [](void *context) {
    auto *self = static_cast<LuCore *>(context);
    self->mailbox_->Post(self->shared_from_this());
  };
  // The host's share keeps this object until Open or Shutdown.
  gt_runner_stop(runner_, stopped, this);
}

void LuCore::Open(Napi::Env env) {
  Shutdown();
  Host::Of(env).lus.erase(shared_from_this());
  for (Pledge &closer : std::exchange(closers_, {}))
    closer.Resolve(env, env.Undefined());
}

void LuCore::Shutdown() {
  if (runner_) gt_runner_free(runner_);
  runner_ = nullptr;
}

namespace {

// One command: request, buffers, promise. The runner's thread fills in the answer and posts it.
class Execution : public Letter {
public:
  Execution(Napi::Env env, const std::shared_ptr<Mailbox> &mailbox, Napi::Object handle)
      : pledge(env, mailbox), mailbox_(mailbox), handle_(Napi::Persistent(handle)) {
    command.finished = Finished;
    command.owner = this;
  }
  void Open(Napi::Env env) override;

  gt_command command = {};
  std::vector<uint8_t> data;
  Pledge pledge;
  std::shared_ptr<Execution> self; // while the runner has it

private:
  static void Finished(gt_command *command) {
    auto *execution = static_cast<Execution *>(command->owner);
    auto self = std::move(execution->self);
    auto mailbox = execution->mailbox_;
    mailbox->Post(std::move(self));
  }

  std::shared_ptr<Mailbox> mailbox_;
  Napi::ObjectReference handle_; // an LU with a pending command is not garbage
};

Napi::Object Answer(Napi::Env env, const gt_command &command, const std::vector<uint8_t> &data) {
  const gt_io &io = command.io;
  size_t moved = 0;
  if (io.dir == GT_DIR_IN && io.outcome == GT_DELIVERED)
    moved = io.resid <= 0                                  ? data.size()
            : static_cast<size_t>(io.resid) >= data.size() ? 0
                                                           : data.size() - static_cast<size_t>(io.resid);
  Napi::Object answer = Napi::Object::New(env);
  answer.Set("outcome", OutcomeName(io.outcome));
  answer.Set("status", Napi::Number::New(env, io.status));
  answer.Set("sense", CopyBytes(env, io.sense, std::min<size_t>(io.sense_len, GT_SENSE_MAX)));
  answer.Set("data", CopyBytes(env, data.data(), moved));
  answer.Set("residual", Napi::Number::New(env, io.resid));
  answer.Set("hostStatus", Napi::Number::New(env, io.host_status));
  answer.Set("driverStatus", Napi::Number::New(env, io.driver_status));
  return answer;
}

void Execution::Open(Napi::Env env) {
  if (command.error)
    pledge.Reject(env, Failure(env, command.error,
                               std::string("The transport did not take the command: ") + Meaning(command.error) +
                                   "; if the link is lost, close the logical unit and open it again."));
  else
    pledge.Resolve(env, Answer(env, command, data));
}

bool CdbLengthIsSane(size_t length) {
  return length == 6 || length == 10 || length == 12 || length == 16 || length == 32;
}

// luExecute(lu, cdb, dataInBytes, dataOut | null, timeoutMs) → Promise of an answer
Napi::Value Execute(const Napi::CallbackInfo &info) {
  constexpr uint32_t kParameterMax = 1u << 20;
  Args args(info);
  auto lu = args.Handle<LuCore>();
  Bytes cdb = args.ByteView();
  uint32_t in = args.U32();
  Bytes out = args.ByteView();
  uint32_t timeout_ms = args.U32();
  if (!CdbLengthIsSane(cdb.size) || in > kParameterMax || out.size > kParameterMax || (in && out.size))
    throw Failure(info.Env(), -EINVAL, "The command's lengths are out of bounds.");
  gt_runner *runner = lu->Runner(info.Env());

  auto execution = std::make_shared<Execution>(info.Env(), Host::Of(info.Env()).mailbox, info[0].As<Napi::Object>());
  if (out.size)
    execution->data.assign(out.data, out.data + out.size);
  else
    execution->data.resize(in);
  gt_io &io = execution->command.io;
  memcpy(io.cdb, cdb.data, cdb.size);
  io.cdb_len = static_cast<uint8_t>(cdb.size);
  io.dir = in ? GT_DIR_IN : out.size ? GT_DIR_OUT : GT_DIR_NONE;
  io.timeout_ms = timeout_ms;
  io.data = execution->data.data();
  io.data_len = static_cast<uint32_t>(execution->data.size());
  execution->self = execution;
  Napi::Promise promise = execution->pledge.Promise();
  int error = gt_runner_submit(runner, &execution->command);
  if (error) {
    execution->self.reset();
    std::string why = error == -EBUSY ? "The logical unit is in use by a copy; close the copy first." : "";
    execution->pledge.Reject(info.Env(), Failure(info.Env(), error, why));
  }
  return promise;
}

Napi::Value CloseLu(const Napi::CallbackInfo &info) { return Args(info).Handle<LuCore>()->Close(info.Env()); }

} // namespace

void ExportLu(Napi::Env env, Napi::Object exports) {
  exports.Set("luExecute", Napi::Function::New<Execute>(env, "luExecute"));
  exports.Set("luClose", Napi::Function::New<CloseLu>(env, "luClose"));
}

} // namespace gantry
