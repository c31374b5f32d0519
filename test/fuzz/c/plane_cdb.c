/* Any commands of several nexuses through the whole plane, to an emulated disk and an emulated tape drive: every task
 * is answered once and with an answer that is one, what a path may not do does not happen, and nothing leaves the
 * buffer of its command. */
#include <poll.h>

#include "core/scsi.h"
#include "core/sense.h"
#include "fuzz.h"
#include "plane/plane.h"

enum { BLOCK = 512, BLOCKS = 128, NEXUSES = 3, TASKS = 24, ROOM = 16384, COMMANDS = 40 };
enum { DISK, TAPE, KEPT }; /* units; nobody may write on KEPT */
enum { READS = 1, WRITES, PUNTS };

typedef struct one {
  gt_task task;
  uint8_t *data;
  uint32_t length;
  bool running;
  uint32_t answers;
} one;

static struct {
  gt_plane *plane;
  gt_plane_nexus *nexuses[NEXUSES];
  uint32_t numbers[NEXUSES];
  int wakes[2]; /* a pipe: any unit thread writes, the home reads */
  one tasks[TASKS];
  uint32_t running;
  uint8_t kept[BLOCK * BLOCKS], now[BLOCK * BLOCKS];
  int kept_fd;
} world;

static void wake(void *context) {
  (void)context;
  ssize_t n = write(world.wakes[1], "", 1); /* a full pipe wakes as well */
  (void)n;
}

static void notify(void *context) { wake(context); }

static void doze(void) {
  char bytes[512];
  struct pollfd fd = {world.wakes[0], POLLIN, 0};
  poll(&fd, 1, 10);
  ssize_t n = read(world.wakes[0], bytes, sizeof bytes);
  (void)n;
}

/* What does not change a medium, for disk and tape alike; everything else is taken for a write. */
static bool only_reads(uint8_t opcode) {
  static const uint8_t reads[] = {GT_TEST_UNIT_READY,
                                  GT_REQUEST_SENSE,
                                  GT_INQUIRY,
                                  GT_REPORT_LUNS,
                                  GT_READ_6,
                                  GT_MODE_SENSE_6,
                                  GT_MODE_SENSE_10,
                                  GT_READ_10,
                                  GT_READ_16,
                                  0x25,
                                  0x2F,
                                  0x8F,
                                  0x9E,
                                  0x4D,
                                  0xA3,
                                  0x05,
                                  0x11,
                                  GT_REWIND,
                                  0x34,
                                  0xA8};
  return memchr(reads, opcode, sizeof reads) != NULL;
}

static gt_class_row row_of(uint8_t opcode) {
  gt_class_row row = {opcode, -1, WRITES, GT_FORWARD, GT_CLASS_WRITES};
  if (only_reads(opcode)) row.class_ = READS, row.flags = 0;
  if (opcode == GT_INQUIRY) row.handling = GT_IDENTITY;
  if (opcode == GT_REPORT_LUNS) row.handling = GT_LUNS;
  if (opcode == GT_REQUEST_SENSE) row.handling = GT_SENSE;
  if (row.handling != GT_FORWARD) row.flags = GT_CLASS_NO_ATTENTION;
  if (opcode == 0x5E || opcode == 0x5F || opcode == 0xB5) row = (gt_class_row){opcode, -1, PUNTS, GT_PUNT, 0};
  if (opcode == 0x83) row = (gt_class_row){opcode, -1, PUNTS, GT_PUNT, GT_CLASS_PATIENT}; /* a copy manager, then */
  return row;
}

static gt_device *new_disk(const char *name) {
  gt_device *device = NULL;
  MUST(!gt_disk_open(&(gt_disk_options){.path = fuzz_path(name), .block_bytes = BLOCK, .blocks = BLOCKS, .thin = true},
                     &device, NULL, 0));
  return device;
}

static void add(uint32_t unit, gt_device *device, bool inline_ok) {
  MUST(!gt_plane_add_device(world.plane, unit, device, inline_ok));
  gt_device_unref(device);
}

static void open_devices(void) {
  gt_device *tape = NULL;
  fuzz_fill(world.kept, sizeof world.kept, 7);
  fuzz_write("file", world.kept, sizeof world.kept);
  world.kept_fd = open(fuzz_path("file"), O_RDONLY | O_CLOEXEC);
  MUST(world.kept_fd >= 0);
  MUST(!gt_tape_open(&(gt_tape_options){.max_block_bytes = ROOM}, &tape, NULL, 0));
  MUST(!gt_tape_load(tape, &(gt_cartridge_options){.path = fuzz_path("tape.tap"), .capacity_bytes = 1 << 20}, NULL, 0));
  add(DISK, new_disk("disk"), true);
  add(TAPE, tape, false);
  add(KEPT, new_disk("file"), true);
}

/* Nexus 0: everything, but KEPT by a key for reading alone. Nexus 1: write protected, and a path that has expired.
 * Nexus 2: paths whose keys admit nothing. */
static void open_paths(void) {
  gt_verdict all = {.gate = 0xFFFF, .reservation = 0xFFFF, .visible = true};
  gt_verdict reads = {.gate = 1 << READS, .reservation = 0xFFFF, .visible = true};
  gt_verdict guarded = {
      .gate = 1 << READS | 1 << WRITES, .reservation = 0xFFFF, .visible = true, .write_protected = true};
  gt_verdict over = all, none = {0};
  over.expires_ns = 1;
  for (uint32_t lun = 0; lun < 3; lun++) {
    MUST(!gt_plane_set_path(world.plane, world.numbers[0], lun, lun, lun == KEPT ? &reads : &all));
    MUST(!gt_plane_set_path(world.plane, world.numbers[1], lun, lun, lun == TAPE ? &over : &guarded));
    MUST(!gt_plane_set_path(world.plane, world.numbers[2], lun, lun, &none));
  }
}

