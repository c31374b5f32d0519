/* The emulated disk, command by command, as SBC-3 and SPC-4 have it. */
#include <sys/syscall.h>

#include "scsi_rig.h"

enum { BLOCKS = 4096 };

/* The device's fdatasync is this one: counted, and failing on demand. */
static int syncs, failing_syncs;

int fdatasync(int fd) {
  syncs++;
  if (failing_syncs-- > 0) return errno = EIO, -1;
  failing_syncs = 0;
  return (int)syscall(SYS_fdatasync, fd);
}

/* And its fsync: directories are counted. */
static int synced_directories;

int fsync(int fd) {
  struct stat status;
  if (fstat(fd, &status) == 0 && S_ISDIR(status.st_mode)) synced_directories++;
  return (int)syscall(SYS_fsync, fd);
}

/* And its fallocate: that of a block device with larger blocks, on demand. */
static bool larger_blocks;

int fallocate(int fd, int mode, off_t offset, off_t length) {
  if (larger_blocks) return errno = EINVAL, -1;
  return (int)syscall(SYS_fallocate, fd, mode, offset, length);
}

static gt_device *open_disk(const char *name, uint32_t block_bytes, bool thin, bool read_only) {
  gt_device *device = NULL;
  char err[200] = "";
  gt_disk_options options = {.path = rig_path(name),
                             .block_bytes = block_bytes,
                             .blocks = BLOCKS,
                             .serial = "SN-1",
                             .thin = thin,
                             .read_only = read_only};
  CHECK_EQ(gt_disk_open(&options, &device, err, sizeof err), 0);
  if (!device) printf("%s\n", err), exit(1);
  return device;
}

static void identification(rig *r) {
  uint8_t data[256];
  TEST("INQUIRY names a direct-access device that claims SPC-4, and says how much there was");
  rig_run(r, "12 00 00 00 ff 00", GT_DIR_IN, data, 255);
  GOOD(r);
  CHECK_EQ(data[0], 0);
  CHECK_EQ(data[2], 6);
  CHECK_EQ(data[4] + 5, 96);
  CHECK_EQ(r->io.resid, 255 - 96);
  CHECK(memcmp(data + 8, "GANTRY  DISK            1   ", 28) == 0);
  TEST("an allocation length shorter than the data cuts it; less room than that is a negative residual");
  rig_run(r, "12 00 00 00 24 00", GT_DIR_IN, data, 36);
  CHECK_EQ(r->io.resid, 0);
  rig_run(r, "12 00 00 00 24 00", GT_DIR_IN, data, 10);
  CHECK_EQ(r->io.resid, -26);
  TEST("vital product data: supported pages, serial, NAA and T10 names of the same unit");
  rig_run(r, "12 01 00 00 ff 00", GT_DIR_IN, data, 255);
  CHECK(memcmp(data, "\x00\x00\x00\x08\x00\x80\x83\x85\x86\xb0\xb1\xb2", 12) == 0);
  rig_run(r, "12 01 80 00 ff 00", GT_DIR_IN, data, 255);
  CHECK(memcmp(data, "\x00\x80\x00\x04SN-1", 8) == 0);
  rig_run(r, "12 01 83 00 ff 00", GT_DIR_IN, data, 255);
  CHECK_EQ(gt_load_be16(data + 2), 12 + 4 + 24 + 4 + 8 + 8);
  CHECK(memcmp(data + 4, "\x01\x03\x00\x08", 4) == 0);
  CHECK_EQ(data[8] >> 4, 3);
  CHECK(memcmp(data + 16, "\x02\x01\x00\x1cGANTRY  DISK            SN-1", 32) == 0);
  TEST("a page that is not there, and a page code without EVPD, are invalid fields");
  rig_run(r, "12 01 b7 00 ff 00", GT_DIR_IN, data, 255);
  FAILS(r, 5, 0x2400);
  rig_run(r, "12 00 80 00 ff 00", GT_DIR_IN, data, 255);
  FAILS(r, 5, 0x2400);
  CHECK(r->sense.has_field && r->sense.field_in_cdb && r->sense.field_byte == 2);
}

