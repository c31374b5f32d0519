/* Cartridges as files: the SIMH format in both directions, torn and damaged images, and the index. */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "core/crc32c.h"
#include "device/tap_index.h"
#include "scsi_rig.h"

static int load(rig *r, const char *name, bool write_protected) {
  char err[200] = "";
  gt_cartridge_options options = {.path = rig_path(name), .write_protected = write_protected};
  int error = gt_tape_load(r->device, &options, err, sizeof err);
  CHECK((error == 0) == (err[0] == 0));
  if (!error) rig_none(r, "00 00 00 00 00 00");
  return error;
}

static rig drive(void) {
  gt_device *device = NULL;
  CHECK_EQ(gt_tape_open(&(gt_tape_options){0}, &device, NULL, 0), 0);
  return rig_attach(device);
}

static void eject(rig *r) { CHECK_EQ(gt_tape_unload(r->device), 0); }

static bool write_block(rig *r, uint32_t length, uint32_t seed) {
  uint8_t *data = malloc(length);
  fill(data, length, seed);
  rig_f(r, GT_DIR_OUT, data, length, "0a 00 %06x 00", length);
  free(data);
  return r->io.status == GT_STATUS_GOOD;
}

static void mark(rig *r) { rig_none(r, "10 00 00 00 01 00"); }

/* What the next READ of up to 8 MiB finds: a length, or one of these. */
enum { FILEMARK = -1, END = -2, MEDIUM_ERROR = -3, OTHER = -4 };

static int read_next(rig *r, uint8_t *data) {
  rig_run(r, "08 02 80 00 00 00", GT_DIR_IN, data, 8u << 20);
  if (r->io.status == GT_STATUS_GOOD) return (int)((8 << 20) - r->io.resid);
  if (r->sense.filemark) return FILEMARK;
  if (r->sense.key == GT_KEY_BLANK_CHECK) return END;
  return r->sense.key == GT_KEY_MEDIUM_ERROR ? MEDIUM_ERROR : OTHER;
}

static bool finds(rig *r, uint32_t length, uint32_t seed) {
  static uint8_t data[8 << 20], want[8 << 20];
  fill(want, length, seed);
  return read_next(r, data) == (int)length && memcmp(data, want, length) == 0;
}

static int finds_other(rig *r) {
  static uint8_t data[8 << 20];
  return read_next(r, data);
}

static uint64_t object(rig *r) {
  uint8_t data[32];
  rig_run(r, "34 06 00 00 00 00 00 00 00 00", GT_DIR_IN, data, sizeof data);
  return gt_load_be64(data + 8);
}

static uint64_t end_object(rig *r) {
  rig_none(r, "11 03 00 00 00 00");
  return object(r);
}

static void locate(rig *r, uint64_t to) {
  rig_f(r, GT_DIR_NONE, NULL, 0, "92 00 00 00 %016llx 00 00 00 00", (unsigned long long)to);
}

static size_t slurp(const char *name, uint8_t *data, size_t room) {
  int fd = open(rig_path(name), O_RDONLY);
  ssize_t got = fd < 0 ? -1 : read(fd, data, room);
  if (fd >= 0) close(fd);
  return got < 0 ? 0 : (size_t)got;
}

