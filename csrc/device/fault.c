/* Faults and pace: what makes an emulated device behave as badly as a real one, on demand. */
#include "device/impl.h"

#include <errno.h>
#include <string.h>

int gt_device_inject(gt_device *device, const gt_fault *fault) {
  if (!fault->count || fault->last < fault->first || fault->outcome > GT_ABORTED) return -EINVAL;
  int result = -ENOSPC;
  pthread_mutex_lock(&device->fault_lock);
  unsigned used = atomic_load(&device->fault_count);
  if (used < GT_FAULTS_MAX) {
    device->faults[used] = *fault;
    atomic_store_explicit(&device->fault_count, used + 1, memory_order_release);
    result = 0;
  }
  pthread_mutex_unlock(&device->fault_lock);
  return result;
}

void gt_device_clear_faults(gt_device *device) {
  pthread_mutex_lock(&device->fault_lock);
  atomic_store(&device->fault_count, 0);
  pthread_mutex_unlock(&device->fault_lock);
}

/* A command without an LBA or object is touched by a fault that names its opcode, or names everything. */
static bool touches(const gt_cmd *cmd, const gt_fault *fault, bool ranged, uint64_t first, uint64_t last) {
  bool any = fault->opcode == 0xFFFF;
  if (!any && fault->opcode != cmd->cdb[0]) return false;
  if (!ranged) return !any || (fault->first == 0 && fault->last == UINT64_MAX);
  return fault->first <= last && first <= fault->last;
}

/* Lock order: the device's lock (where the row wants it) before fault_lock. */
bool gt_fault_take(gt_cmd *cmd, gt_fault *out) {
  gt_device *device = cmd->device;
  uint64_t first = 0, last = 0;
  bool ranged = device->class->range(cmd, &first, &last), taken = false;
  pthread_mutex_lock(&device->fault_lock);
  unsigned used = atomic_load(&device->fault_count);
  for (unsigned i = 0; i < used && !taken; i++) {
    gt_fault *fault = &device->faults[i];
    if (!touches(cmd, fault, ranged, first, last)) continue;
    if (fault->skip) {
      fault->skip--;
      continue;
    }
    *out = *fault;
    taken = true;
    if (--fault->count) continue;
    memmove(fault, fault + 1, (used - i - 1) * sizeof *fault);
    atomic_store(&device->fault_count, used - 1);
  }
  pthread_mutex_unlock(&device->fault_lock);
  return taken;
}

/* A disk's medium error says where: INFORMATION is the first bad LBA of the command (SBC-3 4.18.1). */
static void add_information(const gt_cmd *cmd, const gt_fault *fault, gt_sense *sense) {
  uint64_t first, last;
  if (cmd->device->class->type != GT_TYPE_DISK || fault->key != GT_KEY_MEDIUM_ERROR) return;
  if (!cmd->device->class->range(cmd, &first, &last)) return;
  sense->has_information = true;
  sense->information = first > fault->first ? first : fault->first;
}

void gt_fault_answer(gt_cmd *cmd, const gt_fault *fault) {
  gt_io *io = cmd->io;
  if (fault->outcome != GT_DELIVERED) {
    /* Nothing of the answer came back. */
    io->outcome = fault->outcome;
    io->status = 0;
    io->sense_len = 0;
    io->resid = (int32_t)(io->data_len > INT32_MAX ? INT32_MAX : io->data_len);
    return;
  }
  io->status = fault->status;
  io->sense_len = 0;
  if (fault->status != GT_STATUS_CHECK_CONDITION) return;
  gt_sense sense = {.key = fault->key, .asc = (uint16_t)(fault->asc << 8 | fault->ascq), .deferred = fault->deferred};
  add_information(cmd, fault, &sense);
  gt_check(cmd, &sense);
}

static void set_pace(gt_device *device, uint64_t bytes_per_s, uint64_t streams_per_s, uint64_t buffer_bytes) {
  pthread_mutex_lock(&device->fault_lock);
  device->paced_until_ns = 0;
  gt_stream_set(&device->stream, streams_per_s, buffer_bytes);
  atomic_store(&device->bytes_per_s, bytes_per_s);
  pthread_mutex_unlock(&device->fault_lock);
}

void gt_device_pace(gt_device *device, uint64_t bytes_per_s) { set_pace(device, bytes_per_s, 0, 0); }

void gt_tape_stream(gt_device *tape, uint64_t bytes_per_s, uint64_t buffer_bytes) {
  set_pace(tape, bytes_per_s, bytes_per_s, buffer_bytes);
}

void gt_tape_stream_counts(gt_device *tape, uint64_t *starts, uint64_t *underruns) {
  pthread_mutex_lock(&tape->fault_lock);
  *starts = tape->stream.starts;
  *underruns = tape->stream.underruns;
  pthread_mutex_unlock(&tape->fault_lock);
}

/* Commands that end with everything before them on the tape. */
static bool synchronizes(const uint8_t *cdb) {
  switch (cdb[0]) {
  case GT_WRITE_FILEMARKS_6: return !(cdb[1] & 0x01); /* IMMED */
  case GT_REWIND:
  case GT_SPACE_6:
  case GT_SPACE_16:
  case GT_LOCATE_10:
  case GT_LOCATE_16:
  case GT_LOAD_UNLOAD: return true;
  default: return false;
  }
}

static uint64_t busy_until(gt_device *device, uint64_t bytes, uint64_t now_ns) {
  uint64_t rate = atomic_load(&device->bytes_per_s);
  if (device->paced_until_ns < now_ns) device->paced_until_ns = now_ns;
  if (rate) device->paced_until_ns += (uint64_t)((double)bytes * 1e9 / (double)rate);
  return device->paced_until_ns;
}

uint64_t gt_pace(const gt_cmd *cmd, uint64_t now_ns) {
  gt_device *device = cmd->device;
  bool writes = cmd->io->dir == GT_DIR_OUT && cmd->moved;
  uint64_t until;
  pthread_mutex_lock(&device->fault_lock);
  if (device->stream.bytes_per_s && writes)
    until = gt_stream_write(&device->stream, cmd->moved, now_ns);
  else if (device->stream.bytes_per_s && synchronizes(cmd->cdb))
    until = gt_stream_flush(&device->stream, now_ns);
  else
    until = busy_until(device, cmd->moved, now_ns);
  pthread_mutex_unlock(&device->fault_lock);
  return until;
}