static void refusals(rig *r) {
  uint8_t data[4096];
  TEST("an operation code without a row is INVALID COMMAND OPERATION CODE");
  rig_none(r, "a4 00 00 00 00 00 00 00 00 00 00 00");
  FAILS(r, 5, 0x2000);
  TEST("a service action without a row, a reserved bit and NACA are INVALID FIELD IN CDB, with the place");
  rig_none(r, "9e 1f 00 00 00 00 00 00 00 00 00 00 00 20 00 00");
  FAILS(r, 5, 0x2400);
  rig_run(r, "28 20 00 00 00 00 00 00 01 00", GT_DIR_IN, data, 512); /* RDPROTECT */
  FAILS(r, 5, 0x2400);
  CHECK(r->sense.field_byte == 1 && r->sense.field_bit == 5);
  rig_none(r, "00 00 00 00 00 04");
  FAILS(r, 5, 0x2400);
  TEST("a CDB cut short is refused, and never read past its end");
  rig_run(r, "28 00 00 00 00 00", GT_DIR_IN, data, 512);
  FAILS(r, 5, 0x2400);
  TEST("the first block past the end is LBA OUT OF RANGE, in every CDB format");
  static const char *const past[] = {
      "08 00 10 00 01 00",
      "28 00 00 00 10 00 00 00 01 00",
      "28 00 00 00 0f ff 00 00 02 00",
      "a8 00 00 00 10 00 00 00 00 01 00 00",
      "88 00 00 00 00 00 00 00 10 00 00 00 00 01 00 00",
      "88 00 ff ff ff ff ff ff ff ff 00 00 00 01 00 00",
      "88 00 00 00 00 00 00 00 00 01 ff ff ff ff 00 00",
      "35 00 00 00 10 00 00 00 00 00",
      "2f 00 00 00 0f ff 00 00 02 00",
      "34 00 00 00 10 00 00 00 01 00",
      "9e 12 00 00 00 00 00 00 10 00 00 00 00 20 00 00",
  };
  for (size_t i = 0; i < sizeof past / sizeof *past; i++) {
    rig_run(r, past[i], GT_DIR_IN, data, sizeof data);
    FAILS(r, 5, 0x2100);
  }
  TEST("the last block can be read, and a transfer of no blocks moves nothing");
  rig_run(r, "28 00 00 00 0f ff 00 00 01 00", GT_DIR_IN, data, sizeof data);
  GOOD(r);
  rig_run(r, "28 00 00 00 0f ff 00 00 00 00", GT_DIR_IN, data, 512);
  GOOD(r);
  CHECK_EQ(r->io.resid, 512);
  TEST("a write that offers less data than its CDB says writes the blocks that came, and the rest is an overflow");
  memset(data, 0xEE, sizeof data);
  rig_run(r, "2a 00 00 00 00 05 00 00 02 00", GT_DIR_OUT, data, 512);
  GOOD(r);
  CHECK_EQ(r->io.resid, -512);
  rig_run(r, "28 00 00 00 00 05 00 00 01 00", GT_DIR_IN, data, sizeof data);
  CHECK_EQ(data[0], 0xEE);
  rig_run(r, "28 00 00 00 00 06 00 00 01 00", GT_DIR_IN, data, sizeof data);
  CHECK_EQ(data[0], 0);
  TEST("a write that offers a part of a block writes that, and the rest of the block stays");
  memset(data, 0xDD, sizeof data);
  rig_run(r, "2a 00 00 00 00 05 00 00 01 00", GT_DIR_OUT, data, 200);
  GOOD(r);
  CHECK_EQ(r->io.resid, -312);
  rig_run(r, "28 00 00 00 00 05 00 00 01 00", GT_DIR_IN, data, sizeof data);
  CHECK(data[0] == 0xDD && data[199] == 0xDD && data[200] == 0xEE && data[511] == 0xEE);
  TEST("what is verified or compared comes in blocks: INVALID FIELD IN COMMAND INFORMATION UNIT, and nothing is "
       "written");
  memset(data, 0xCC, sizeof data);
  rig_run(r, "2e 00 00 00 00 05 00 00 01 00", GT_DIR_OUT, data, 200);
  FAILS(r, 5, 0x0E03);
  CHECK_EQ(r->io.resid, -312);
  rig_run(r, "28 00 00 00 00 05 00 00 01 00", GT_DIR_IN, data, sizeof data);
  CHECK_EQ(data[0], 0xDD);
}

