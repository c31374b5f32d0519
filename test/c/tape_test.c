/* The emulated tape drive, command by command, as SSC-4 has it. */
#include <sys/syscall.h>

#include "scsi_rig.h"

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

static gt_device *open_tape(void) {
  gt_device *device = NULL;
  char err[200] = "";
  CHECK_EQ(gt_tape_open(&(gt_tape_options){.serial = "T-1"}, &device, err, sizeof err), 0);
  if (!device) printf("%s\n", err), exit(1);
  return device;
}

static void load(rig *r, gt_cartridge_options options) {
  char err[200] = "";
  options.path = options.path ? options.path : rig_path("a.tap");
  CHECK_EQ(gt_tape_load(r->device, &options, err, sizeof err), 0);
  if (err[0]) printf("%s\n", err);
  rig_none(r, "00 00 00 00 00 00");
  FAILS(r, 6, 0x2800);
}

static void fresh(rig *r, gt_cartridge_options options) {
  unlink(rig_path("a.tap"));
  unlink(rig_path("a.tap.idx"));
  load(r, options);
}

static void eject(rig *r) { CHECK_EQ(gt_tape_unload(r->device), 0); }

/* Where the head is, by the long form: object and file numbers. */
static uint64_t object(rig *r) {
  uint8_t data[32];
  rig saved = *r;
  rig_run(r, "34 06 00 00 00 00 00 00 00 00", GT_DIR_IN, data, sizeof data);
  GOOD(r);
  *r = saved;
  return gt_load_be64(data + 8);
}

static uint64_t file(rig *r) {
  uint8_t data[32];
  rig saved = *r;
  rig_run(r, "34 06 00 00 00 00 00 00 00 00", GT_DIR_IN, data, sizeof data);
  *r = saved;
  return gt_load_be64(data + 16);
}

static uint8_t write_block(rig *r, uint32_t length, uint32_t seed) {
  uint8_t *data = malloc(length);
  fill(data, length, seed);
  rig_f(r, GT_DIR_OUT, data, length, "0a 00 %06x 00", length);
  free(data);
  return r->io.status;
}

/* Reads a block of exactly this length and content. */
static bool reads_block(rig *r, uint32_t length, uint32_t seed) {
  uint8_t *data = malloc(length), *want = malloc(length);
  fill(want, length, seed);
  rig_f(r, GT_DIR_IN, data, length, "08 00 %06x 00", length);
  bool same = rig_good(r) && r->io.resid == 0 && memcmp(data, want, length) == 0;
  free(data), free(want);
  return same;
}

static void marks(rig *r, uint32_t count) {
  rig_f(r, GT_DIR_NONE, NULL, 0, "10 00 %06x 00", count);
  GOOD(r);
}

static void rewind_tape(rig *r) {
  rig_none(r, "01 00 00 00 00 00");
  GOOD(r);
}

static void set_block_length(rig *r, uint32_t length, uint8_t specific) {
  uint8_t list[12] = {0, 0, specific, 8};
  gt_store_be24(list + 9, length);
  rig_run(r, "15 10 00 00 0c 00", GT_DIR_OUT, list, sizeof list);
  GOOD(r);
}

#define INFORMATION(r, number) CHECK((r)->sense.has_information && (int64_t)(r)->sense.information == (number))

static void without_medium(rig *r) {
  uint8_t data[256];
  TEST("without a cartridge every command on the medium is NOT READY, MEDIUM NOT PRESENT; the others work");
  static const char *const needing[] = {"00 00 00 00 00 00", "01 00 00 00 00 00", "08 00 00 02 00 00",
                                        "10 00 00 00 01 00", "34 00 00 00 00 00 00 00 00 00"};
  for (size_t i = 0; i < 5; i++) {
    rig_run(r, needing[i], GT_DIR_IN, data, 255);
    FAILS(r, 2, 0x3A00);
  }
  CHECK_EQ(gt_tape_unload(r->device), -ENOMEDIUM);
  rig_run(r, "12 00 00 00 ff 00", GT_DIR_IN, data, 255);
  GOOD(r);
  CHECK(data[0] == 1 && data[1] == 0x80);
  rig_run(r, "05 00 00 00 00 00", GT_DIR_IN, data, 6);
  GOOD(r);
  CHECK(memcmp(data, "\x00\x80\x00\x00\x00\x01", 6) == 0);
  rig_run(r, "12 01 00 00 ff 00", GT_DIR_IN, data, 255);
  CHECK(memcmp(data, "\x01\x00\x00\x08\x00\x80\x83\x85\x86\xb0\xb1\xb3", 12) == 0);
  rig_run(r, "4d 00 6e 00 00 00 00 01 00 00", GT_DIR_IN, data, 255);
  GOOD(r);
  CHECK_EQ(gt_load_be16(data + 2), 320);
  rig_run(r, "44 00 00 00 00 00 00 00 ff 00", GT_DIR_IN, data, 255);
  GOOD(r);
  CHECK_EQ(data[4], 0x80);
}

