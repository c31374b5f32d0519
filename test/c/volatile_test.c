/* Devices with a volatile cache: what was synchronized is on the medium, and what was not is lost by kill -9, as it is
 * by a drive that loses its power. */
#include <signal.h>
#include <sys/wait.h>

#include "scsi_rig.h"

enum { BLOCKS = 4096, BLOCK = 512 };

static rig disk(void) {
  gt_disk_options options = {
      .path = rig_path("disk.img"), .block_bytes = BLOCK, .blocks = BLOCKS, .thin = true, .volatile_cache = true};
  gt_device *device = NULL;
  CHECK_EQ(gt_disk_open(&options, &device, NULL, 0), 0);
  return rig_attach(device);
}

static rig drive(void) {
  gt_device *device = NULL;
  CHECK_EQ(gt_tape_open(&(gt_tape_options){.volatile_cache = true}, &device, NULL, 0), 0);
  CHECK_EQ(gt_tape_load(device, &(gt_cartridge_options){.path = rig_path("a.tap")}, NULL, 0), 0);
  rig r = rig_attach(device);
  rig_none(&r, "00 00 00 00 00 00");
  return r;
}

/* Runs the body in a process of its own, which then loses its power. */
static void power_loss_after(rig (*open)(void), void (*body)(rig *)) {
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) {
    check_failures = 0;
    rig r = open();
    body(&r);
    if (check_failures) _exit(1);
    raise(SIGKILL);
  }
  int status = 0;
  CHECK_EQ(waitpid(child, &status, 0), child);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static size_t file_size(const char *name) {
  struct stat status;
  return stat(rig_path(name), &status) ? 0 : (size_t)status.st_size;
}

static void write_lba(rig *r, uint32_t lba, uint32_t blocks, uint8_t value) {
  static uint8_t data[BLOCKS * BLOCK];
  memset(data, value, blocks * BLOCK);
  rig_f(r, GT_DIR_OUT, data, blocks * BLOCK, "2a 00 %08x 00 %04x 00", lba, blocks);
  GOOD(r);
}

static uint8_t lba_in_file(uint32_t lba) {
  uint8_t byte = 0xEE;
  int fd = open(rig_path("disk.img"), O_RDONLY);
  if (pread(fd, &byte, 1, (off_t)lba * BLOCK) != 1) byte = 0xEE;
  close(fd);
  return byte;
}

static uint8_t lba_read(rig *r, uint32_t lba) {
  uint8_t data[BLOCK];
  rig_f(r, GT_DIR_IN, data, BLOCK, "28 00 %08x 00 0001 00", lba);
  GOOD(r);
  return data[0];
}

static void synchronizes_disk(rig *r) {
  write_lba(r, 10, 5, 0x11);
  rig_none(r, "35 00 00 00 00 00 00 00 00 00");
  GOOD(r);
  write_lba(r, 12, 1, 0x22);
  write_lba(r, 100, 1, 0x22);
  CHECK_EQ(lba_read(r, 12), 0x22);
  CHECK_EQ(lba_read(r, 11), 0x11);
}