static void data_path(rig *r, uint32_t block_bytes) {
  uint32_t bytes = 8 * block_bytes;
  uint8_t *out = malloc(bytes), *in = malloc(bytes);
  fill(out, bytes, block_bytes);
  TEST("what WRITE 6, 10, 12 and 16 (FUA too) write, READ 6, 10, 12 and 16 read");
  static const char *const writes[] = {"0a 00 00 40 08 00", "2a 08 00 00 00 80 00 00 08 00",
                                       "aa 10 00 00 01 00 00 00 00 08 00 00",
                                       "8a 18 00 00 00 00 00 00 02 00 00 00 00 08 00 00"};
  static const char *const reads[] = {"08 00 00 40 08 00", "28 10 00 00 00 80 00 00 08 00",
                                      "a8 08 00 00 01 00 00 00 00 08 00 00",
                                      "88 18 00 00 00 00 00 00 02 00 00 00 00 08 00 00"};
  for (size_t i = 0; i < 4; i++) {
    out[0] = (uint8_t)i;
    rig_run(r, writes[i], GT_DIR_OUT, out, bytes);
    GOOD(r);
    CHECK_EQ(r->io.resid, 0);
    memset(in, 0, bytes);
    rig_run(r, reads[i], GT_DIR_IN, in, bytes);
    GOOD(r);
    CHECK_EQ(r->io.resid, 0);
    CHECK(memcmp(in, out, bytes) == 0);
  }
  TEST("a read with less room gives as much as fits, and a negative residual");
  memset(in, 0x77, bytes);
  rig_run(r, reads[1], GT_DIR_IN, in, 3 * block_bytes);
  GOOD(r);
  CHECK_EQ(r->io.resid, -(int)(5 * block_bytes));
  CHECK_EQ(in[3 * block_bytes], 0x77);
  TEST("READ CAPACITY 10 and 16 tell the last LBA and the block length");
  rig_run(r, "25 00 00 00 00 00 00 00 00 00", GT_DIR_IN, in, 8);
  CHECK_EQ(gt_load_be32(in), BLOCKS - 1);
  CHECK_EQ(gt_load_be32(in + 4), block_bytes);
  rig_run(r, "9e 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00", GT_DIR_IN, in, 32);
  CHECK_EQ(gt_load_be64(in), BLOCKS - 1);
  CHECK_EQ(in[13], block_bytes == 512 ? 3 : 0);
  free(out), free(in);
}

static void verifying(rig *r) {
  uint8_t data[2048], other[2048];
  fill(data, sizeof data, 7);
  memcpy(other, data, sizeof other);
  rig_run(r, "2a 00 00 00 00 20 00 00 04 00", GT_DIR_OUT, data, sizeof data);
  TEST("VERIFY: BYTCHK 0 reads, 1 compares all, 3 compares one block with each, 2 is reserved");
  rig_none(r, "2f 00 00 00 00 20 00 00 04 00");
  GOOD(r);
  rig_run(r, "2f 02 00 00 00 20 00 00 04 00", GT_DIR_OUT, data, sizeof data);
  GOOD(r);
  other[2047] ^= 1;
  rig_run(r, "8f 02 00 00 00 00 00 00 00 20 00 00 00 04 00 00", GT_DIR_OUT, other, sizeof other);
  FAILS(r, 0xE, 0x1D00);
  rig_run(r, "2f 06 00 00 00 20 00 00 04 00", GT_DIR_OUT, data, 512);
  FAILS(r, 0xE, 0x1D00);
  rig_run(r, "2f 06 00 00 00 20 00 00 01 00", GT_DIR_OUT, data, 512);
  GOOD(r);
  rig_run(r, "2f 04 00 00 00 20 00 00 01 00", GT_DIR_OUT, data, 512);
  FAILS(r, 5, 0x2400);
  TEST("WRITE AND VERIFY writes and compares");
  rig_run(r, "2e 02 00 00 00 30 00 00 04 00", GT_DIR_OUT, other, sizeof other);
  GOOD(r);
  rig_run(r, "28 00 00 00 00 30 00 00 04 00", GT_DIR_IN, data, sizeof data);
  CHECK(memcmp(data, other, sizeof data) == 0);
  TEST("COMPARE AND WRITE writes only where the blocks are as given, and else says the first differing byte");
  uint8_t both[2048];
  memcpy(both, other, 1024);
  fill(both + 1024, 1024, 99);
  const char *caw = "89 00 00 00 00 00 00 00 00 30 00 00 00 02 00 00";
  rig_run(r, caw, GT_DIR_OUT, both, sizeof both);
  GOOD(r);
  memcpy(both, both + 1024, 1024);
  both[700] ^= 0x10;
  both[900] ^= 0x10;
  rig_run(r, caw, GT_DIR_OUT, both, sizeof both);
  FAILS(r, 0xE, 0x1D00);
  CHECK(r->sense.has_information);
  CHECK_EQ(r->sense.information, 700);
  rig_run(r, "28 00 00 00 00 30 00 00 02 00", GT_DIR_IN, data, 1024);
  CHECK(memcmp(data, both + 1024, 1024) == 0);
  TEST("ORWRITE sets bits and clears none");
  memset(other, 0x0F, 512);
  rig_run(r, "8b 00 00 00 00 00 00 00 00 30 00 00 00 01 00 00", GT_DIR_OUT, other, 512);
  GOOD(r);
  rig_run(r, "28 00 00 00 00 30 00 00 01 00", GT_DIR_IN, data, 512);
  CHECK_EQ(data[5], both[1024 + 5] | 0x0F);
}

