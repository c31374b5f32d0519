/* What stock initiators ask of a disk besides reading and writing: SANITIZE, WRITE ATOMIC, media that can be ejected,
 * software write protection, target ports, resets, and the records beside the file that outlive a process. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>

#include "core/crc32c.h"
#include "scsi_rig.h"

#include <sys/syscall.h>

enum { BLOCKS = 4096, BYTES = 512 };

/* The device's fallocate is this one: failing on demand, or finding no room. */
static atomic_bool broken, full;

int fallocate(int fd, int mode, off_t offset, off_t length) {
  if (broken) return errno = EIO, -1;
  if (full && mode == FALLOC_FL_KEEP_SIZE) return errno = ENOSPC, -1;
  return (int)syscall(SYS_fallocate, fd, mode, offset, length);
}

static gt_device *open_disk(const char *name, bool removable, bool read_only, int expected) {
  gt_device *device = NULL;
  char err[300] = "";
  gt_disk_options options = {.path = rig_path(name),
                             .block_bytes = BYTES,
                             .blocks = BLOCKS,
                             .serial = "SN-2",
                             .thin = true,
                             .removable = removable,
                             .read_only = read_only,
                             .volatile_cache = true};
  CHECK_EQ(gt_disk_open(&options, &device, err, sizeof err), expected);
  return device;
}

static void write_byte(rig *r, uint32_t lba, uint8_t value) {
  uint8_t data[BYTES];
  memset(data, value, sizeof data);
  rig_f(r, GT_DIR_OUT, data, sizeof data, "2a 00 %08x 00 0001 00", lba);
  GOOD(r);
}

/* The first and last byte of a block, as one number. */
static int read_bytes(rig *r, uint32_t lba) {
  uint8_t data[BYTES] = {0};
  rig_f(r, GT_DIR_IN, data, sizeof data, "28 00 %08x 00 0001 00", lba);
  GOOD(r);
  return data[0] << 8 | data[BYTES - 1];
}

static bool there(const char *name) { return access(rig_path(name), F_OK) == 0; }

static void until_sane(rig *r) {
  while (rig_none(r, "00 00 00 00 00 00") != GT_STATUS_GOOD && r->sense.asc == GT_ASC_SANITIZE_IN_PROGRESS)
    usleep(1000);
  GOOD(r);
}

static void overwrites(void) {
  gt_device *device = open_disk("wipe", false, false, 0);
  rig r = rig_attach(device);
  uint8_t list[4 + 3] = {0x82, 0, 0, 3, 0x11, 0x22, 0x33}; /* INVERT, two passes */
  TEST("SANITIZE OVERWRITE leaves its pattern in every block, inverted after an even number of passes");
  write_byte(&r, 0, 0xAB);
  write_byte(&r, BLOCKS - 1, 0xAB);
  rig_run(&r, "48 01 00 00 00 00 00 00 07 00", GT_DIR_OUT, list, sizeof list);
  GOOD(&r);
  CHECK_EQ(read_bytes(&r, 0), 0xEEDD); /* 512 = 170 * 3 + 2 */
  CHECK_EQ(read_bytes(&r, BLOCKS - 1), 0xEEDD);
  CHECK(!there("wipe.sanitize"));
  TEST("a list that is too short or too long, no passes, no pattern, and reserved bits are refused, and nothing is "
       "wiped");
  static const char *const wrong[] = {"48 01 00 00 00 00 00 00 04 00", "48 01 00 00 00 00 00 02 05 00",
                                      "48 01 00 01 00 00 00 00 07 00", "48 41 00 00 00 00 00 00 07 00"};
  uint8_t big[600] = {1, 0, 0, 3};
  for (size_t i = 0; i < 4; i++) {
    rig_run(&r, wrong[i], GT_DIR_OUT, big, sizeof big);
    FAILS(&r, 5, 0x2400);
  }
  list[0] = 0;
  rig_run(&r, "48 01 00 00 00 00 00 00 07 00", GT_DIR_OUT, list, sizeof list);
  FAILS(&r, 5, 0x2400);
  list[0] = 1, list[3] = 4;
  rig_run(&r, "48 01 00 00 00 00 00 00 07 00", GT_DIR_OUT, list, sizeof list);
  FAILS(&r, 5, 0x2400);
  CHECK_EQ(read_bytes(&r, 0), 0xEEDD);
  TEST("CRYPTOGRAPHIC ERASE is not offered: nothing is encrypted");
  rig_none(&r, "48 03 00 00 00 00 00 00 00 00");
  FAILS(&r, 5, 0x2400);
  TEST("BLOCK ERASE leaves zeros, also of what lay in the volatile cache");
  write_byte(&r, 7, 0xCD);
  rig_none(&r, "48 02 00 00 00 00 00 00 00 00");
  GOOD(&r);
  CHECK_EQ(read_bytes(&r, 7), 0);
  CHECK_EQ(read_bytes(&r, 0), 0);
  gt_device_unref(device);
}