static void variable_blocks(rig *r) {
  uint8_t data[64];
  TEST("variable blocks of 1 byte, odd and even lengths and 8 MiB come back as they were written");
  static const uint32_t lengths[] = {1, 2, 513, 32768, 262144, 8u << 20};
  fresh(r, (gt_cartridge_options){0});
  for (uint32_t i = 0; i < 6; i++)
    CHECK_EQ(write_block(r, lengths[i], i + 1), 0);
  write_block(r, (8u << 20) + 1, 1);
  FAILS(r, 5, 0x2400);
  rewind_tape(r);
  for (uint32_t i = 0; i < 6; i++)
    CHECK(reads_block(r, lengths[i], i + 1));
  TEST("at the end of data READ is BLANK CHECK, moves nothing and leaves the head");
  rig_run(r, "08 00 00 00 40 00", GT_DIR_IN, data, sizeof data);
  FAILS(r, 8, 0x0005);
  INFORMATION(r, 64);
  CHECK_EQ(r->io.resid, 64);
  CHECK_EQ(object(r), 6);
  TEST("a shorter block is ILI with a positive difference and residual, unless SILI");
  rewind_tape(r);
  rig_run(r, "08 00 00 00 40 00", GT_DIR_IN, data, sizeof data);
  FAILS(r, 0, 0);
  CHECK(r->sense.ili);
  INFORMATION(r, 63);
  CHECK_EQ(r->io.resid, 63);
  rig_run(r, "08 02 00 00 40 00", GT_DIR_IN, data, sizeof data);
  GOOD(r);
  CHECK_EQ(r->io.resid, 62);
  TEST("a longer block is ILI with a negative difference; what fits is there, the head is behind the block");
  uint8_t want[64];
  fill(want, sizeof want, 3);
  rig_run(r, "08 00 00 00 40 00", GT_DIR_IN, data, sizeof data);
  FAILS(r, 0, 0);
  CHECK(r->sense.ili);
  INFORMATION(r, 64 - 513);
  CHECK_EQ(r->io.resid, 0);
  CHECK(memcmp(data, want, sizeof data) == 0);
  CHECK_EQ(object(r), 3);
  TEST("SILI suppresses a longer block only while the block length is zero");
  rig_run(r, "08 02 00 00 40 00", GT_DIR_IN, data, sizeof data);
  GOOD(r);
  set_block_length(r, 64, 0x10);
  rig_run(r, "08 02 00 00 40 00", GT_DIR_IN, data, sizeof data);
  CHECK(r->sense.ili);
  INFORMATION(r, 64 - 262144);
  set_block_length(r, 0, 0x10);
  TEST("a transfer length of zero moves nothing and is no error");
  rig_run(r, "08 00 00 00 00 00", GT_DIR_IN, data, sizeof data);
  GOOD(r);
  rig_none(r, "0a 00 00 00 00 00");
  GOOD(r);
  CHECK_EQ(object(r), 5);
  TEST("room smaller than the transfer length is a negative residual");
  rewind_tape(r), reads_block(r, 1, 1), reads_block(r, 2, 2);
  rig_run(r, "08 00 00 02 01 00", GT_DIR_IN, data, 13);
  GOOD(r);
  CHECK_EQ(r->io.resid, 13 - 513);
  eject(r);
}