static void thin_provisioning(rig *r) {
  uint8_t data[65536], list[40] = {0};
  TEST("WRITE SAME writes one block many times; a length of zero is refused (WSNZ)");
  fill(data, 512, 3);
  rig_run(r, "41 00 00 00 02 00 00 02 bc 00", GT_DIR_OUT, data, 512);
  GOOD(r);
  rig_run(r, "28 00 00 00 04 bb 00 00 01 00", GT_DIR_IN, data + 512, 512);
  CHECK(memcmp(data, data + 512, 512) == 0);
  rig_run(r, "28 00 00 00 04 bc 00 00 01 00", GT_DIR_IN, data + 512, 512);
  CHECK(memcmp(data, data + 512, 512) != 0);
  rig_run(r, "41 00 00 00 02 00 00 00 00 00", GT_DIR_OUT, data, 512);
  FAILS(r, 5, 0x2400);
  TEST("WRITE SAME: ANCHOR is refused; UNMAP of a block other than zeros writes it; NDOB needs no data");
  rig_run(r, "93 18 00 00 00 00 00 00 02 00 00 00 00 08 00 00", GT_DIR_OUT, data, 512);
  FAILS(r, 5, 0x2400);
  rig_run(r, "93 08 00 00 00 00 00 00 02 00 00 00 00 08 00 00", GT_DIR_OUT, data, 512);
  GOOD(r);
  rig_run(r, "28 00 00 00 02 07 00 00 01 00", GT_DIR_IN, data + 512, 512);
  CHECK(memcmp(data, data + 512, 512) == 0);
  rig_none(r, "93 01 00 00 00 00 00 00 02 00 00 00 00 04 00 00");
  GOOD(r);
  rig_run(r, "28 00 00 00 02 03 00 00 02 00", GT_DIR_IN, data + 512, 1024);
  CHECK(data[512] == 0 && memcmp(data + 512, data + 513, 511) == 0);
  CHECK(memcmp(data, data + 1024, 512) == 0);
  TEST("UNMAP makes blocks read as zeros and GET LBA STATUS say deallocated; every descriptor is judged first");
  rig_run(r, "41 00 00 00 04 00 00 02 00 00", GT_DIR_OUT, data, 512);
  gt_store_be16(list, 38), gt_store_be16(list + 2, 32);
  gt_store_be64(list + 8, 0x400), gt_store_be32(list + 16, 0x100);
  gt_store_be64(list + 24, BLOCKS - 1), gt_store_be32(list + 32, 2);
  rig_run(r, "42 00 00 00 00 00 00 00 28 00", GT_DIR_OUT, list, sizeof list);
  FAILS(r, 5, 0x2100);
  rig_run(r, "28 00 00 00 04 00 00 00 01 00", GT_DIR_IN, data + 512, 512);
  CHECK(memcmp(data, data + 512, 512) == 0);
  gt_store_be32(list + 32, 1);
  rig_run(r, "42 00 00 00 00 00 00 00 28 00", GT_DIR_OUT, list, sizeof list);
  GOOD(r);
  rig_run(r, "28 00 00 00 04 ff 00 00 02 00", GT_DIR_IN, data + 512, 1024);
  CHECK(data[512] == 0 && memcmp(data + 512, data + 513, 511) == 0);
  CHECK(memcmp(data, data + 1024, 512) == 0);
  rig_run(r, "9e 12 00 00 00 00 00 00 04 00 00 00 00 28 00 00", GT_DIR_IN, data, 40);
  GOOD(r);
  CHECK_EQ(gt_load_be32(data), 36);
  CHECK_EQ(gt_load_be64(data + 8), 0x400);
  CHECK_EQ(gt_load_be32(data + 16), 0x100);
  CHECK_EQ(data[20], 1);
  CHECK_EQ(gt_load_be64(data + 24), 0x500);
  CHECK_EQ(data[36], 0);
  TEST("where no hole of that size can be made, as on a block device with larger blocks, UNMAP writes zeros");
  fill(data, 512, 9);
  rig_run(r, "41 00 00 00 04 00 00 01 00 00", GT_DIR_OUT, data, 512);
  GOOD(r);
  larger_blocks = true;
  gt_store_be16(list, 22), gt_store_be16(list + 2, 16);
  gt_store_be64(list + 8, 0x403), gt_store_be32(list + 16, 2);
  rig_run(r, "42 00 00 00 00 00 00 00 18 00", GT_DIR_OUT, list, 24);
  GOOD(r);
  larger_blocks = false;
  rig_run(r, "28 00 00 00 04 02 00 00 04 00", GT_DIR_IN, data + 512, 2048);
  CHECK(memcmp(data, data + 512, 512) == 0 && memcmp(data, data + 2048, 512) == 0);
  CHECK(data[1024] == 0 && memcmp(data + 1024, data + 1025, 1023) == 0);
  gt_store_be16(list + 2, 32);
  TEST("UNMAP: no list does nothing; a list shorter than it says, and ANCHOR, are refused");
  rig_none(r, "42 00 00 00 00 00 00 00 00 00");
  GOOD(r);
  rig_run(r, "42 00 00 00 00 00 00 00 04 00", GT_DIR_OUT, list, 4);
  FAILS(r, 5, 0x1A00);
  rig_run(r, "42 00 00 00 00 00 00 00 18 00", GT_DIR_OUT, list, 24);
  FAILS(r, 5, 0x1A00);
  rig_run(r, "42 01 00 00 00 00 00 00 28 00", GT_DIR_OUT, list, 40);
  FAILS(r, 5, 0x2400);
}