static void while_it_runs(void) {
  gt_device *device = open_disk("slow", false, false, 0);
  rig r = rig_attach(device);
  uint8_t list[5] = {1, 0, 0, 1, 0x5A}, data[96];
  TEST("while SANITIZE runs everything but what tells of it is NOT READY, 04h/1Bh, with progress; REQUEST SENSE too");
  gt_device_pace(device, 1); /* the second of two pieces never comes */
  rig_run(&r, "48 81 00 00 00 00 00 00 05 00", GT_DIR_OUT, list, sizeof list);
  GOOD(&r);
  gt_device_pace(device, 0);
  static const char *const refused[] = {"00 00 00 00 00 00", "28 00 00 00 00 00 00 00 01 00",
                                        "1a 08 3f 00 ff 00", "48 02 00 00 00 00 00 00 00 00",
                                        "1b 00 00 00 01 00", "48 1f 00 00 00 00 00 00 00 00"};
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    rig_run(&r, refused[i], GT_DIR_IN, data, sizeof data);
    FAILS(&r, 2, 0x041B);
    CHECK(r.sense.has_progress);
  }
  static const char *const allowed[] = {"12 00 00 00 60 00", "a0 00 00 00 00 00 00 00 00 60 00 00",
                                        "a3 0c 00 00 00 00 00 00 00 60 00 00", "4d 00 40 00 00 00 00 00 60 00"};
  for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
    rig_run(&r, allowed[i], GT_DIR_IN, data, sizeof data);
    GOOD(&r);
  }
  rig_run(&r, "03 00 00 00 12 00", GT_DIR_IN, data, 18);
  GOOD(&r);
  CHECK_EQ(data[2] & 0x0F, 2);
  CHECK_EQ(gt_load_be16(data + 12), 0x041B);
  CHECK_EQ(data[15], 0x80);
  TEST("a reset does not end it, and a disk that is closed meanwhile goes on with it when it is opened again");
  gt_device_reset(device);
  gt_device_unref(device);
  CHECK(there("slow.sanitize"));
  device = open_disk("slow", false, false, 0);
  r = rig_attach(device);
  until_sane(&r);
  CHECK_EQ(read_bytes(&r, 0), 0x5A5A);
  CHECK_EQ(read_bytes(&r, BLOCKS - 1), 0x5A5A);
  CHECK(!there("slow.sanitize"));
  TEST("aborted, SANITIZE without IMMED only stops waiting");
  static volatile bool abandoned = true;
  gt_device_pace(device, 1 << 20);
  r.io = (gt_io){.cdb = {0x48, 0x01, 0, 0, 0, 0, 0, 0, 5}, .cdb_len = 10, .dir = GT_DIR_OUT, .data = list};
  r.io.data_len = sizeof list;
  r.io.abandoned = &abandoned;
  gt_device_execute(device, r.nexus, &r.io);
  CHECK_EQ(r.io.status, GT_STATUS_CHECK_CONDITION);
  r.io.abandoned = NULL;
  gt_device_pace(device, 0);
  until_sane(&r);
  TEST("a command that nobody waits for any more is not held back by the pace");
  gt_device_pace(device, 1);
  r.io = (gt_io){.cdb = {0x28, 0, 0, 0, 0, 0, 0, 0, 1}, .cdb_len = 10, .dir = GT_DIR_IN, .data = data};
  r.io.data_len = sizeof data;
  r.io.abandoned = &abandoned;
  gt_device_execute(device, r.nexus, &r.io);
  CHECK_EQ(r.io.outcome, GT_DELIVERED);
  gt_device_unref(device);
}