static void fixed_blocks(rig *r) {
  uint8_t data[10 * 512], in[10 * 512];
  TEST("fixed blocks: FIXED without a block length and FIXED with SILI are refused");
  fresh(r, (gt_cartridge_options){0});
  rig_run(r, "08 01 00 00 01 00", GT_DIR_IN, in, sizeof in);
  FAILS(r, 5, 0x2400);
  set_block_length(r, 512, 0x10);
  rig_run(r, "08 03 00 00 01 00", GT_DIR_IN, in, sizeof in);
  FAILS(r, 5, 0x2400);
  TEST("fixed blocks: ten written by one command are ten objects, and one READ brings them back");
  fill(data, sizeof data, 5);
  rig_run(r, "0a 01 00 00 0a 00", GT_DIR_OUT, data, sizeof data);
  GOOD(r);
  CHECK_EQ(object(r), 10);
  rewind_tape(r);
  rig_run(r, "08 01 00 00 0a 00", GT_DIR_IN, in, sizeof in);
  GOOD(r);
  CHECK(memcmp(in, data, sizeof in) == 0);
  TEST("fixed blocks: a filemark ends the READ; INFORMATION is the number of blocks not read");
  marks(r, 1);
  rewind_tape(r);
  rig_none(r, "11 00 00 00 06 00");
  rig_run(r, "08 01 00 00 0a 00", GT_DIR_IN, in, sizeof in);
  FAILS(r, 0, 0x0001);
  CHECK(r->sense.filemark);
  INFORMATION(r, 6);
  CHECK_EQ(r->io.resid, 6 * 512);
  CHECK_EQ(object(r), 11);
  TEST("fixed blocks: a block of another length is ILI, counted as not read, and passed");
  write_block(r, 512, 1), write_block(r, 100, 2), write_block(r, 512, 3);
  rig_none(r, "11 00 ff ff fd 00");
  rig_run(r, "08 01 00 00 03 00", GT_DIR_IN, in, sizeof in);
  FAILS(r, 0, 0);
  CHECK(r->sense.ili);
  INFORMATION(r, 2);
  CHECK_EQ(r->io.resid, 9 * 512);
  CHECK_EQ(object(r), 13);
  TEST("READ CAPACITY is no command of a tape; MODE SENSE tells block length, buffered mode and density");
  rig_run(r, "25 00 00 00 00 00 00 00 00 00", GT_DIR_IN, in, 8);
  FAILS(r, 5, 0x2000);
  rig_run(r, "1a 00 00 00 0c 00", GT_DIR_IN, in, 12);
  GOOD(r);
  CHECK(memcmp(in, "\x0b\x00\x10\x08\x80\x00\x00\x00\x00\x00\x02\x00", 12) == 0);
  eject(r);
  set_block_length(r, 0, 0x10);
}

/* B B F B B B F F B, and the end: objects 0 to 8. */
static void make_layout(rig *r) {
  fresh(r, (gt_cartridge_options){0});
  write_block(r, 1000, 0), write_block(r, 1001, 1), marks(r, 1);
  write_block(r, 1003, 3), write_block(r, 1004, 4), write_block(r, 1005, 5), marks(r, 2);
  write_block(r, 1008, 8);
}

static void locate(rig *r, uint64_t to) {
  rig_f(r, GT_DIR_NONE, NULL, 0, "92 00 00 00 %016llx 00 00 00 00", (unsigned long long)to);
}

typedef struct movement {
  const char *name;
  uint64_t from;
  const char *cdb;
  int key; /* -1: GOOD */
  uint16_t asc;
  char bit; /* f, e or blank */
  int64_t residue;
  uint64_t object, file;
} movement;