static void thick_and_protected(void) {
  uint8_t data[512] = {0};
  TEST("a disk that is not thin has no UNMAP, in its table or in the report of it");
  gt_device *thick = open_disk("thick.img", 512, false, false);
  rig r = rig_attach(thick);
  rig_run(&r, "42 00 00 00 00 00 00 00 08 00", GT_DIR_OUT, data, 8);
  FAILS(&r, 5, 0x2000);
  rig_run(&r, "a3 0c 01 42 00 00 00 00 02 00 00 00", GT_DIR_IN, data, 512);
  CHECK_EQ(data[1] & 7, 1);
  rig_run(&r, "41 08 00 00 00 00 00 00 01 00", GT_DIR_OUT, data, 512);
  FAILS(&r, 5, 0x2400);
  gt_device_unref(thick);
  TEST("a read-only disk answers every write with DATA PROTECT, and says WP in MODE SENSE");
  gt_device *protected = open_disk("thick.img", 512, true, true);
  r = rig_attach(protected);
  static const char *const writes[] = {"2a 00 00 00 00 00 00 00 01 00", "41 00 00 00 00 00 00 00 01 00",
                                       "42 00 00 00 00 00 00 00 08 00",
                                       "89 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00"};
  for (size_t i = 0; i < 4; i++) {
    rig_run(&r, writes[i], GT_DIR_OUT, data, 512);
    FAILS(&r, 7, 0x2700);
  }
  rig_run(&r, "1a 08 3f 00 ff 00", GT_DIR_IN, data, 255);
  CHECK_EQ(data[2], 0x90);
  gt_device_unref(protected);
}

