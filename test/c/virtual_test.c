/* The virtual transport: when commands run, how they end, and how a wait is ended. */
#include "scsi_rig.h"

static gt_device *open_disk(void) {
  gt_device *device = NULL;
  gt_disk_options options = {.path = rig_path("v.img"), .block_bytes = 512, .blocks = 2048};
  CHECK_EQ(gt_disk_open(&options, &device, NULL, 0), 0);
  return device;
}

static gt_lu *open_lu(gt_device *device) {
  gt_lu *lu = NULL;
  CHECK_EQ(gt_virtual_open(device, &lu), 0);
  gt_io io = {.cdb_len = 6, .timeout_ms = 1000};
  CHECK_EQ(gt_lu_execute(lu, &io), 0);
  CHECK_EQ(io.status, GT_STATUS_CHECK_CONDITION); /* the unit attention of the new nexus */
  return lu;
}

typedef struct log_entry {
  gt_io io;
  uint8_t data[512];
  int *order, place, submit_again;
  gt_lu *lu;
} log_entry;

static void log_done(gt_io *io) {
  log_entry *entry = io->owner;
  entry->place = ++*entry->order;
  if (entry->submit_again > 0) {
    entry->submit_again--;
    CHECK_EQ(gt_lu_submit(entry->lu, io), 0);
  }
}

static void prepare(log_entry *entry, gt_lu *lu, int *order, bool write, uint32_t lba) {
  *entry = (log_entry){.lu = lu, .order = order};
  entry->io = (gt_io){.cdb_len = 10, .dir = write ? GT_DIR_OUT : GT_DIR_IN, .timeout_ms = 60000};
  entry->io.cdb[0] = write ? GT_WRITE_10 : GT_READ_10;
  gt_store_be32(entry->io.cdb + 2, lba);
  entry->io.cdb[8] = 1;
  entry->io.data = entry->data;
  entry->io.data_len = sizeof entry->data;
  entry->io.done = log_done;
  entry->io.owner = entry;
}

static void in_order(gt_device *device) {
  gt_lu *lu = open_lu(device);
  static log_entry entries[64];
  int order = 0;
  TEST("submit runs nothing; poll runs everything queued, in order, and calls done inside");
  for (int i = 0; i < 64; i++) {
    prepare(&entries[i], lu, &order, i % 2 == 0, (uint32_t)(i / 2));
    if (i % 2 == 0) fill(entries[i].data, 512, (uint32_t)i);
    CHECK_EQ(gt_lu_submit(lu, &entries[i].io), 0);
  }
  CHECK_EQ(order, 0);
  CHECK_EQ(gt_lu_poll(lu, -1), 64);
  for (int i = 0; i < 64; i++) {
    CHECK_EQ(entries[i].place, i + 1);
    CHECK(entries[i].io.outcome == GT_DELIVERED && entries[i].io.status == 0 && entries[i].io.resid == 0);
    if (i % 2) CHECK(memcmp(entries[i].data, entries[i - 1].data, 512) == 0);
  }
  TEST("poll returns at once when nothing is outstanding");
  CHECK_EQ(gt_lu_poll(lu, -1), 0);
  TEST("what done submits again belongs to the next poll");
  entries[0].submit_again = 3;
  CHECK_EQ(gt_lu_submit(lu, &entries[0].io), 0);
  for (int i = 0; i < 4; i++)
    CHECK_EQ(gt_lu_poll(lu, -1), 1);
  CHECK_EQ(gt_lu_poll(lu, -1), 0);
  TEST("a command that is none is refused by submit, and its done is never called");
  entries[0].io.cdb_len = 0;
  CHECK_EQ(gt_lu_submit(lu, &entries[0].io), -EINVAL);
  entries[0].io.cdb_len = 10;
  entries[0].io.data = NULL;
  CHECK_EQ(gt_lu_submit(lu, &entries[0].io), -EINVAL);
  CHECK_EQ(gt_lu_poll(lu, 0), 0);
  TEST("the limits are 64 commands and at least 8 MiB");
  CHECK_EQ(lu->limits.max_queue, 64);
  CHECK(lu->limits.max_transfer >= 8u << 20);
  gt_lu_close(lu);
}