static void moving(rig *r) {
  static const movement table[] = {
      {"SPACE blocks forward", 3, "11 00 00 00 02 00", -1, 0, ' ', 0, 5, 1},
      {"SPACE blocks forward stops behind a filemark", 0, "11 00 00 00 05 00", 0, 0x0001, 'f', 3, 3, 1},
      {"SPACE blocks forward stops at the end of data", 8, "11 00 00 00 05 00", 8, 0x0005, ' ', 4, 9, 3},
      {"SPACE blocks backward", 5, "11 00 ff ff fe 00", -1, 0, ' ', 0, 3, 1},
      {"SPACE blocks backward stops in front of a filemark", 5, "11 00 ff ff fb 00", 0, 0x0001, 'f', 3, 2, 0},
      {"SPACE blocks backward over an adjacent filemark", 3, "11 00 ff ff ff 00", 0, 0x0001, 'f', 1, 2, 0},
      {"SPACE blocks backward stops at the beginning", 2, "11 00 ff ff fd 00", 0, 0x0004, 'e', 1, 0, 0},
      {"SPACE filemarks forward", 0, "11 01 00 00 02 00", -1, 0, ' ', 0, 7, 2},
      {"SPACE filemarks forward to the last", 0, "11 01 00 00 03 00", -1, 0, ' ', 0, 8, 3},
      {"SPACE filemarks forward past the last", 0, "11 01 00 00 07 00", 8, 0x0005, ' ', 4, 9, 3},
      {"SPACE filemarks backward", 9, "11 01 ff ff ff 00", -1, 0, ' ', 0, 7, 2},
      {"SPACE filemarks backward two", 9, "11 01 ff ff fe 00", -1, 0, ' ', 0, 6, 1},
      {"SPACE filemarks backward past the first", 9, "11 01 ff ff f0 00", 0, 0x0004, 'e', 13, 0, 0},
      {"SPACE to the end of data", 1, "11 03 00 00 00 00", -1, 0, ' ', 0, 9, 3},
      {"SPACE of nothing", 4, "11 00 00 00 00 00", -1, 0, ' ', 0, 4, 1},
      {"SPACE with another code", 4, "11 04 00 00 01 00", 5, 0x2400, '?', 0, 4, 1},
      {"SPACE 16 backward", 5, "91 00 00 00 ff ff ff ff ff ff ff fe 00 00 00 00", -1, 0, ' ', 0, 3, 1},
      {"SPACE 16 by the largest counts", 4, "91 00 00 00 80 00 00 00 00 00 00 00 00 00 00 00", 0, 0x0001, 'f',
       INT64_MAX, 2, 0},
      {"SPACE 16 filemarks forward", 0, "91 01 00 00 00 00 00 00 00 00 00 03 00 00 00 00", -1, 0, ' ', 0, 8, 3},
      {"LOCATE 10", 0, "2b 00 00 00 00 00 05 00 00 00", -1, 0, ' ', 0, 5, 1},
      {"LOCATE 10 to the end of data", 0, "2b 00 00 00 00 00 09 00 00 00", -1, 0, ' ', 0, 9, 3},
      {"LOCATE 10 past the end of data", 0, "2b 00 00 00 00 00 0a 00 00 00", 8, 0x0005, '?', 0, 9, 3},
      {"LOCATE 10 with a partition that CP does not ask for", 4, "2b 00 00 00 00 00 05 00 01 00", -1, 0, ' ', 0, 5, 1},
      {"LOCATE 10 with a reserved byte", 4, "2b 00 00 00 00 00 05 01 00 00", 5, 0x2400, '?', 0, 4, 1},
      {"LOCATE 10 to a partition that is not there", 4, "2b 02 00 00 00 00 05 00 01 00", 5, 0x2400, '?', 0, 4, 1},
      {"LOCATE 16 to a file", 9, "92 08 00 00 00 00 00 00 00 00 00 01 00 00 00 00", -1, 0, ' ', 0, 3, 1},
      {"LOCATE 16 to file 0", 9, "92 08 00 00 00 00 00 00 00 00 00 00 00 00 00 00", -1, 0, ' ', 0, 0, 0},
      {"LOCATE 16 to a file past the last", 1, "92 08 00 00 00 00 00 00 00 00 00 04 00 00 00 00", 8, 0x0005, '?', 0, 9,
       3},
      {"LOCATE 16 to the end of data", 1, "92 18 00 00 00 00 00 00 00 00 00 00 00 00 00 00", -1, 0, ' ', 0, 9, 3},
      {"LOCATE 16 far past the end", 1, "92 00 00 00 ff ff ff ff ff ff ff ff 00 00 00 00", 8, 0x0005, '?', 0, 9, 3},
      {"REWIND", 5, "01 00 00 00 00 00", -1, 0, ' ', 0, 0, 0},
  };
  make_layout(r);
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    const movement *m = &table[i];
    TEST(m->name);
    locate(r, m->from);
    GOOD(r);
    rig_none(r, m->cdb);
    if (m->key < 0)
      GOOD(r);
    else
      FAILS(r, m->key, m->asc);
    CHECK_EQ(r->sense.filemark, m->bit == 'f');
    CHECK_EQ(r->sense.eom, m->bit == 'e');
    if (m->key >= 0 && m->bit != '?' && m->residue <= UINT32_MAX) INFORMATION(r, m->residue);
    CHECK_EQ(object(r), m->object);
    CHECK_EQ(file(r), m->file);
  }
  TEST("after LOCATE the block of that number is read; a filemark is reported once and passed");
  locate(r, 4);
  CHECK(reads_block(r, 1004, 4));
  CHECK(reads_block(r, 1005, 5));
  uint8_t data[16];
  rig_run(r, "08 00 00 00 10 00", GT_DIR_IN, data, sizeof data);
  FAILS(r, 0, 0x0001);
  CHECK(r->sense.filemark && r->io.resid == 16);
  INFORMATION(r, 16);
  CHECK_EQ(object(r), 7);
}