static void modes(rig *r) {
  uint8_t data[256];
  TEST("MODE SENSE gives header, block descriptor and pages; saved values are not supported");
  rig_run(r, "1a 00 3f 00 ff 00", GT_DIR_IN, data, 255);
  GOOD(r);
  CHECK_EQ(data[0] + 1, 4 + 8 + 12 + 16 + 20 + 12 + 12);
  CHECK_EQ(data[3], 8);
  CHECK_EQ(gt_load_be32(data + 4), BLOCKS);
  CHECK_EQ(gt_load_be24(data + 9), 512);
  static const uint8_t pages[] = {0x01, 0x02, 0x08, 0x0A, 0x1C};
  for (size_t i = 0, at = 12; i < sizeof pages; at += data[at + 1] + 2u, i++)
    CHECK_EQ(data[at], pages[i]);
  rig_run(r, "1a 00 ff 00 ff 00", GT_DIR_IN, data, 255);
  FAILS(r, 5, 0x3900);
  rig_run(r, "1a 00 03 00 ff 00", GT_DIR_IN, data, 255);
  FAILS(r, 5, 0x2400);
  TEST("MODE SELECT of D_SENSE: the next sense data has descriptor format, and other nexuses are told");
  rig other = rig_attach(r->device);
  uint8_t list[16] = {0, 0, 0, 0, 0x0A, 10, 0x04, 0x10};
  rig_run(r, "15 10 00 00 10 00", GT_DIR_OUT, list, sizeof list);
  GOOD(r);
  rig_none(r, "28 00 00 00 10 00 00 00 01 00");
  FAILS(r, 5, 0x2100);
  CHECK_EQ(r->io.sense[0], 0x72);
  rig_none(&other, "00 00 00 00 00 00");
  FAILS(&other, 6, 0x2A01);
  rig_none(&other, "00 00 00 00 00 00");
  GOOD(&other);
  gt_device_detach(other.device, other.nexus);
  TEST("MODE SELECT that changes what cannot be changed, or is cut short, is refused whole");
  list[6] = 0, list[7] = 0x20;
  rig_run(r, "15 10 00 00 10 00", GT_DIR_OUT, list, sizeof list);
  FAILS(r, 5, 0x2600);
  CHECK(!r->sense.field_in_cdb && r->sense.field_byte == 7);
  list[7] = 0x10;
  rig_run(r, "15 10 00 00 0c 00", GT_DIR_OUT, list, 12);
  FAILS(r, 5, 0x1A00);
  rig_run(r, "15 11 00 00 10 00", GT_DIR_OUT, list, sizeof list);
  FAILS(r, 5, 0x2400);
  rig_none(r, "28 00 00 00 10 00 00 00 01 00");
  CHECK_EQ(r->io.sense[0], 0x72);
  rig_run(r, "55 10 00 00 00 00 00 00 14 00", GT_DIR_OUT, (uint8_t[20]){[8] = 0x0A, 10, 0, 0x10}, 20);
  GOOD(r);
  rig_none(r, "28 00 00 00 10 00 00 00 01 00");
  CHECK_EQ(r->io.sense[0], 0x70);
}

static void attentions_and_reports(gt_device *device) {
  uint8_t data[2048];
  rig r = {.device = device, .nexus = gt_device_attach(device)};
  TEST("a new nexus has UNIT ATTENTION 29h; INQUIRY and REPORT LUNS pass it by, REQUEST SENSE takes it");
  rig_run(&r, "12 00 00 00 24 00", GT_DIR_IN, data, 36);
  GOOD(&r);
  rig_run(&r, "a0 00 00 00 00 00 00 00 00 10 00 00", GT_DIR_IN, data, 16);
  GOOD(&r);
  CHECK_EQ(gt_load_be32(data), 8);
  rig_run(&r, "03 00 00 00 12 00", GT_DIR_IN, data, 18);
  GOOD(&r);
  CHECK_EQ(data[2], 6);
  CHECK_EQ(gt_load_be16(data + 12), 0x2900);
  rig_run(&r, "03 01 00 00 ff 00", GT_DIR_IN, data, 255);
  CHECK_EQ(data[0], 0x72);
  CHECK_EQ(data[1], 0);
  rig_none(&r, "00 00 00 00 00 00");
  GOOD(&r);
  TEST("REPORT SUPPORTED OPERATION CODES: all of them, one with its usage bits, one that is not there");
  rig_run(&r, "a3 0c 00 00 00 00 00 00 08 00 00 00", GT_DIR_IN, data, sizeof data);
  GOOD(&r);
  uint32_t length = gt_load_be32(data);
  CHECK(length % 8 == 0 && length / 8 > 30);
  rig_run(&r, "a3 0c 01 2a 00 00 00 00 08 00 00 00", GT_DIR_IN, data, sizeof data);
  CHECK(memcmp(data, "\x00\x03\x00\x0a\x2a\x18\xff\xff\xff\xff\x1f\xff\xff\x00", 14) == 0);
  rig_run(&r, "a3 0c 02 9e 00 10 00 00 08 00 00 00", GT_DIR_IN, data, sizeof data);
  CHECK_EQ(data[1] & 7, 3);
  CHECK_EQ(data[5], 0x10);
  rig_run(&r, "a3 0c 01 9e 00 00 00 00 08 00 00 00", GT_DIR_IN, data, sizeof data);
  FAILS(&r, 5, 0x2400);
  rig_run(&r, "a3 0c 03 88 00 00 00 00 08 00 00 00", GT_DIR_IN, data, sizeof data);
  CHECK_EQ(data[1] & 7, 3);
  rig_run(&r, "a3 0c 01 a4 00 00 00 00 08 00 00 00", GT_DIR_IN, data, sizeof data);
  CHECK_EQ(data[1] & 7, 1);
  TEST("a stopped unit is not ready until it is started");
  rig_none(&r, "1b 00 00 00 00 00");
  GOOD(&r);
  rig_run(&r, "28 00 00 00 00 00 00 00 01 00", GT_DIR_IN, data, 512);
  FAILS(&r, 2, 0x0402);
  rig_none(&r, "1b 00 00 00 01 00");
  rig_run(&r, "28 00 00 00 00 00 00 00 01 00", GT_DIR_IN, data, 512);
  GOOD(&r);
  gt_device_detach(device, r.nexus);
}