static void *wake_soon(void *lu) {
  usleep(20000);
  gt_lu_wake(lu);
  return NULL;
}

static void hold_back(gt_device *device) {
  gt_fault hour = {.opcode = GT_READ_10, .last = UINT64_MAX, .count = 1, .delay_ms = 3600000};
  CHECK_EQ(gt_device_inject(device, &hour), 0);
}

static void waits(gt_device *device) {
  gt_lu *lu = open_lu(device);
  log_entry entry, behind;
  int order = 0;
  pthread_t thread;
  TEST("a delayed answer does not hold a poll that does not wait, and a wake ends one that does");
  hold_back(device);
  prepare(&entry, lu, &order, false, 3);
  prepare(&behind, lu, &order, false, 4);
  CHECK_EQ(gt_lu_submit(lu, &entry.io), 0);
  CHECK_EQ(gt_lu_submit(lu, &behind.io), 0);
  CHECK_EQ(gt_lu_poll(lu, 0), 0);
  CHECK_EQ(gt_lu_poll(lu, 1), 0);
  pthread_create(&thread, NULL, wake_soon, lu);
  CHECK_EQ(gt_lu_poll(lu, -1), 0);
  pthread_join(thread, NULL);
  TEST("a wake before poll makes the next one return, and only that one");
  gt_lu_wake(lu);
  CHECK_EQ(gt_lu_poll(lu, -1), 0);
  CHECK_EQ(order, 0);
  TEST("abort ends a delayed command as GT_ABORTED, through done; the one behind it then runs");
  CHECK_EQ(gt_lu_abort(lu, &entry.io), 0);
  CHECK_EQ(order, 0);
  CHECK_EQ(gt_lu_poll(lu, -1), 2);
  CHECK_EQ(entry.io.outcome, GT_ABORTED);
  CHECK(behind.io.outcome == GT_DELIVERED && behind.io.status == 0);
  CHECK_EQ(gt_lu_abort(lu, &entry.io), -ENOENT);
  TEST("a command that would take longer than its timeout ends as GT_TIMED_OUT");
  hold_back(device);
  entry.io.timeout_ms = 5;
  CHECK_EQ(gt_lu_execute(lu, &entry.io), 0);
  CHECK_EQ(entry.io.outcome, GT_TIMED_OUT);
  CHECK(entry.io.done == log_done && entry.io.owner == &entry);
  TEST("a command that is aborted before its turn never starts");
  hold_back(device);
  prepare(&entry, lu, &order, false, 3);
  prepare(&behind, lu, &order, true, 100);
  memset(behind.data, 0xAB, 512);
  CHECK_EQ(gt_lu_submit(lu, &entry.io), 0);
  CHECK_EQ(gt_lu_submit(lu, &behind.io), 0);
  CHECK_EQ(gt_lu_poll(lu, 0), 0);
  gt_lu_abort(lu, &behind.io), gt_lu_abort(lu, &entry.io);
  CHECK_EQ(gt_lu_poll(lu, -1), 2);
  prepare(&entry, lu, &order, false, 100);
  CHECK_EQ(gt_lu_execute(lu, &entry.io), 0);
  CHECK_EQ(entry.data[0], 0);
  TEST("a paced device holds its answers back, and no longer once the pace is lifted");
  gt_device_pace(device, 1);
  CHECK_EQ(gt_lu_submit(lu, &entry.io), 0);
  CHECK_EQ(gt_lu_poll(lu, 1), 0);
  gt_device_pace(device, 0);
  gt_lu_abort(lu, &entry.io);
  CHECK_EQ(gt_lu_poll(lu, -1), 1);
  CHECK_EQ(gt_lu_execute(lu, &entry.io), 0);
  CHECK(entry.io.outcome == GT_DELIVERED && entry.io.status == 0);
  TEST("close completes what is outstanding as GT_ABORTED, and takes no more");
  hold_back(device);
  order = 0;
  prepare(&entry, lu, &order, false, 3);
  prepare(&behind, lu, &order, false, 4);
  CHECK_EQ(gt_lu_submit(lu, &entry.io), 0);
  CHECK_EQ(gt_lu_submit(lu, &behind.io), 0);
  CHECK_EQ(gt_lu_poll(lu, 0), 0);
  gt_lu_close(lu);
  CHECK(order == 2 && entry.io.outcome == GT_ABORTED && behind.io.outcome == GT_ABORTED);
}