static void positions(rig *r) {
  uint8_t data[64];
  TEST("READ POSITION: short, long and extended forms tell object, file and BOP");
  locate(r, 5);
  rig_run(r, "34 00 00 00 00 00 00 00 00 00", GT_DIR_IN, data, 20);
  GOOD(r);
  CHECK(data[0] == 0 && gt_load_be32(data + 4) == 5 && gt_load_be32(data + 8) == 5);
  TEST("an address of the vendor's own kind is the object number too: what st's tell and seek use");
  rig_run(r, "34 01 00 00 00 00 00 00 00 00", GT_DIR_IN, data, 20);
  GOOD(r);
  CHECK_EQ(gt_load_be32(data + 4), 5);
  rig_none(r, "2b 04 00 00 00 00 03 00 00 00");
  GOOD(r);
  CHECK_EQ(object(r), 3);
  rig_none(r, "2b 04 00 00 00 00 05 00 00 00");
  rig_run(r, "34 08 00 00 00 00 00 00 20 00", GT_DIR_IN, data, 32);
  GOOD(r);
  CHECK(gt_load_be16(data + 2) == 0x1C && gt_load_be64(data + 8) == 5 && gt_load_be64(data + 16) == 5);
  rewind_tape(r);
  rig_run(r, "34 06 00 00 00 00 00 00 00 00", GT_DIR_IN, data, 32);
  CHECK(data[0] == 0x80 && gt_load_be64(data + 8) == 0 && gt_load_be64(data + 16) == 0);
  rig_run(r, "34 03 00 00 00 00 00 00 00 00", GT_DIR_IN, data, 32);
  FAILS(r, 5, 0x2400);
  TEST("a negative INFORMATION keeps its sign in descriptor format, and marks travel in the stream descriptor");
  uint8_t list[16] = {0, 0, 0x10, 0, 0x0A, 10, 0x04};
  rig_run(r, "15 10 00 00 10 00", GT_DIR_OUT, list, sizeof list);
  GOOD(r);
  rig_run(r, "08 00 00 00 10 00", GT_DIR_IN, data, 16);
  CHECK_EQ(r->io.sense[0], 0x72);
  CHECK(r->sense.ili && r->sense.stream);
  INFORMATION(r, 16 - 1000);
  list[6] = 0;
  rig_run(r, "15 10 00 00 10 00", GT_DIR_OUT, list, sizeof list);
}

static void overwriting(rig *r) {
  TEST("writing in the middle ends the data there");
  locate(r, 4);
  CHECK_EQ(write_block(r, 77, 70), 0);
  rig_none(r, "11 03 00 00 00 00");
  CHECK_EQ(object(r), 5);
  CHECK_EQ(file(r), 1);
  locate(r, 3);
  CHECK(reads_block(r, 1003, 3));
  CHECK(reads_block(r, 77, 70));
  TEST("ERASE ends the data at the head");
  locate(r, 1);
  rig_none(r, "19 01 00 00 00 00");
  GOOD(r);
  rig_none(r, "11 03 00 00 00 00");
  CHECK_EQ(object(r), 1);
  TEST("a count of zero filemarks writes none");
  marks(r, 0);
  CHECK_EQ(object(r), 1);
  eject(r);
}