static void set_up(void) {
  gt_class_row rows[256];
  if (world.plane) return;
  fuzz_place();
  for (unsigned opcode = 0; opcode < 256; opcode++)
    rows[opcode] = row_of((uint8_t)opcode);
  MUST(!pipe2(world.wakes, O_NONBLOCK | O_CLOEXEC));
  MUST(!gt_plane_open(&(gt_plane_options){.notify = notify}, &world.plane));
  MUST(!gt_plane_classes(world.plane, rows, 256));
  open_devices();
  for (int i = 0; i < NEXUSES; i++)
    MUST(!gt_nexus_open(world.plane, wake, NULL, &world.numbers[i], &world.nexuses[i]));
  open_paths();
}

/* The supervisor answers, passes on, or forgets what it once had. */
static void supervise(uint8_t how) {
  gt_punt punt;
  gt_note notes[8];
  while (gt_plane_take_punts(world.plane, &punt, 1)) {
    MUST(punt.data_len <= GT_PUNT_DATA_MAX && (punt.data || !punt.data_len));
    if (how & 1)
      gt_plane_pass(world.plane, punt.id);
    else
      gt_plane_answer(world.plane, punt.id, GT_STATUS_GOOD, NULL, 0, world.kept, how);
  }
  while (gt_plane_take_notes(world.plane, notes, 8) > 0)
    continue;
}

static bool may_write(uint32_t nexus, uint32_t lun) { return nexus == 0 && lun != KEPT; }

static void check(one *o, uint32_t nexus) {
  const gt_io *io = &o->task.io;
  uint8_t opcode = io->cdb[0];
  gt_sense sense;
  MUST(io->outcome == GT_DELIVERED || io->outcome == GT_ABORTED);
  if (io->outcome == GT_ABORTED) return;
  MUST((io->status == GT_STATUS_CHECK_CONDITION) == (io->sense_len > 0));
  if (io->sense_len) MUST(gt_sense_parse(io->sense, io->sense_len, &sense));
  MUST(io->resid <= (int32_t)o->length);
  bool local = opcode == GT_INQUIRY || opcode == GT_REPORT_LUNS || opcode == GT_REQUEST_SENSE;
  if (nexus == 2 && !local) MUST(io->status != GT_STATUS_GOOD);
  if (!may_write(nexus, o->task.lun) && !only_reads(opcode)) MUST(io->status != GT_STATUS_GOOD);
}

static void finish(one *o) {
  MUST(o->running && ++o->answers == 1);
  for (uint32_t i = 0; i < NEXUSES; i++)
    if (o->task.nexus == world.nexuses[i]) check(o, i);
  free(o->data);
  o->data = NULL;
  o->running = false;
  world.running--;
}

static void answered(gt_task *task) { finish(task->owner); }

static one *free_task(void) {
  for (;;) {
    for (int i = 0; i < TASKS; i++)
      if (!world.tasks[i].running) return &world.tasks[i];
    supervise(0);
    doze();
    for (int i = 0; i < NEXUSES; i++)
      gt_nexus_run(world.nexuses[i]);
  }
}

static void command(fuzz_in *in) {
  uint8_t shape = fuzz_u8(in);
  one *o = free_task();
  uint32_t nexus = shape % NEXUSES;
  *o = (one){.length = fuzz_u16(in) % ROOM, .running = true};
  gt_io *io = &o->task.io;
  fuzz_bytes(in, io->cdb, 16);
  io->cdb_len = 16;
  io->dir = shape >> 2 & 3;
  if (io->dir > GT_DIR_OUT) io->dir = GT_DIR_NONE;
  if (io->dir == GT_DIR_NONE) o->length = 0;
  o->data = o->length ? malloc(o->length) : NULL;
  if (o->data) fuzz_fill(o->data, o->length, shape);
  io->data = o->data;
  io->data_len = o->length;
  io->resid = (int32_t)o->length;
  o->task.lun = shape >> 4 & 3;
  o->task.attribute = shape >> 6;
  o->task.owner = o;
  o->task.answered = answered;
  world.running++;
  if (gt_task_admit(world.nexuses[nexus], &o->task) == GT_ADMIT_ANSWERED) return finish(o);
  gt_task_start(&o->task);
}

static void meddle(fuzz_in *in) {
  uint8_t what = fuzz_u8(in);
  one *o = &world.tasks[what % TASKS];
  if (what & 0x80 && o->running) gt_task_abort(&o->task);
  if (what & 0x40)
    gt_plane_abort(world.plane, what & 1, UINT32_MAX, UINT32_MAX, what & 2 ? GT_STATUS_TASK_ABORTED : 0, 1);
  if (what & 0x20) gt_plane_attention(world.plane, world.numbers[0], what & 1, 0x2A, what & 3);
  supervise(what);
}

static void drain(void) {
  while (world.running) {
    supervise(1);
    for (int i = 0; i < NEXUSES; i++)
      gt_nexus_run(world.nexuses[i]);
    if (world.running) doze();
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_in in = {data, size};
  set_up();
  for (int i = 0; in.left && i < COMMANDS; i++) {
    if (in.at[0] == 0xFF) meddle(&in);
    command(&in);
  }
  drain();
  MUST(pread(world.kept_fd, world.now, sizeof world.now, 0) == sizeof world.now);
  MUST(memcmp(world.now, world.kept, sizeof world.kept) == 0);
  return 0;
}