static void spoil(const char *name, off_t at) {
  uint8_t byte = 0;
  int fd = open(rig_path(name), O_RDWR);
  CHECK_EQ(pread(fd, &byte, 1, at), 1);
  byte ^= 0x20;
  CHECK_EQ(pwrite(fd, &byte, 1, at), 1);
  close(fd);
}

static void failure_mode(void) {
  for (int ause = 0; ause < 2; ause++) {
    gt_device *device = open_disk("failed", false, false, 0);
    rig r = rig_attach(device);
    uint8_t data[BYTES];
    broken = true;
    TEST("a sanitize that fails says so, and from then on everything does, also after the disk was closed");
    rig_f(&r, GT_DIR_NONE, NULL, 0, "48 %02x 00 00 00 00 00 0000 00", ause ? 0x22 : 0x02);
    FAILS(&r, 3, 0x3103);
    gt_device_unref(device);
    broken = false;
    device = open_disk("failed", false, false, 0);
    r = rig_attach(device);
    rig_run(&r, "28 00 00 00 00 00 00 00 01 00", GT_DIR_IN, data, sizeof data);
    FAILS(&r, 3, 0x3103);
    rig_run(&r, "2a 00 00 00 00 00 00 00 01 00", GT_DIR_OUT, data, sizeof data);
    FAILS(&r, 3, 0x3103);
    rig_run(&r, "12 00 00 00 60 00", GT_DIR_IN, data, 96);
    GOOD(&r);
    TEST("EXIT FAILURE MODE helps where AUSE allowed it, and elsewhere only another SANITIZE");
    rig_none(&r, "48 1f 00 00 00 00 00 00 08 00");
    FAILS(&r, 5, 0x2400);
    rig_none(&r, "48 1f 00 00 00 00 00 00 00 00");
    if (ause) {
      GOOD(&r);
    } else {
      FAILS(&r, 5, 0x2400);
      rig_none(&r, "48 02 00 00 00 00 00 00 00 00");
      GOOD(&r);
    }
    CHECK_EQ(read_bytes(&r, 0), 0);
    CHECK(!there("failed.sanitize"));
    gt_device_unref(device);
  }
  TEST("a disk that may not be written cannot go on with a sanitize: it has failed; a record that is damaged is none");
  gt_device *device = open_disk("failed", false, false, 0);
  rig r = rig_attach(device);
  uint8_t list[5] = {1, 0, 0, 1, 0x5A};
  gt_device_pace(device, 1 << 20);
  rig_run(&r, "48 81 00 00 00 00 00 00 05 00", GT_DIR_OUT, list, sizeof list);
  GOOD(&r);
  gt_device_unref(device);
  CHECK(there("failed.sanitize"));
  device = open_disk("failed", false, true, 0);
  r = rig_attach(device);
  rig_none(&r, "00 00 00 00 00 00");
  FAILS(&r, 3, 0x3103);
  gt_device_unref(device);
  spoil("failed.sanitize", 40);
  open_disk("failed", false, false, -EBADMSG);
  TEST("a record that is none of this program's keeps the disk from being opened");
  FILE *file = fopen(rig_path("failed.sanitize"), "w");
  fputs("hello", file);
  fclose(file);
  open_disk("failed", false, false, -EBADMSG);
  CHECK_EQ(unlink(rig_path("failed.sanitize")), 0);
}

static void put_journal(const char *name, uint64_t lba, uint8_t value, bool damaged) {
  uint8_t image[4096 + BYTES] = "GTATOM01";
  memset(image + 4096, value, BYTES);
  gt_store_be64(image + 8, lba * BYTES);
  gt_store_be64(image + 16, BYTES);
  gt_store_be32(image + 24, gt_crc32c(0, image + 4096, BYTES));
  gt_store_be32(image + 28, gt_crc32c(0, image, 28));
  if (damaged) image[4096] ^= 1;
  FILE *file = fopen(rig_path(name), "w");
  CHECK_EQ(fwrite(image, sizeof image, 1, file), 1);
  fclose(file);
}