static void end_of_medium(rig *r) {
  uint8_t data[20 * 1000] = {0};
  TEST("from early warning on every write is done and says EOM; READ POSITION says EOP");
  fresh(r, (gt_cartridge_options){.capacity_bytes = 10000, .early_warning_bytes = 2500});
  for (uint32_t i = 0; i < 7; i++)
    CHECK_EQ(write_block(r, 1000, i), 0);
  rig_run(r, "34 00 00 00 00 00 00 00 00 00", GT_DIR_IN, data, 20);
  CHECK_EQ(data[0], 0);
  write_block(r, 1000, 7);
  FAILS(r, 0, 0x0002);
  CHECK(r->sense.eom && r->io.resid == 0);
  INFORMATION(r, 0);
  rig_run(r, "34 00 00 00 00 00 00 00 00 00", GT_DIR_IN, data, 20);
  CHECK_EQ(data[0], 0x40);
  rig_none(r, "10 00 00 00 01 00");
  FAILS(r, 0, 0x0002);
  CHECK(r->sense.eom);
  marks(r, 0);
  TEST("what does not fit is VOLUME OVERFLOW, and nothing of it is on the medium");
  write_block(r, 2500, 9);
  FAILS(r, 0xD, 0x0002);
  CHECK(r->sense.eom && r->io.resid == 2500);
  INFORMATION(r, 2500);
  CHECK_EQ(object(r), 9);
  TEST("fixed blocks at the end: those that fit are written, INFORMATION counts the others");
  set_block_length(r, 1000, 0x10);
  rig_run(r, "0a 01 00 00 05 00", GT_DIR_OUT, data, 5000);
  FAILS(r, 0xD, 0x0002);
  INFORMATION(r, 3);
  CHECK_EQ(r->io.resid, 3000);
  CHECK_EQ(object(r), 11);
  set_block_length(r, 0, 0x10);
  TEST("all that was written near the end is read");
  rewind_tape(r);
  for (uint32_t i = 0; i < 8; i++)
    CHECK(reads_block(r, 1000, i));
  eject(r);
}

static void protection(rig *r) {
  TEST("a write-protected cartridge refuses WRITE, filemarks and ERASE, says WP, and can be flushed and read");
  make_layout(r);
  eject(r);
  load(r, (gt_cartridge_options){.write_protected = true});
  write_block(r, 10, 1);
  FAILS(r, 7, 0x2700);
  rig_none(r, "10 00 00 00 01 00");
  FAILS(r, 7, 0x2700);
  rig_none(r, "19 01 00 00 00 00");
  FAILS(r, 7, 0x2700);
  marks(r, 0);
  uint8_t data[12];
  rig_run(r, "1a 00 00 00 0c 00", GT_DIR_IN, data, 12);
  CHECK_EQ(data[2], 0x90);
  CHECK(reads_block(r, 1000, 0));
  eject(r);
  TEST("a WORM cartridge takes appended data and refuses to overwrite any");
  load(r, (gt_cartridge_options){.worm = true});
  write_block(r, 10, 1);
  FAILS(r, 7, 0x300C);
  locate(r, 3);
  rig_none(r, "19 00 00 00 00 00");
  FAILS(r, 7, 0x300C);
  rig_none(r, "11 03 00 00 00 00");
  CHECK_EQ(write_block(r, 10, 9), 0);
  locate(r, 9);
  CHECK(reads_block(r, 10, 9));
  eject(r);
}

static void loading(rig *r) {
  char err[200];
  gt_device *second = open_tape();
  gt_cartridge_options options = {.path = rig_path("a.tap")};
  TEST("a cartridge is in one drive only, and a drive takes one cartridge");
  load(r, (gt_cartridge_options){0});
  CHECK_EQ(gt_tape_load(second, &options, err, sizeof err), -EBUSY);
  CHECK(strstr(err, "another drive"));
  options.path = rig_path("b.tap");
  CHECK_EQ(gt_tape_load(r->device, &options, err, sizeof err), -EBUSY);
  gt_device_unref(second);
  TEST("PREVENT MEDIUM REMOVAL holds the cartridge until ALLOW, or until the nexus is gone");
  rig other = rig_attach(r->device);
  rig_none(&other, "00 00 00 00 00 00");
  rig_none(&other, "1e 00 00 00 01 00");
  GOOD(&other);
  CHECK_EQ(gt_tape_unload(r->device), -EBUSY);
  rig_none(r, "1b 00 00 00 00 00");
  FAILS(r, 5, 0x5302);
  gt_device_detach(other.device, other.nexus);
  TEST("an unloaded cartridge is not ready; loading it again tells the other nexuses");
  other = rig_attach(r->device);
  rig_none(r, "1b 00 00 00 00 00");
  GOOD(r);
  rig_none(r, "00 00 00 00 00 00");
  FAILS(r, 2, 0x3A00);
  rig_none(r, "1b 00 00 00 01 00");
  GOOD(r);
  rig_none(r, "00 00 00 00 00 00");
  GOOD(r);
  rig_none(&other, "00 00 00 00 00 00");
  FAILS(&other, 6, 0x2800);
  gt_device_detach(other.device, other.nexus);
  TEST("faults go by object number, and take the block out of the stream for a while");
  gt_fault fault = {.opcode = GT_READ_6, .first = 1, .last = 1, .count = 1, .status = 2, .key = 3, .asc = 0x11};
  CHECK_EQ(gt_device_inject(r->device, &fault), 0);
  rewind_tape(r);
  CHECK(reads_block(r, 1000, 0));
  uint8_t data[16];
  rig_run(r, "08 00 00 00 10 00", GT_DIR_IN, data, 16);
  FAILS(r, 3, 0x1100);
  CHECK_EQ(object(r), 1);
  CHECK(reads_block(r, 1001, 1));
  TEST("unbuffered mode is accepted and told, a mode that is not there is refused");
  set_block_length(r, 0, 0x00);
  rig_run(r, "1a 08 00 00 04 00", GT_DIR_IN, data, 4);
  CHECK_EQ(data[2], 0);
  rig_run(r, "15 10 00 00 04 00", GT_DIR_OUT, (uint8_t[]){0, 0, 0x20, 0}, 4);
  FAILS(r, 5, 0x2600);
  set_block_length(r, 0, 0x10);
  eject(r);
}

