/* The common part of the emulated devices: life, nexuses, unit attentions, and the way of a command:
 * unit attention, opcode, CDB, ready, fault, work, pace. */
#include "device/impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/bytes.h"

uint64_t gt_now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int gt_sync_directory_of(const char *path) {
  const char *slash = strrchr(path, '/');
  char *directory = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
  if (!directory) return -ENOMEM;
  int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int error = fd < 0 || fsync(fd) ? -errno : 0;
  if (fd >= 0) close(fd);
  free(directory);
  return error;
}

int gt_explain(int result, char *err, size_t err_len, const char *format, ...) {
  if (err && err_len) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(err, err_len, format, arguments);
    va_end(arguments);
  }
  return result;
}

/* FNV-1a: a stable number from the serial, for identification only. */
static uint64_t hash_text(const char *text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (; *text; text++)
    hash = (hash ^ (uint8_t)*text) * 0x100000001b3u;
  return hash;
}

/* Left-aligned, padded with spaces, printable ASCII only (SPC-4 4.3.1). */
static void put_ascii(char *out, size_t width, const char *text) {
  memset(out, ' ', width);
  out[width] = 0;
  for (size_t i = 0; i < width && text[i]; i++)
    out[i] = (char)(text[i] >= 0x20 && text[i] < 0x7F ? text[i] : '?');
}

int gt_device_init(gt_device *device, const gt_device_class *class, const char *vendor, const char *product,
                   const char *serial) {
  device->class = class;
  device->removable |= class->removable;
  atomic_init(&device->references, 1);
  int error = pthread_mutex_init(&device->lock, NULL);
  if (error) return -error;
  error = pthread_mutex_init(&device->fault_lock, NULL);
  if (error) {
    pthread_mutex_destroy(&device->lock);
    return -error;
  }
  put_ascii(device->vendor, 8, vendor ? vendor : "GANTRY");
  put_ascii(device->product, 16, product ? product : class->product);
  put_ascii(device->revision, 4, "1");
  snprintf(device->serial, sizeof device->serial, "%s", serial);
  /* NAA 3h, locally assigned (SPC-4 7.8.6.6.4): the other 60 bits come from the serial. */
  gt_store_be64(device->naa, 0x3000000000000000u | hash_text(device->serial) >> 4);
  for (size_t i = class->row_count; i-- > 0;) {
    if (class->offers && !class->offers(device, &class->rows[i])) continue;
    device->row_of[class->rows[i].opcode] = (uint8_t)(i + 1);
  }
  gt_mode_reset(device);
  return 0;
}

void gt_device_fini(gt_device *device) {
  pthread_mutex_destroy(&device->fault_lock);
  pthread_mutex_destroy(&device->lock);
}

gt_device *gt_device_ref(gt_device *device) {
  atomic_fetch_add_explicit(&device->references, 1, memory_order_relaxed);
  return device;
}

void gt_device_unref(gt_device *device) {
  if (atomic_fetch_sub_explicit(&device->references, 1, memory_order_acq_rel) == 1) device->class->destroy(device);
}

int gt_device_attach(gt_device *device) {
  int result = -EBUSY;
  pthread_mutex_lock(&device->lock);
  for (int i = 0; i < GT_NEXUS_MAX && result < 0; i++) {
    gt_nexus *nexus = &device->nexuses[i];
    if (nexus->attached) continue;
    nexus->attached = true;
    nexus->prevents_removal = false;
    atomic_store(&nexus->port, NULL);
    atomic_store(&nexus->attentions, GT_UA_POWER_ON);
    result = i;
  }
  pthread_mutex_unlock(&device->lock);
  return result;
}

void gt_device_lose(gt_device *device, int nexus) {
  if (nexus >= 0 && nexus < GT_NEXUS_MAX) atomic_store(&device->nexuses[nexus].prevents_removal, false);
}

/* An I_T nexus loss ends its prevention of medium removal (SPC-4 6.14). */
void gt_device_detach(gt_device *device, int nexus) {
  if (nexus < 0 || nexus >= GT_NEXUS_MAX) return;
  pthread_mutex_lock(&device->lock);
  device->nexuses[nexus].attached = false;
  device->nexuses[nexus].prevents_removal = false;
  atomic_store(&device->nexuses[nexus].attentions, 0);
  atomic_store(&device->nexuses[nexus].port, NULL);
  pthread_mutex_unlock(&device->lock);
}