static void atomic_writes(void) {
  gt_device *device = open_disk("atom", false, false, 0);
  rig r = rig_attach(device);
  uint8_t data[4 * BYTES];
  TEST("WRITE ATOMIC writes all of its blocks, durably, and leaves nothing in its journal");
  write_byte(&r, 17, 0x11); /* waits in the cache, and must not come over it later */
  memset(data, 0x77, sizeof data);
  rig_run(&r, "9c 00 00 00 00 00 00 00 00 10 00 00 00 04 00 00", GT_DIR_OUT, data, sizeof data);
  GOOD(&r);
  CHECK_EQ(r.io.resid, 0);
  CHECK_EQ(read_bytes(&r, 16), 0x7777);
  CHECK_EQ(read_bytes(&r, 19), 0x7777);
  struct stat status;
  CHECK(stat(rig_path("atom.atomic"), &status) == 0 && status.st_size == 0);
  TEST("what would not be atomic is refused: a boundary, half of the data, more than the limit, past the end");
  rig_run(&r, "9c 00 00 00 00 00 00 00 00 10 00 01 00 04 00 00", GT_DIR_OUT, data, sizeof data);
  FAILS(&r, 5, 0x2400);
  rig_run(&r, "9c 00 00 00 00 00 00 00 00 20 00 00 00 04 00 00", GT_DIR_OUT, data, 2 * BYTES);
  FAILS(&r, 5, 0x2400);
  CHECK_EQ(read_bytes(&r, 32), 0);
  rig_run(&r, "9c 00 00 00 00 00 00 00 00 00 00 00 08 01 00 00", GT_DIR_OUT, data, sizeof data);
  FAILS(&r, 5, 0x2400);
  rig_run(&r, "9c 00 00 00 00 00 00 00 0f fe 00 00 00 04 00 00", GT_DIR_OUT, data, sizeof data);
  FAILS(&r, 5, 0x2100);
  TEST("without room for all of its blocks none is written: DATA PROTECT, SPACE ALLOCATION FAILED WRITE PROTECT");
  full = true;
  memset(data, 0x33, sizeof data);
  rig_run(&r, "9c 00 00 00 00 00 00 00 00 10 00 00 00 04 00 00", GT_DIR_OUT, data, sizeof data);
  FAILS(&r, 7, 0x2707);
  full = false;
  CHECK_EQ(read_bytes(&r, 16), 0x7777);
  gt_device_unref(device);
  CHECK(!there("atom.atomic"));
  TEST("a journal that was left behind is finished when the disk is opened; one that is not whole is dropped");
  put_journal("atom.atomic", 16, 0x99, false);
  device = open_disk("atom", false, false, 0);
  r = rig_attach(device);
  CHECK_EQ(read_bytes(&r, 16), 0x9999);
  CHECK_EQ(read_bytes(&r, 17), 0x7777);
  gt_device_unref(device);
  put_journal("atom.atomic", 16, 0x55, true);
  open_disk("atom", false, true, -EROFS);
  device = open_disk("atom", false, false, 0);
  gt_device_unref(device);
  put_journal("atom.atomic", 16, 0x55, false);
  spoil("atom.atomic", 15); /* the header: what it says of the place is not believed */
  device = open_disk("atom", false, false, 0);
  r = rig_attach(device);
  CHECK_EQ(read_bytes(&r, 16), 0x9999);
  TEST("SANITIZE wipes what is in the journal, too");
  memset(data, 0x42, sizeof data);
  rig_run(&r, "9c 00 00 00 00 00 00 00 00 10 00 00 00 01 00 00", GT_DIR_OUT, data, BYTES);
  GOOD(&r);
  put_journal("atom.atomic", 16, 0x42, false); /* as if emptying it had failed */
  rig_none(&r, "48 02 00 00 00 00 00 00 00 00");
  GOOD(&r);
  CHECK(stat(rig_path("atom.atomic"), &status) == 0 && status.st_size == 0);
  gt_device_unref(device);
}