static void nexuses(gt_device *device) {
  static gt_lu *lus[GT_NEXUS_MAX + 1];
  int count = 0;
  TEST("a device takes GT_NEXUS_MAX nexuses and refuses the next, and a closed one makes room");
  while (count <= GT_NEXUS_MAX && gt_virtual_open(device, &lus[count]) == 0)
    count++;
  CHECK_EQ(count, GT_NEXUS_MAX);
  gt_lu_close(lus[--count]);
  CHECK_EQ(gt_virtual_open(device, &lus[count++]), 0);
  while (count)
    gt_lu_close(lus[--count]);
}

typedef struct worker {
  gt_device *device;
  uint32_t base;
  int wrong;
} worker;

/* Writes, reads back and compares in its own half of the disk, 16 commands outstanding. */
static void *work(void *argument) {
  worker *self = argument;
  gt_lu *lu = open_lu(self->device);
  static __thread log_entry entries[16];
  int order = 0;
  for (uint32_t round = 0; round < 200; round++) {
    for (int pass = 0; pass < 2; pass++) {
      for (uint32_t i = 0; i < 16; i++) {
        prepare(&entries[i], lu, &order, pass == 0, self->base + (round * 16 + i) % 1000);
        if (pass == 0) memset(entries[i].data, (int)(round + i), 512);
        if (gt_lu_submit(lu, &entries[i].io)) self->wrong++;
      }
      while (gt_lu_poll(lu, -1) > 0)
        continue;
    }
    for (uint32_t i = 0; i < 16; i++)
      if (entries[i].data[511] != (uint8_t)(round + i) || entries[i].io.status) self->wrong++;
  }
  gt_lu_close(lu);
  return NULL;
}

static void two_threads(gt_device *device) {
  TEST("two nexuses on two threads use one disk, each sees its own data, while faults and pace are changed");
  worker workers[2] = {{device, 0, 0}, {device, 1024, 0}};
  pthread_t threads[2];
  for (int i = 0; i < 2; i++)
    pthread_create(&threads[i], NULL, work, &workers[i]);
  gt_fault nothing = {.opcode = GT_READ_10, .last = 50, .count = 3};
  for (int i = 0; i < 100; i++) {
    gt_device_inject(device, &nothing);
    gt_device_pace(device, i % 2 ? 0 : 1u << 30);
    gt_device_clear_faults(device);
  }
  gt_device_pace(device, 0);
  for (int i = 0; i < 2; i++)
    pthread_join(threads[i], NULL);
  CHECK_EQ(workers[0].wrong + workers[1].wrong, 0);
}

static void shared_tape(void) {
  TEST("a device lives as long as an LU has it open, though its owner let go");
  gt_device *tape = NULL;
  CHECK_EQ(gt_tape_open(&(gt_tape_options){0}, &tape, NULL, 0), 0);
  gt_lu *lu = open_lu(tape);
  gt_cartridge_options options = {.path = rig_path("v.tap")};
  CHECK_EQ(gt_tape_load(tape, &options, NULL, 0), 0);
  gt_device_unref(tape);
  gt_io io = {.cdb = {0}, .cdb_len = 6, .timeout_ms = 1000};
  CHECK_EQ(gt_lu_execute(lu, &io), 0);
  CHECK_EQ(io.status, GT_STATUS_CHECK_CONDITION);
  CHECK_EQ(gt_lu_execute(lu, &io), 0);
  CHECK_EQ(io.status, GT_STATUS_GOOD);
  gt_lu_close(lu);
}

int main(void) {
  rig_begin();
  gt_device *device = open_disk();
  in_order(device);
  waits(device);
  gt_device_clear_faults(device);
  nexuses(device);
  two_threads(device);
  shared_tape();
  gt_device_unref(device);
  return rig_end();
}