void gt_device_set_port(gt_device *device, int nexus, const gt_port *port) {
  if (nexus >= 0 && nexus < GT_NEXUS_MAX) atomic_store(&device->nexuses[nexus].port, port);
}

gt_port gt_device_port(const gt_nexus *nexus) {
  const gt_port *port = atomic_load(&nexus->port);
  return port ? *port : (gt_port){.relative = 1, .group = 1};
}

/* A drive that winds holds its lock for as long, so this only asks. */
void gt_device_reset(gt_device *device) { atomic_store_explicit(&device->reset_asked, true, memory_order_release); }

static void carry_out_reset(gt_device *device) {
  pthread_mutex_lock(&device->lock);
  if (atomic_exchange(&device->reset_asked, false)) {
    for (int i = 0; i < GT_NEXUS_MAX; i++)
      device->nexuses[i].prevents_removal = false;
    gt_mode_reset(device);
    if (device->class->reset) device->class->reset(device);
  }
  pthread_mutex_unlock(&device->lock);
}

void gt_device_attention(gt_device *device, unsigned attention, int except) {
  for (int i = 0; i < GT_NEXUS_MAX; i++) {
    if (i != except) atomic_fetch_or(&device->nexuses[i].attentions, attention);
  }
}

unsigned gt_attention_take(gt_device *device, int nexus) {
  atomic_uint *pending = &device->nexuses[nexus].attentions;
  unsigned all = atomic_load(pending);
  unsigned first = all & (~all + 1u);
  if (first) atomic_fetch_and(pending, ~first);
  return first;
}

uint16_t gt_attention_asc(unsigned attention) {
  switch (attention) {
  case GT_UA_POWER_ON: return GT_ASC_POWER_ON_OR_RESET;
  case GT_UA_MEDIUM_CHANGED: return GT_ASC_MEDIUM_MAY_HAVE_CHANGED;
  case GT_UA_LOG_CHANGED: return GT_ASC_LOG_PARAMETERS_CHANGED;
  default: return GT_ASC_MODE_PARAMETERS_CHANGED;
  }
}

uint16_t gt_device_take_attention(gt_device *device, int nexus) {
  if (nexus < 0 || nexus >= GT_NEXUS_MAX) return 0;
  if (!atomic_load_explicit(&device->nexuses[nexus].attentions, memory_order_acquire)) return 0;
  unsigned attention = gt_attention_take(device, nexus);
  return attention ? gt_attention_asc(attention) : 0;
}

bool gt_device_row(const gt_device *device, const uint8_t *cdb, const gt_row **row, bool *opcode_known) {
  const gt_device_class *class = device->class;
  size_t index = device->row_of[cdb[0]];
  *opcode_known = index != 0;
  if (!index) return false;
  for (size_t i = index - 1; i < class->row_count && class->rows[i].opcode == cdb[0]; i++) {
    const gt_row *candidate = &class->rows[i];
    if (candidate->action != GT_NO_ACTION && candidate->action != (cdb[1] & 0x1F)) continue;
    if (class->offers && !class->offers(device, candidate)) continue;
    *row = candidate;
    return true;
  }
  return false;
}

/* Every bit that the row does not name is reserved and must be zero, the control byte's NACA among them
 * (SPC-4 4.2.1 lets a device server check; one that does finds the initiator's mistakes). */
static bool cdb_is_sound(gt_cmd *cmd) {
  const gt_row *row = cmd->row;
  if (cmd->io->cdb_len < row->length) {
    gt_fail(cmd, GT_KEY_ILLEGAL_REQUEST, GT_ASC_INVALID_FIELD_IN_CDB);
    return false;
  }
  for (unsigned i = 1; i < row->length; i++) {
    unsigned wrong = cmd->cdb[i] & (uint8_t)~row->usage[i];
    if (!wrong) continue;
    int bit = 7;
    while (!(wrong >> bit & 1))
      bit--;
    gt_fail_field(cmd, i, bit);
    return false;
  }
  return true;
}

static bool attention_reported(gt_cmd *cmd) {
  if (!atomic_load_explicit(&cmd->device->nexuses[cmd->nexus].attentions, memory_order_acquire)) return false;
  unsigned attention = gt_attention_take(cmd->device, cmd->nexus);
  if (!attention) return false;
  gt_fail(cmd, GT_KEY_UNIT_ATTENTION, gt_attention_asc(attention));
  return true;
}