static void removable_medium(void) {
  gt_device *device = open_disk("loose", true, false, 0);
  rig r = rig_attach(device), other = rig_attach(device);
  uint8_t data[96];
  TEST("INQUIRY says RMB; an ejected medium is not present until it is loaded, which the other nexus is told of");
  rig_run(&r, "12 00 00 00 60 00", GT_DIR_IN, data, sizeof data);
  CHECK_EQ(data[1], 0x80);
  rig_none(&r, "1b 00 00 00 02 00");
  GOOD(&r);
  rig_none(&r, "00 00 00 00 00 00");
  FAILS(&r, 2, 0x3A00);
  rig_none(&r, "1b 00 00 00 03 00");
  GOOD(&r);
  rig_none(&other, "00 00 00 00 00 00");
  FAILS(&other, 6, 0x2800);
  rig_none(&r, "00 00 00 00 00 00");
  GOOD(&r);
  TEST("PREVENT of any nexus holds it, until ALLOW, a reset, or the loss of that nexus");
  for (int end = 0; end < 3; end++) {
    rig_none(&other, "1e 00 00 00 01 00");
    rig_none(&r, "1b 00 00 00 02 00");
    FAILS(&r, 5, 0x5302);
    if (end == 0) rig_none(&other, "1e 00 00 00 00 00");
    if (end == 1) gt_device_reset(device);
    if (end == 2) gt_device_lose(device, other.nexus);
    rig_none(&r, "1b 00 00 00 02 00");
    GOOD(&r);
    rig_none(&r, "1b 00 00 00 03 00");
    GOOD(&r);
    rig_none(&other, "00 00 00 00 00 00");
  }
  gt_device_unref(device);
  device = open_disk("loose", false, false, 0);
  r = rig_attach(device);
  TEST("a disk that is not removable has neither");
  rig_none(&r, "1e 00 00 00 01 00");
  FAILS(&r, 5, 0x2000);
  rig_none(&r, "1b 00 00 00 02 00");
  FAILS(&r, 5, 0x2400);
  gt_device_unref(device);
}

static void protection_and_reset(void) {
  gt_device *device = open_disk("swp", false, false, 0);
  rig r = rig_attach(device);
  uint8_t list[16] = {0, 0, 0, 0, 0x0A, 10, 0, 0x10, 0x08}, data[BYTES] = {1};
  TEST("SWP of the control page protects the disk, MODE SENSE says WP, and a reset takes it back");
  rig_run(&r, "15 10 00 00 10 00", GT_DIR_OUT, list, sizeof list);
  GOOD(&r);
  static const char *const writes[] = {"2a 00 00 00 00 00 00 00 01 00", "48 02 00 00 00 00 00 00 00 00",
                                       "41 00 00 00 00 00 00 00 01 00"};
  for (size_t i = 0; i < 3; i++) {
    rig_run(&r, writes[i], GT_DIR_OUT, data, sizeof data);
    FAILS(&r, 7, 0x2702);
  }
  rig_run(&r, "1a 08 0a 00 ff 00", GT_DIR_IN, data, 255);
  CHECK_EQ(data[2], 0x90);
  gt_device_reset(device);
  rig_run(&r, writes[0], GT_DIR_OUT, data, sizeof data);
  GOOD(&r);
  rig_run(&r, "1a 08 0a 00 ff 00", GT_DIR_IN, data, 255);
  CHECK_EQ(data[2], 0x10);
  CHECK_EQ(data[8], 0);
  gt_device_unref(device);
}

/* Relative target port and group, as one number; the page is in `data`. */
static uint32_t port_in_vpd(rig *r, uint8_t data[4096]) {
  enum { SERIAL = 4, AT = 4 + 12 + 4 + 24 + SERIAL };
  memset(data, 0xEE, 4096);
  rig_run(r, "12 01 83 10 00 00", GT_DIR_IN, data, 4096);
  GOOD(r);
  CHECK(memcmp(data + AT, "\x51\x94\x00\x04\x00\x00", 6) == 0);
  CHECK(memcmp(data + AT + 8, "\x51\x95\x00\x04\x00\x00", 6) == 0);
  return (uint32_t)gt_load_be16(data + AT + 6) << 16 | gt_load_be16(data + AT + 14);
}