static void faults(rig *r) {
  uint8_t data[16 * 512];
  TEST("a fault takes the commands that touch its blocks, after those it lets pass, and then no more");
  gt_fault fault = {
      .opcode = GT_READ_10, .first = 100, .last = 101, .skip = 1, .count = 2, .status = 2, .key = 3, .asc = 0x11};
  CHECK_EQ(gt_device_inject(r->device, &fault), 0);
  const char *touching = "28 00 00 00 00 60 00 00 10 00";
  rig_run(r, "28 00 00 00 00 50 00 00 10 00", GT_DIR_IN, data, sizeof data);
  GOOD(r);
  rig_run(r, touching, GT_DIR_IN, data, sizeof data);
  GOOD(r);
  for (int i = 0; i < 2; i++) {
    rig_run(r, touching, GT_DIR_IN, data, sizeof data);
    FAILS(r, 3, 0x1100);
    CHECK(r->sense.has_information && r->sense.information == 100);
    CHECK_EQ(r->io.resid, sizeof data);
  }
  rig_run(r, touching, GT_DIR_IN, data, sizeof data);
  GOOD(r);
  TEST("a fault afterwards has done the work: the answer is lost, not the data");
  fault = (gt_fault){.opcode = GT_WRITE_10, .last = UINT64_MAX, .count = 1, .outcome = GT_TRANSPORT, .after = true};
  CHECK_EQ(gt_device_inject(r->device, &fault), 0);
  fill(data, 512, 4711);
  rig_run(r, "2a 00 00 00 00 60 00 00 01 00", GT_DIR_OUT, data, 512);
  CHECK_EQ(r->io.outcome, GT_TRANSPORT);
  rig_run(r, "28 00 00 00 00 60 00 00 01 00", GT_DIR_IN, data + 512, 512);
  CHECK(memcmp(data, data + 512, 512) == 0);
  TEST("a deferred error says so; BUSY is a status and no sense; faults without LBA go by opcode");
  fault = (gt_fault){.opcode = 0, .count = 1, .status = 2, .key = 3, .asc = 0x0C, .deferred = true};
  CHECK_EQ(gt_device_inject(r->device, &fault), 0);
  fault = (gt_fault){.opcode = 0xFFFF, .last = UINT64_MAX, .count = 1, .status = 8};
  CHECK_EQ(gt_device_inject(r->device, &fault), 0);
  rig_none(r, "00 00 00 00 00 00");
  FAILS(r, 3, 0x0C00);
  CHECK_EQ(r->io.sense[0] & 0x7F, 0x71);
  rig_none(r, "00 00 00 00 00 00");
  CHECK(r->io.status == 8 && r->io.sense_len == 0);
  rig_none(r, "00 00 00 00 00 00");
  GOOD(r);
  TEST("wrong faults are refused, too many are refused, and all of them can be cleared");
  CHECK_EQ(gt_device_inject(r->device, &(gt_fault){.first = 2, .last = 1, .count = 1}), -EINVAL);
  int taken = 0;
  while (gt_device_inject(r->device, &fault) == 0)
    taken++;
  CHECK_EQ(taken, 64);
  gt_device_clear_faults(r->device);
  rig_none(r, "00 00 00 00 00 00");
  GOOD(r);
}

/* Writers of whole generations to one block, a comparer that counts it up: nothing is ever lost or torn. */
typedef struct counter {
  gt_device *device;
  int wins;
} counter;

static void *count_up(void *argument) {
  counter *self = argument;
  rig r = rig_attach(self->device);
  uint8_t both[1024] = {0};
  for (uint64_t tries = 0; self->wins < 5000 && tries < 10000000; tries++) {
    gt_store_be64(both + 512, gt_load_be64(both) + 1);
    if (rig_run(&r, "89 00 00 00 00 00 00 00 03 00 00 00 00 01 00 00", GT_DIR_OUT, both, 1024) == 0) self->wins++;
    rig_run(&r, "28 00 00 00 03 00 00 00 01 00", GT_DIR_IN, both, 512);
  }
  gt_device_detach(self->device, r.nexus);
  return NULL;
}