static void durability(rig *r) {
  TEST("filemarks without IMMED synchronize, a count of zero too; writes do only in unbuffered mode");
  fresh(r, (gt_cartridge_options){0});
  syncs = 0;
  write_block(r, 100, 0);
  rig_none(r, "10 01 00 00 01 00");
  CHECK_EQ(syncs, 0);
  marks(r, 1);
  CHECK_EQ(syncs, 1);
  marks(r, 0);
  CHECK_EQ(syncs, 2);
  set_block_length(r, 0, 0x00);
  write_block(r, 100, 1);
  CHECK_EQ(syncs, 3);
  set_block_length(r, 0, 0x10);
  TEST("REWIND, SPACE and LOCATE synchronize what was written before them, once");
  static const char *const moves[] = {"01 00 00 00 00 00", "11 03 00 00 00 00", "2b 00 00 00 00 00 02 00 00 00",
                                      "92 00 00 00 00 00 00 00 00 00 00 03 00 00 00 00"};
  for (size_t i = 0; i < sizeof moves / sizeof *moves; i++) {
    write_block(r, 100, 2);
    syncs = 0;
    rig_none(r, moves[i]);
    GOOD(r);
    rig_none(r, moves[i]);
    CHECK_EQ(syncs, 1);
    rig_none(r, "11 03 00 00 00 00");
  }
  write_block(r, 100, 2);
  failing_syncs = 1;
  rig_none(r, "01 00 00 00 00 00");
  FAILS(r, 3, 0x0C00);
  CHECK_EQ(gt_tape_unload(r->device), -EIO);
  TEST("the name of a cartridge without data is made durable, whoever made the file");
  fresh(r, (gt_cartridge_options){0});
  eject(r);
  synced_directories = 0;
  load(r, (gt_cartridge_options){0});
  CHECK_EQ(synced_directories, 2); /* that of the image, and that of its attributes */
  write_block(r, 100, 0), marks(r, 1), write_block(r, 100, 1);
  TEST("a synchronization that failed once fails from then on, and UNLOAD says so");
  failing_syncs = 1;
  rig_none(r, "10 00 00 00 01 00");
  FAILS(r, 3, 0x0C00);
  rig_none(r, "10 00 00 00 00 00");
  FAILS(r, 3, 0x0C00);
  CHECK_EQ(gt_tape_unload(r->device), -EIO);
  TEST("the next loading starts anew from what is on the medium");
  load(r, (gt_cartridge_options){0});
  CHECK(reads_block(r, 100, 0));
  eject(r);
}

int main(void) {
  rig_begin();
  gt_device *tape = open_tape();
  rig r = rig_attach(tape);
  without_medium(&r);
  variable_blocks(&r);
  fixed_blocks(&r);
  moving(&r);
  positions(&r);
  overwriting(&r);
  end_of_medium(&r);
  protection(&r);
  loading(&r);
  durability(&r);
  gt_device_unref(tape);
  return rig_end();
}