static void reports(void) {
  gt_device *device = open_disk("report", false, false, 0);
  rig r = rig_attach(device), other = rig_attach(device);
  uint8_t data[4096];
  const gt_port third = {3, 1, "iqn.2026-11.net.example:b,t,0x0001"}, second = {2, 1, ""}, elsewhere = {9, 2, ""};
  gt_port longest = {1, 1, ""};
  TEST(
      "each nexus finds its own target port in VPD 83h, with its name and the target's, and all of the group in REPORT "
      "TARGET PORT GROUPS");
  CHECK_EQ(port_in_vpd(&r, data), 0x00010001); /* nobody has said by which port it comes */
  gt_device_set_port(device, r.nexus, &third);
  gt_device_set_port(device, other.nexus, &second);
  rig stranger = rig_attach(device);
  gt_device_set_port(device, stranger.nexus, &elsewhere);
  CHECK_EQ(port_in_vpd(&other, data), 0x00020001);
  CHECK_EQ(gt_load_be16(data + 2), 12 + 4 + 24 + 4 + 16); /* a port without a name has no designator of it */
  CHECK_EQ(port_in_vpd(&r, data), 0x00030001);
  const uint8_t *names = data + 4 + 12 + 4 + 24 + 4 + 16;
  CHECK(memcmp(names, "\x53\x98\x00\x24iqn.2026-11.net.example:b,t,0x0001\0\0", 40) == 0);
  CHECK(memcmp(names + 40, "\x53\xa8\x00\x1ciqn.2026-11.net.example:b\0\0\0", 32) == 0);
  CHECK_EQ(data + 4 + gt_load_be16(data + 2) - names, 72);
  rig_run(&r, "a3 0a 00 00 00 00 00 00 00 ff 00 00", GT_DIR_IN, data, 255);
  GOOD(&r);
  CHECK(memcmp(data, "\0\0\0\x10\0\x01\0\x01\0\0\0\x02\0\0\0\x02\0\0\0\x03", 20) == 0);
  TEST("the longest names there are fit into the page");
  memset(longest.name, 'x', 223);
  memcpy(longest.name + 223, ",t,0x0001", 9);
  gt_device_set_port(device, r.nexus, &longest);
  CHECK_EQ(port_in_vpd(&r, data), 0x00010001);
  CHECK_EQ(data + 4 + gt_load_be16(data + 2) - names, 4 + 236 + 4 + 224);
  CHECK_EQ(names[3], 236);
  CHECK_EQ(names[4 + 236 + 3], 224);
  TEST("REPORT SUPPORTED OPERATION CODES lists what the bridge answers, which without one is refused");
  rig_run(&r, "a3 0c 03 5f 00 06 00 00 00 ff 00 00", GT_DIR_IN, data, 255);
  CHECK_EQ(data[1], 3);
  rig_run(&r, "a3 0c 01 16 00 00 00 00 00 ff 00 00", GT_DIR_IN, data, 255);
  CHECK_EQ(data[1], 3);
  rig_none(&r, "5e 00 00 00 00 00 00 00 08 00");
  FAILS(&r, 5, 0x2000);
  rig_run(&r, "a3 0d 80 00 00 00 00 00 00 ff 00 00", GT_DIR_IN, data, 255);
  CHECK(data[0] == 0xDA && data[3] == 12);
  TEST("log pages: the list of them, each of them, and nothing else");
  rig_run(&r, "4d 00 40 00 00 00 00 00 ff 00", GT_DIR_IN, data, 255);
  CHECK(memcmp(data, "\x00\x00\x00\x06\x00\x02\x03\x06\x0d\x2f", 10) == 0);
  for (int i = 4; i < 10; i++) {
    uint8_t page[255];
    rig_f(&r, GT_DIR_IN, page, sizeof page, "4d 00 %02x 00 00 0000 00ff 00", 0x40 | data[i]);
    GOOD(&r);
    CHECK_EQ(page[0], data[i]);
  }
  rig_run(&r, "4d 00 71 00 00 00 00 00 ff 00", GT_DIR_IN, data, 255);
  FAILS(&r, 5, 0x2400);
  TEST("READ DEFECT DATA: an empty list of the format that was asked for");
  rig_run(&r, "37 00 1d 00 00 00 00 00 20 00", GT_DIR_IN, data, 32);
  CHECK(data[1] == 0x1D && gt_load_be16(data + 2) == 0 && r.io.resid == 28);
  rig_run(&r, "b7 1d 00 00 00 00 00 00 00 20 00 00", GT_DIR_IN, data, 32);
  CHECK(data[1] == 0x1D && gt_load_be32(data + 4) == 0 && r.io.resid == 24);
  gt_device_unref(device);
}

int main(void) {
  rig_begin();
  overwrites();
  while_it_runs();
  failure_mode();
  atomic_writes();
  removable_medium();
  protection_and_reset();
  reports();
  return rig_end();
}