static void forces_access(rig *r) {
  static uint8_t data[BLOCK] = {0x33};
  rig_f(r, GT_DIR_OUT, data, BLOCK, "2a 08 %08x 00 0001 00", 200u);
  GOOD(r);
  /* WCE off: from here on every write is on the medium when it is answered. */
  uint8_t page[] = {0, 0, 0, 0, 0x08, 18, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  rig_run(r, "15 10 00 00 18 00", GT_DIR_OUT, page, sizeof page);
  GOOD(r);
  write_lba(r, 201, 1, 0x44);
}

static void unmaps(rig *r) {
  write_lba(r, 300, 4, 0x55);
  uint8_t list[24] = {0, 22, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 45, 0, 0, 0, 1};
  rig_run(r, "42 00 00 00 00 00 00 00 18 00", GT_DIR_OUT, list, sizeof list);
  GOOD(r);
  CHECK_EQ(lba_read(r, 300), 0x55);
  CHECK_EQ(lba_read(r, 301), 0);
  CHECK_EQ(lba_read(r, 302), 0x55);
}

static void overflows(rig *r) {
  static uint8_t data[8 << 20];
  /* 24 MiB into a cache of 16: a part has to go out, and the last word of every block counts. */
  for (uint32_t round = 0; round < 3; round++) {
    memset(data, (int)(0x60 + round), sizeof data);
    rig_f(r, GT_DIR_OUT, data, sizeof data, "2a 00 %08x 00 %04x 00", round * 16384u, 16384u);
    GOOD(r);
  }
  for (uint32_t lba = 0; lba < 3 * 16384; lba += 77)
    CHECK_EQ(lba_read(r, lba), 0x60 + lba / 16384);
}

static void disks(void) {
  TEST("a disk keeps what SYNCHRONIZE CACHE covered over a power loss, and loses what came after it");
  power_loss_after(disk, synchronizes_disk);
  CHECK_EQ(lba_in_file(10), 0x11);
  CHECK_EQ(lba_in_file(12), 0x11);
  CHECK_EQ(lba_in_file(100), 0);
  TEST("FUA, and a cache that is switched off, leave nothing to lose");
  power_loss_after(disk, forces_access);
  CHECK_EQ(lba_in_file(200), 0x33);
  CHECK_EQ(lba_in_file(201), 0x44);
  TEST("UNMAP of blocks in the cache, and what lies beside them");
  power_loss_after(disk, unmaps);
  TEST("a disk that is closed in order loses nothing");
  rig r = disk();
  write_lba(&r, 400, 1, 0x77);
  CHECK_EQ(lba_in_file(400), 0);
  gt_device_unref(r.device);
  CHECK_EQ(lba_in_file(400), 0x77);
  TEST("more than the cache holds is written out in pieces, and read back whole");
  unlink(rig_path("disk.img"));
  gt_disk_options options = {
      .path = rig_path("disk.img"), .block_bytes = BLOCK, .blocks = 3 * 16384, .volatile_cache = true};
  gt_device *large = NULL;
  CHECK_EQ(gt_disk_open(&options, &large, NULL, 0), 0);
  r = rig_attach(large);
  overflows(&r);
  unsigned lost = 0;
  for (uint32_t lba = 0; lba < 3 * 16384; lba++)
    lost += lba_in_file(lba) != 0x60 + lba / 16384;
  CHECK(lost > 8192 && lost <= 32768);
  gt_device_unref(large);
}

static void write_record(rig *r, uint8_t value) {
  uint8_t data[1000];
  memset(data, value, sizeof data);
  rig_run(r, "0a 00 00 03 e8 00", GT_DIR_OUT, data, sizeof data);
  GOOD(r);
}

/* Two records that are synchronized, by the given command, and two that are not. */
static const char *synchronizer;

static void synchronizes_tape(rig *r) {
  write_record(r, 1);
  write_record(r, 2);
  rig_none(r, synchronizer);
  GOOD(r);
  rig_none(r, "11 03 00 00 00 00");
  write_record(r, 3);
  rig_none(r, "10 01 00 00 01 00"); /* IMMED: not synchronized */
  GOOD(r);
}

static void position(rig *r) {
  uint8_t data[32] = {0};
  write_record(r, 1);
  rig_none(r, "10 00 00 00 00 00");
  write_record(r, 2);
  write_record(r, 3);
  rig_run(r, "34 00 00 00 00 00 00 00 00 00", GT_DIR_IN, data, 20);
  CHECK_EQ(gt_load_be32(data + 4), 3);
  CHECK_EQ(gt_load_be32(data + 8), 1);
  CHECK_EQ(gt_load_be24(data + 13), 2);
  CHECK_EQ(gt_load_be32(data + 16), 2000);
  rig_run(r, "34 08 00 00 00 00 00 00 20 00", GT_DIR_IN, data, 32);
  CHECK_EQ(gt_load_be64(data + 8), 3);
  CHECK_EQ(gt_load_be64(data + 16), 1);
  CHECK_EQ(gt_load_be24(data + 5), 2);
  CHECK_EQ(gt_load_be64(data + 24), 2000);
}

static void overwrites(rig *r) {
  rig_none(r, "01 00 00 00 00 00");
  write_record(r, 9);
}

static void reads_back(rig *r) {
  uint8_t data[1000];
  write_record(r, 5);
  rig_none(r, "01 00 00 00 00 00");
  rig_run(r, "08 00 00 03 e8 00", GT_DIR_IN, data, sizeof data);
  GOOD(r);
  CHECK_EQ(data[0], 5);
}

/* More than the buffer holds, in blocks as large as there are. */
static void fills_buffer(rig *r) {
  enum { LARGE = 8 << 20 };
  uint8_t *data = malloc(LARGE);
  for (int i = 0; i < 4; i++) {
    memset(data, i, LARGE);
    rig_run(r, "0a 00 80 00 00 00", GT_DIR_OUT, data, LARGE);
    GOOD(r);
  }
  rig_none(r, "92 00 00 00 00 00 00 00 00 00 00 01 00 00 00 00");
  rig_run(r, "08 00 80 00 00 00", GT_DIR_IN, data, LARGE);
  GOOD(r);
  CHECK(data[0] == 1 && data[LARGE - 1] == 1);
  free(data);
}

static void tapes(void) {
  enum { RECORD = 1008 };
  static const char *const synchronizers[] = {"10 00 00 00 00 00", "10 00 00 00 01 00", "01 00 00 00 00 00",
                                              "2b 00 00 00 00 00 00 00 00 00", "11 03 00 00 00 00"};
  TEST("WRITE FILEMARKS (also of none), REWIND, LOCATE and SPACE synchronize; IMMED and WRITE do not");
  for (unsigned i = 0; i < sizeof synchronizers / sizeof *synchronizers; i++) {
    unlink(rig_path("a.tap"));
    synchronizer = synchronizers[i];
    power_loss_after(drive, synchronizes_tape);
    CHECK_EQ(file_size("a.tap"), 2 * RECORD + (i == 1 ? 4 : 0));
  }
  TEST("READ POSITION tells how much is in the buffer, and where the medium ends");
  unlink(rig_path("a.tap"));
  power_loss_after(drive, position);
  CHECK_EQ(file_size("a.tap"), RECORD);
  TEST("what is written over a tape and not synchronized leaves what was there before");
  unlink(rig_path("a.tap"));
  synchronizer = "10 00 00 00 00 00";
  power_loss_after(drive, synchronizes_tape);
  power_loss_after(drive, overwrites);
  CHECK_EQ(file_size("a.tap"), 2 * RECORD);
  TEST("what is in the buffer can be read, for going there synchronizes");
  power_loss_after(drive, reads_back);
  CHECK_EQ(file_size("a.tap"), RECORD);
  TEST("a full buffer goes onto the tape by itself");
  unlink(rig_path("a.tap"));
  power_loss_after(drive, fills_buffer);
  CHECK_EQ(file_size("a.tap"), 4 * ((8u << 20) + 8));
  TEST("a cartridge that is taken out in order is whole");
  unlink(rig_path("a.tap"));
  rig r = drive();
  write_record(&r, 1);
  CHECK_EQ(file_size("a.tap"), 0);
  CHECK_EQ(gt_tape_unload(r.device), 0);
  CHECK_EQ(file_size("a.tap"), RECORD);
  gt_device_unref(r.device);
}

int main(void) {
  rig_begin();
  disks();
  tapes();
  return rig_end();
}