static void two_nexuses(gt_device *device, rig *r) {
  TEST("two nexuses count one block up by COMPARE AND WRITE, and no count is lost");
  uint8_t zeros[512] = {0};
  rig_run(r, "2a 00 00 00 03 00 00 00 01 00", GT_DIR_OUT, zeros, 512);
  pthread_t threads[2];
  counter counters[2] = {{device, 0}, {device, 0}};
  for (int i = 0; i < 2; i++)
    pthread_create(&threads[i], NULL, count_up, &counters[i]);
  for (int i = 0; i < 2; i++)
    pthread_join(threads[i], NULL);
  rig_run(r, "28 00 00 00 03 00 00 00 01 00", GT_DIR_IN, zeros, 512);
  CHECK_EQ(gt_load_be64(zeros), 10000);
}

static void durability(void) {
  TEST("the name of a disk's file is made durable before the first command");
  synced_directories = 0;
  gt_device_unref(open_disk("named", 512, false, false));
  CHECK_EQ(synced_directories, 1);
  gt_device *device = open_disk("sync.img", 512, false, false);
  rig r = rig_attach(device);
  uint8_t data[512] = {0};
  TEST("FUA and SYNCHRONIZE CACHE synchronize, a plain write does not, and with WCE off every write does");
  syncs = 0;
  rig_run(&r, "2a 00 00 00 00 00 00 00 01 00", GT_DIR_OUT, data, 512);
  CHECK_EQ(syncs, 0);
  rig_run(&r, "2a 08 00 00 00 00 00 00 01 00", GT_DIR_OUT, data, 512);
  CHECK_EQ(syncs, 1);
  rig_none(&r, "35 00 00 00 00 00 00 00 00 00");
  CHECK_EQ(syncs, 2);
  uint8_t list[24] = {0, 0, 0, 0, 0x08, 18};
  rig_run(&r, "15 10 00 00 18 00", GT_DIR_OUT, list, sizeof list);
  GOOD(&r);
  rig_run(&r, "0a 00 00 00 01 00", GT_DIR_OUT, data, 512);
  CHECK_EQ(syncs, 3);
  rig_run(&r, "41 00 00 00 00 00 00 00 01 00", GT_DIR_OUT, data, 512);
  CHECK_EQ(syncs, 4);
  TEST("a synchronization that failed once fails from then on: what was lost is never reported as safe");
  failing_syncs = 1;
  rig_none(&r, "35 00 00 00 00 00 00 00 00 00");
  FAILS(&r, 3, 0x0C00);
  rig_none(&r, "35 00 00 00 00 00 00 00 00 00");
  FAILS(&r, 3, 0x0C00);
  gt_device_unref(device);
}

static void opening(void) {
  gt_device *device = NULL;
  char err[200] = "";
  TEST("opening: a wrong block length, a size that is not the file's and a missing file are errors in words");
  gt_disk_options options = {.path = rig_path("a.img"), .block_bytes = 520, .blocks = 1};
  CHECK_EQ(gt_disk_open(&options, &device, err, sizeof err), -EINVAL);
  CHECK(strstr(err, "520"));
  options.block_bytes = 512;
  CHECK_EQ(gt_disk_open(&options, &device, err, sizeof err), -EINVAL);
  CHECK(strstr(err, "bytes"));
  options.blocks = 0;
  options.path = rig_path("missing.img");
  CHECK_EQ(gt_disk_open(&options, &device, err, sizeof err), -ENOENT);
  CHECK(device == NULL);
  TEST("a file cut behind the disk's back: LBA OUT OF RANGE, with the first missing block");
  device = open_disk("cut.img", 512, false, false);
  rig r = rig_attach(device);
  uint8_t data[4096];
  CHECK_EQ(truncate(rig_path("cut.img"), 10 * 512), 0);
  rig_run(&r, "28 00 00 00 00 08 00 00 08 00", GT_DIR_IN, data, sizeof data);
  FAILS(&r, 5, 0x2100);
  CHECK_EQ(r.sense.information, 10);
  CHECK_EQ(r.io.resid, 6 * 512);
  gt_device_unref(device);
}

int main(void) {
  rig_begin();
  gt_device *disk = open_disk("a.img", 512, true, false);
  rig r = rig_attach(disk);
  identification(&r);
  refusals(&r);
  data_path(&r, 512);
  verifying(&r);
  thin_provisioning(&r);
  modes(&r);
  attentions_and_reports(disk);
  faults(&r);
  two_nexuses(disk, &r);
  gt_device_unref(disk);
  disk = open_disk("b.img", 4096, true, false);
  r = rig_attach(disk);
  data_path(&r, 4096);
  gt_device_unref(disk);
  thick_and_protected();
  durability();
  opening();
  return rig_end();
}