/* The work itself, with what a fault does to it. Returns the fault's delay. */
static uint64_t work(gt_cmd *cmd) {
  gt_fault fault;
  bool faulty =
      atomic_load_explicit(&cmd->device->fault_count, memory_order_acquire) != 0 && gt_fault_take(cmd, &fault);
  bool silent = faulty && fault.status == GT_STATUS_GOOD && fault.outcome == GT_DELIVERED;
  if ((!faulty || fault.after || silent) && (!cmd->device->class->admit || cmd->device->class->admit(cmd))) {
    if (cmd->row->flags & GT_ROW_TAKES || !gt_take_rest(cmd->io))
      cmd->row->run(cmd);
    else
      gt_fail(cmd, GT_KEY_ABORTED_COMMAND, GT_ASC_COMMUNICATION_FAILURE);
  }
  if (!faulty) return 0;
  if (!silent) gt_fault_answer(cmd, &fault);
  return (uint64_t)fault.delay_ms * 1000000u;
}

static uint64_t dispatch(gt_cmd *cmd) {
  bool opcode_known;
  bool found = gt_device_row(cmd->device, cmd->cdb, &cmd->row, &opcode_known);
  if (!(found && cmd->row->flags & GT_ROW_UA_EXEMPT) && attention_reported(cmd)) return 0;
  if (!opcode_known) {
    gt_fail(cmd, GT_KEY_ILLEGAL_REQUEST, GT_ASC_INVALID_OPCODE);
    return 0;
  }
  if (!found) {
    gt_fail_field(cmd, 1, 4);
    return 0;
  }
  if (!cdb_is_sound(cmd)) return 0;
  if (!(cmd->row->flags & GT_ROW_LOCKED)) return work(cmd);
  pthread_mutex_lock(&cmd->device->lock);
  uint64_t delay_ns = work(cmd);
  pthread_mutex_unlock(&cmd->device->lock);
  return delay_ns;
}

void gt_device_run(gt_device *device, int nexus, gt_io *io, uint64_t *due_ns) {
  io->outcome = GT_DELIVERED;
  io->status = GT_STATUS_GOOD;
  io->sense_len = 0;
  io->resid = io->data_len > INT32_MAX ? INT32_MAX : (int32_t)io->data_len;
  io->host_status = io->driver_status = 0;
  *due_ns = 0;
  if (nexus < 0 || nexus >= GT_NEXUS_MAX || io->cdb_len == 0 || io->cdb_len > GT_CDB_MAX) {
    io->outcome = GT_TRANSPORT; /* no such nexus: nobody answers */
    return;
  }
  gt_cmd cmd = {.device = device, .io = io, .cdb = io->cdb, .nexus = nexus};
  if (atomic_load_explicit(&device->reset_asked, memory_order_acquire)) carry_out_reset(device);
  bool paced = atomic_load_explicit(&device->bytes_per_s, memory_order_relaxed) != 0;
  uint64_t begun_ns = paced ? gt_now_ns() : 0;
  uint64_t delay_ns = dispatch(&cmd);
  if (!delay_ns && !paced) return;
  *due_ns = gt_now_ns() + delay_ns;
  uint64_t paced_ns = paced ? gt_pace(&cmd, begun_ns) : 0;
  if (paced_ns > *due_ns) *due_ns = paced_ns;
}

/* Until then, or until nobody waits for the command any more. */
static void sleep_until(uint64_t due_ns, const gt_io *io) {
  enum { LOOK_NS = 20000000 };
  for (uint64_t now_ns; (now_ns = gt_now_ns()) < due_ns;) {
    if (io->abandoned && __atomic_load_n(io->abandoned, __ATOMIC_ACQUIRE)) return;
    uint64_t next_ns = io->abandoned && due_ns - now_ns > LOOK_NS ? now_ns + LOOK_NS : due_ns;
    struct timespec until = {.tv_sec = (time_t)(next_ns / 1000000000u), .tv_nsec = (long)(next_ns % 1000000000u)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
  }
}

void gt_device_execute(gt_device *device, int nexus, gt_io *io) {
  uint64_t due_ns;
  gt_device_run(device, nexus, io, &due_ns);
  sleep_until(due_ns, io);
}