static void spill(const char *name, const void *data, size_t length) {
  int fd = open(rig_path(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  CHECK_EQ(write(fd, data, length), (ssize_t)length);
  close(fd);
}

static void forget(const char *name) {
  char index[64];
  snprintf(index, sizeof index, "%s.idx", name);
  unlink(rig_path(name)), unlink(rig_path(index));
}

static void on_disk(rig *r) {
  uint8_t data[64];
  TEST("records lie on disk as SIMH has them: length, data, pad of odd lengths, length; a mark is four zeros");
  CHECK_EQ(load(r, "bytes.tap", false), 0);
  rig_run(r, "0a 00 00 00 03 00", GT_DIR_OUT, "abc", 3);
  mark(r);
  rig_run(r, "0a 00 00 00 02 00", GT_DIR_OUT, "de", 2);
  eject(r);
  CHECK_EQ(slurp("bytes.tap", data, sizeof data), 26);
  CHECK(memcmp(data, "\3\0\0\0abc\0\3\0\0\0\0\0\0\0\2\0\0\0de\2\0\0\0", 26) == 0);
  TEST("several fixed blocks of one command lie there like blocks of several");
  uint8_t list[12] = {0, 0, 0x10, 8, [11] = 3};
  CHECK_EQ(load(r, "fixed.tap", false), 0);
  rig_run(r, "15 10 00 00 0c 00", GT_DIR_OUT, list, sizeof list);
  rig_run(r, "0a 01 00 00 02 00", GT_DIR_OUT, "abcdef", 6);
  GOOD(r);
  list[11] = 0;
  rig_run(r, "15 10 00 00 0c 00", GT_DIR_OUT, list, sizeof list);
  eject(r);
  CHECK_EQ(slurp("fixed.tap", data, sizeof data), 24);
  CHECK(memcmp(data, "\3\0\0\0abc\0\3\0\0\0\3\0\0\0def\0\3\0\0\0", 24) == 0);
}

static void foreign(rig *r) {
  static const char image[] = "\5\0\0\0hello\0\5\0\0\0"          /* 0: record */
                              "\xfe\xff\xff\xff\xfe\xff\xff\xff" /* erase gaps */
                              "\4\0\0\x10priv\4\0\0\x10"         /* private record, class 1 */
                              "\4\0\0\xe0text\4\0\0\xe0"         /* description, class E */
                              "\1\2\3\x70"                       /* private marker */
                              "\0\0\0\0"                         /* 1: tape mark */
                              "\2\0\0\0hi\2\0\0\0"               /* 2: record */
                              "\xff\xff\xfe\xff\xff\xff"         /* half a gap, a gap */
                              "\2\0\0\x80no\2\0\0\x80"           /* 3: bad record, class 8 */
                              "\3\0\0\0end\0\3\0\0\0"            /* 4: record */
                              "\xff\xff\xff\xff"                 /* end of medium */
                              "\7\0\0\0garbage";                 /* nothing */
  uint8_t data[16];
  TEST("other people's gaps, private records and markers are passed over; their end of medium ends the data");
  spill("foreign.tap", image, sizeof image - 1);
  CHECK_EQ(load(r, "foreign.tap", false), 0);
  rig_run(r, "08 00 00 00 05 00", GT_DIR_IN, data, 5);
  GOOD(r);
  CHECK(memcmp(data, "hello", 5) == 0);
  CHECK_EQ(finds_other(r), FILEMARK);
  rig_run(r, "08 00 00 00 02 00", GT_DIR_IN, data, 2);
  CHECK(memcmp(data, "hi", 2) == 0);
  TEST("a record marked bad is a medium error, and the one behind it can be read");
  CHECK_EQ(finds_other(r), MEDIUM_ERROR);
  rig_run(r, "08 00 00 00 03 00", GT_DIR_IN, data, 3);
  GOOD(r);
  CHECK(memcmp(data, "end", 3) == 0);
  CHECK_EQ(finds_other(r), END);
  CHECK_EQ(object(r), 5);
  eject(r);
  CHECK_EQ(slurp("foreign.tap", data, 1), 1);
}

/* Python's own reading and writing of the format, which knows nothing of ours. */
static const char python[] = "import struct, sys, zlib\n"
                             "def make(path):\n"
                             "  with open(path, 'wb') as f:\n"
                             "    for i in range(200):\n"
                             "      if i % 10 == 9: f.write(b'\\0' * 4)\n"
                             "      else:\n"
                             "        d = bytes((i * 7 + k) & 255 for k in range(i * 13 + 1))\n"
                             "        n = struct.pack('<I', len(d))\n"
                             "        f.write(n + d + (b'\\0' if len(d) & 1 else b'') + n)\n"
                             "def parse(path):\n"
                             "  b = open(path, 'rb').read(); at = 0\n"
                             "  while at < len(b):\n"
                             "    n, = struct.unpack_from('<I', b, at)\n"
                             "    if n == 0: print('mark'); at += 4; continue\n"
                             "    d = b[at+4:at+4+n]; t = at + 4 + n + (n & 1)\n"
                             "    assert struct.unpack_from('<I', b, t)[0] == n\n"
                             "    print(n, zlib.crc32(d)); at = t + 4\n"
                             "make(sys.argv[2]) if sys.argv[1] == 'make' else parse(sys.argv[2])\n";

static uint32_t crc32(const uint8_t *data, size_t length) {
  uint32_t crc = ~0u;
  for (size_t i = 0; i < length; i++) {
    crc ^= data[i];
    for (int bit = 0; bit < 8; bit++)
      crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
  }
  return ~crc;
}

static void with_python(rig *r) {
  char command[700], line[64];
  static uint8_t data[8 << 20];
  if (system("python3 -c '' 2>/dev/null") != 0) {
    printf("SKIPPED with Python: there is no python3 (apt install python3)\n");
    return;
  }
  spill("tap.py", python, sizeof python - 1);
  TEST("a tape that Python wrote is read, block by block and by LOCATE");
  snprintf(command, sizeof command, "python3 %s make %s", rig_path("tap.py"), rig_path("python.tap"));
  CHECK_EQ(system(command), 0);
  CHECK_EQ(load(r, "python.tap", true), 0);
  for (int i = 0; i < 200; i++) {
    int length = read_next(r, data);
    CHECK_EQ(length, i % 10 == 9 ? FILEMARK : i * 13 + 1);
    if (length > 0) CHECK(data[0] == (uint8_t)(i * 7) && data[length - 1] == (uint8_t)(i * 7 + length - 1));
  }
  CHECK_EQ(finds_other(r), END);
  locate(r, 173);
  CHECK_EQ(finds_other(r), 173 * 13 + 1);
  eject(r);
  TEST("a tape of ours is read by Python, block by block");
  CHECK_EQ(load(r, "ours.tap", false), 0);
  for (uint32_t i = 0; i < 100; i++)
    i % 7 == 6 ? mark(r) : (void)write_block(r, i * 31 + 1, i);
  eject(r);
  snprintf(command, sizeof command, "python3 %s parse %s", rig_path("tap.py"), rig_path("ours.tap"));
  FILE *pipe = popen(command, "r");
  for (uint32_t i = 0; i < 100; i++) {
    char want[64] = "mark\n";
    fill(data, i * 31 + 1, i);
    if (i % 7 != 6) snprintf(want, sizeof want, "%u %u\n", i * 31 + 1, crc32(data, i * 31 + 1));
    CHECK(fgets(line, sizeof line, pipe) && strcmp(line, want) == 0);
  }
  CHECK(!fgets(line, sizeof line, pipe));
  CHECK_EQ(pclose(pipe), 0);
}

static void torn_tails(rig *r) {
  uint8_t whole[4096], data[4096];
  TEST("a torn tail, wherever the writer was stopped, is no object, stays as it is, and is cut off by the next write");
  CHECK_EQ(load(r, "torn.tap", false), 0);
  write_block(r, 100, 0), write_block(r, 201, 1), mark(r), write_block(r, 300, 3);
  eject(r);
  size_t size = slurp("torn.tap", whole, sizeof whole);
  static const size_t ends[] = {0, 108, 318, 322, 630};
  CHECK_EQ(size, 630);
  for (size_t cut = 0; cut <= size; cut++) {
    forget("torn.tap");
    spill("torn.tap", whole, cut);
    size_t objects = 0;
    while (objects < 4 && ends[objects + 1] <= cut)
      objects++;
    CHECK_EQ(load(r, "torn.tap", false), 0);
    CHECK_EQ(end_object(r), objects);
    CHECK_EQ(slurp("torn.tap", data, sizeof data), cut);
    CHECK(write_block(r, 50, 9));
    CHECK_EQ(slurp("torn.tap", data, sizeof data), ends[objects] + 58);
    locate(r, objects);
    CHECK(finds(r, 50, 9));
    eject(r);
  }
  TEST("a record whole in length whose trailing word never came is torn, too; with another word there it is damaged");
  for (int i = 0; i < 2; i++) {
    memcpy(whole + 626, i ? "\x2c\x01\x00\x01" : "\0\0\0", 4);
    forget("torn.tap");
    spill("torn.tap", whole, size);
    CHECK_EQ(load(r, "torn.tap", false), 0);
    if (i) {
      rig_none(r, "11 03 00 00 00 00");
      FAILS(r, 3, 0x1403);
    } else {
      CHECK_EQ(end_object(r), 3);
    }
    eject(r);
  }
}

/* An image of `blocks` blocks of `bytes` and then `marks` filemarks, all in `whole`; returns its length. */
static size_t plain_image(rig *r, uint32_t bytes, int blocks, int marks, uint8_t *whole, size_t room) {
  forget("torn.tap");
  spill("torn.tap", whole, 0);
  CHECK_EQ(load(r, "torn.tap", false), 0);
  for (int i = 0; i < blocks; i++)
    write_block(r, bytes, (uint32_t)i);
  for (int i = 0; i < marks; i++)
    mark(r);
  eject(r);
  return slurp("torn.tap", whole, room);
}

static void damage_at_the_end(rig *r) {
  static uint8_t whole[16384];
  TEST("a length word that was damaged at a cartridge's end is no end of data, whichever block and however it ends");
  for (int marks = 0; marks < 3; marks++) {
    for (int hurt = 0; hurt < 4; hurt++) {
      for (int cut = 0; cut < 2; cut++) {
        size_t size = plain_image(r, 2000, 4, marks, whole, sizeof whole), at = (size_t)hurt * 2008;
        if (cut && (hurt == 0 || hurt == 3)) continue; /* then nothing tells it from what was cut off */
        if (cut) size -= 1000 + 4 * (size_t)marks;
        whole[at + 2] ^= 0x40; /* reaches past the end of the file, and is no longer than a block may be */
        forget("torn.tap");
        spill("torn.tap", whole, size);
        CHECK_EQ(load(r, "torn.tap", false), 0);
        rig_none(r, "11 03 00 00 00 00");
        FAILS(r, 3, 0x1403);
        CHECK_EQ(object(r), hurt);
        eject(r);
        CHECK_EQ(slurp("torn.tap", whole, sizeof whole), size);
      }
    }
  }
}

static void damage(rig *r) {
  uint8_t whole[4096], data[4096];
  TEST("damage in the middle is a medium error and no end of data; the image is left as it is");
  forget("torn.tap");
  CHECK_EQ(load(r, "torn.tap", false), 0);
  write_block(r, 100, 0), write_block(r, 201, 1), mark(r), write_block(r, 300, 3);
  eject(r);
  size_t size = slurp("torn.tap", whole, sizeof whole);
  whole[108 + 4 + 202] ^= 1; /* trailing word of object 1 */
  forget("torn.tap");
  spill("torn.tap", whole, size);
  CHECK_EQ(load(r, "torn.tap", false), 0);
  CHECK(finds(r, 100, 0));
  CHECK_EQ(finds_other(r), MEDIUM_ERROR);
  rig_none(r, "11 03 00 00 00 00");
  FAILS(r, 3, 0x1403);
  locate(r, 3);
  FAILS(r, 3, 0x1100);
  eject(r);
  CHECK_EQ(slurp("torn.tap", data, sizeof data), size);
  TEST("a damaged length word that points past the end of the file costs no byte of what is behind it");
  whole[108 + 4 + 202] ^= 1;
  for (int i = 0; i < 2; i++) {
    whole[108 + (i ? 3 : 2)] ^= 1; /* no tape block is as long as the second one */
    forget("torn.tap");
    spill("torn.tap", whole, size);
    CHECK_EQ(load(r, "torn.tap", false), 0);
    CHECK(finds(r, 100, 0));
    CHECK_EQ(finds_other(r), MEDIUM_ERROR);
    eject(r);
    CHECK_EQ(slurp("torn.tap", data, sizeof data), size);
    CHECK(!memcmp(data, whole, size));
    whole[108 + (i ? 3 : 2)] ^= 1;
  }
  TEST("damage that comes after loading is found by the READ that meets it");
  whole[108 + 4 + 202] ^= 1;
  spill("torn.tap", whole, size);
  CHECK_EQ(load(r, "torn.tap", false), 0);
  CHECK(finds(r, 100, 0));
  int fd = open(rig_path("torn.tap"), O_WRONLY);
  CHECK_EQ(pwrite(fd, "\xff", 1, 108 + 4 + 202), 1);
  CHECK_EQ(finds_other(r), MEDIUM_ERROR);
  eject(r);
  close(fd);
  TEST("damage that looks like the end of the medium is none: READ, SPACE and LOCATE say medium error");
  CHECK_EQ(load(r, "later.tap", false), 0);
  for (uint32_t i = 0; i < 4; i++)
    write_block(r, 9000, i);
  eject(r);
  CHECK_EQ(load(r, "later.tap", false), 0);
  locate(r, 1);
  GOOD(r);
  fd = open(rig_path("later.tap"), O_WRONLY);
  CHECK_EQ(pwrite(fd, "\xff\xff\xff\xff", 4, 9008), 4);
  rig_none(r, "01 00 00 00 00 00");
  locate(r, 3);
  FAILS(r, 3, 0x1100);
  rig_none(r, "11 00 00 00 03 00");
  FAILS(r, 3, 0x1100);
  CHECK_EQ(object(r), 1);
  CHECK_EQ(finds_other(r), MEDIUM_ERROR);
  close(fd);
  eject(r);
}

/* Loads whatever the bytes are, reads to the end, moves about: nothing may hang or crash. */
static void random_images(rig *r) {
  uint8_t whole[4096], mutated[4096];
  TEST("images with random bytes in them are loaded, read and moved in, or refused, and nothing else happens");
  forget("torn.tap");
  CHECK_EQ(load(r, "torn.tap", false), 0);
  for (uint32_t i = 0; i < 12; i++)
    i % 4 == 3 ? mark(r) : (void)write_block(r, i * 20 + 1, i);
  eject(r);
  size_t size = slurp("torn.tap", whole, sizeof whole);
  uint32_t random = 12345;
  for (int round = 0; round < 400; round++) {
    memcpy(mutated, whole, size);
    for (int i = 0; i < 1 + round % 8; i++) {
      random = random * 1664525u + 1013904223u;
      static const uint8_t values[] = {0x00, 0xFF, 0xFE, 0x80, 0x10, 0x01};
      mutated[(random >> 8) % size] = values[(random >> 4) % 6];
    }
    if (round % 3) forget("torn.tap"); /* else the old index stays there */
    spill("torn.tap", mutated, size);
    CHECK_EQ(load(r, "torn.tap", round % 2), 0);
    int found = 0, reads = 0;
    while ((found = finds_other(r)) != END && reads++ < 2000)
      if (found == MEDIUM_ERROR) rig_none(r, "11 00 00 00 01 00");
    for (uint64_t to = 0; to < 14; to++)
      locate(r, to);
    rig_none(r, "11 01 ff ff fe 00");
    rig_none(r, "11 00 ff ff fd 00");
    eject(r);
  }
}

/* The child writes blocks and counts those that were answered; it dies at any moment. */
static void killed_writers(rig *r) {
  TEST("after kill -9 every block that was answered is there, and what comes behind is whole");
  for (int round = 0; round < 5; round++) {
    forget("killed.tap");
    int shared = open(rig_path("answered"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK_EQ(ftruncate(shared, 4), 0);
    pid_t child = fork();
    if (child == 0) {
      rig own = drive();
      load(&own, "killed.tap", false);
      for (uint32_t i = 0; write_block(&own, 20000 + i, i); i++)
        if (pwrite(shared, &(uint32_t){i + 1}, 4, 0) != 4) break;
      _exit(1);
    }
    uint32_t count = 0;
    while (count < 40u * (uint32_t)(round + 1)) {
      if (pread(shared, &count, 4, 0) != 4) break;
      usleep(100);
    }
    kill(child, SIGKILL);
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(pread(shared, &count, 4, 0), 4);
    close(shared);
    CHECK_EQ(load(r, "killed.tap", false), 0);
    uint32_t whole = 0;
    while (finds(r, 20000 + whole, whole))
      whole++;
    CHECK(whole >= count && whole <= count + 1);
    CHECK_EQ(finds_other(r), END);
    eject(r);
  }
}

static void full_file_system(rig *r) {
  TEST("a host without room is VOLUME OVERFLOW; nothing half-written stays, and what was there is there");
  forget("full.tap");
  CHECK_EQ(load(r, "full.tap", false), 0);
  struct rlimit before, small;
  getrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, SIG_IGN);
  small = before;
  small.rlim_cur = 10000;
  setrlimit(RLIMIT_FSIZE, &small);
  CHECK(write_block(r, 6000, 0));
  write_block(r, 6000, 1);
  setrlimit(RLIMIT_FSIZE, &before);
  FAILS(r, 0xD, 0x0002);
  CHECK(r->sense.eom && r->sense.information == 6000);
  CHECK_EQ(object(r), 1);
  struct stat status;
  CHECK(stat(rig_path("full.tap"), &status) == 0 && status.st_size == 6008);
  CHECK(write_block(r, 6000, 1));
  locate(r, 0);
  CHECK(finds(r, 6000, 0) && finds(r, 6000, 1));
  eject(r);
}

/* Read calls of this process so far. */
static long reads_so_far(void) {
  char text[512] = "";
  int fd = open("/proc/self/io", O_RDONLY);
  ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  const char *line = got > 0 ? strstr(text, "syscr: ") : NULL;
  return line ? atol(line + 7) : 0;
}

/* 3000 blocks of 9000 bytes, a filemark after every hundredth; returns the reads that a load takes. */
enum { LONG_BLOCKS = 3000, LONG_OBJECTS = 3030 };

static long reads_of_load(rig *r) {
  long before = reads_so_far();
  CHECK_EQ(load(r, "long.tap", false), 0);
  long reads = reads_so_far() - before;
  CHECK_EQ(end_object(r), LONG_OBJECTS);
  for (uint32_t i = 1; i < LONG_BLOCKS; i += 457) {
    locate(r, i + i / 100);
    CHECK(finds(r, 9000, i));
  }
  rig_none(r, "92 08 00 00 00 00 00 00 00 00 00 14 00 00 00 00"); /* file 20 */
  CHECK(finds(r, 9000, 2000));
  return reads;
}

static void long_tape(rig *r) {
  TEST("an index saves the scan; LOCATE by it reads tens of headers, not thousands");
  CHECK_EQ(load(r, "long.tap", false), 0);
  for (uint32_t i = 0; i < LONG_BLOCKS; i++) {
    write_block(r, 9000, i);
    if (i % 100 == 99) mark(r);
  }
  eject(r);
  CHECK(access(rig_path("long.tap.idx"), F_OK) == 0);
  CHECK(access(rig_path("long.tap.idx.tmp"), F_OK) != 0);
  CHECK(reads_of_load(r) < 200);
  long before = reads_so_far();
  locate(r, 2900);
  CHECK(reads_so_far() - before < 100);
  TEST("SPACE over many blocks leaps along the index, but over no filemark");
  locate(r, 0);
  rig_none(r, "11 00 00 00 c8 00");
  FAILS(r, 0, 0x0001);
  CHECK(r->sense.filemark && r->sense.information == 100);
  CHECK_EQ(object(r), 101);
  rig_none(r, "11 00 00 00 60 00");
  GOOD(r);
  CHECK_EQ(object(r), 197);
  eject(r);
  TEST("without an index, and with one that is no index, the image is scanned and the index is there again");
  unlink(rig_path("long.tap.idx"));
  CHECK(reads_of_load(r) > LONG_BLOCKS);
  eject(r);
  CHECK(reads_of_load(r) < 200);
  eject(r);
  static uint8_t bytes[1 << 20];
  size_t size = slurp("long.tap.idx", bytes, sizeof bytes);
  for (size_t at = 0; at < size; at += size / 9) {
    bytes[at] ^= 0x40;
    spill("long.tap.idx", bytes, size);
    bytes[at] ^= 0x40;
    CHECK(reads_of_load(r) > LONG_BLOCKS);
    eject(r);
  }
  TEST("an index is not believed whose numbers no image can have, though its checksum is right");
  static const struct {
    size_t at;
    uint64_t more;
  } lies[] = {{24, 1u << 30}, {32, 1u << 30}, {40, 1ull << 50}, {64 + 32 + 8, 1u << 20}, {64 + 32 + 24, 1ull << 40}};
  for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
    size = slurp("long.tap.idx", bytes, sizeof bytes);
    uint64_t was = gt_load_le64(bytes + lies[i].at);
    gt_store_le64(bytes + lies[i].at, was + lies[i].more);
    gt_store_le32(bytes + size - 4, gt_crc32c(0, bytes, size - 4));
    spill("long.tap.idx", bytes, size);
    CHECK(reads_of_load(r) > LONG_BLOCKS);
    CHECK_EQ(end_object(r), LONG_OBJECTS);
    eject(r);
  }
}

static void stale_indexes(rig *r) {
  static uint8_t index[1 << 20];
  size_t size = slurp("long.tap.idx", index, sizeof index);
  TEST("the index of an image that has been changed since is not believed, though its time was set back");
  struct stat status;
  int fd = open(rig_path("long.tap"), O_RDWR);
  uint8_t byte;
  CHECK_EQ(fstat(fd, &status), 0);
  CHECK(pread(fd, &byte, 1, 1000) == 1 && pwrite(fd, &(uint8_t){byte ^ 1}, 1, 1000) == 1);
  CHECK_EQ(futimens(fd, (struct timespec[]){status.st_atim, status.st_mtim}), 0);
  CHECK(reads_of_load(r) > LONG_BLOCKS);
  eject(r);
  CHECK_EQ(pwrite(fd, &byte, 1, 1000), 1);
  CHECK_EQ(load(r, "long.tap", false), 0);
  eject(r);
  TEST("nor that of an image of another time, though no sample tells a difference");
  CHECK_EQ(futimens(fd, (struct timespec[]){status.st_atim, {status.st_mtim.tv_sec - 9, 0}}), 0);
  CHECK(reads_of_load(r) > LONG_BLOCKS);
  eject(r);
  close(fd);
  size = slurp("long.tap.idx", index, sizeof index);
  TEST("the index from before a crash is believed as far as it goes, and the rest is scanned");
  CHECK_EQ(load(r, "long.tap", false), 0);
  end_object(r);
  for (uint32_t i = 0; i < 200; i++)
    write_block(r, 700, i);
  eject(r);
  spill("long.tap.idx", index, size);
  long before = reads_so_far();
  CHECK_EQ(load(r, "long.tap", false), 0);
  CHECK(reads_so_far() - before < 500);
  CHECK_EQ(end_object(r), LONG_OBJECTS + 200);
  locate(r, LONG_OBJECTS + 150);
  CHECK(finds(r, 700, 150));
  TEST("an index goes when what it speaks of is overwritten, before the overwriting");
  locate(r, 10);
  write_block(r, 9000, 77);
  CHECK(access(rig_path("long.tap.idx"), F_OK) != 0);
  eject(r);
  CHECK_EQ(load(r, "long.tap", false), 0);
  CHECK_EQ(end_object(r), 11);
  locate(r, 10);
  CHECK(finds(r, 9000, 77));
  eject(r);
  TEST("an index of more than there is now is not believed");
  spill("long.tap.idx", index, size);
  CHECK_EQ(load(r, "long.tap", false), 0);
  CHECK_EQ(end_object(r), 11);
  eject(r);
}

static void index_memory(void) {
  TEST("the index stays within its memory on a tape of 200 million objects, and still finds a start nearby");
  gt_tap_index *index = malloc(sizeof *index);
  CHECK(sizeof *index < 600 << 10);
  gt_tap_index_reset(index);
  gt_tap_place place = {0};
  for (uint64_t i = 0; i < 3000000; i++) {
    place.offset += 64 * 262152;
    place.object += 64;
    place.files += i % 2;
    gt_tap_index_note(index, &place);
  }
  CHECK(index->count > GT_TAP_CHECKPOINTS / 2 && index->count <= GT_TAP_CHECKPOINTS);
  uint64_t gap = place.object / (GT_TAP_CHECKPOINTS / 2);
  for (uint64_t want = 0; want < place.object; want += 1234567) {
    uint64_t start = gt_tap_index_by_object(index, want)->object;
    CHECK(start <= want && want - start <= gap);
    uint64_t files = gt_tap_index_by_file(index, want / 128)->files;
    CHECK(want / 128 == 0 || files < want / 128);
  }
  gt_tap_index_cut(index, &(gt_tap_place){.offset = 1});
  CHECK_EQ(index->count, 1);
  free(index);
}

int main(void) {
  rig_begin();
  rig r = drive();
  on_disk(&r);
  foreign(&r);
  with_python(&r);
  torn_tails(&r);
  damage_at_the_end(&r);
  damage(&r);
  random_images(&r);
  killed_writers(&r);
  full_file_system(&r);
  long_tape(&r);
  stale_indexes(&r);
  index_memory();
  gt_device_unref(r.device);
  return rig_end();
}
