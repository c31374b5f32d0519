/* What stock initiators and backup programs ask of a tape drive besides reading and writing: attributes of the
 * cartridge (MAM), counters that count, TapeAlert, and what resets them. */
#include "scsi_rig.h"

static gt_device *open_drive(void) {
  gt_device *device = NULL;
  gt_tape_options options = {.serial = "TS-2"};
  CHECK_EQ(gt_tape_open(&options, &device, NULL, 0), 0);
  return device;
}

static void load(gt_device *device, const char *name, bool write_protected) {
  gt_cartridge_options options = {
      .path = rig_path(name), .capacity_bytes = 64 << 20, .write_protected = write_protected};
  CHECK_EQ(gt_tape_load(device, &options, NULL, 0), 0);
}

static rig attach(gt_device *device) {
  rig r = rig_attach(device);
  rig_none(&r, "00 00 00 00 00 00");
  return r;
}

/* Bytes of the one attribute, or -1: it does not exist. */
static int attribute(rig *r, uint16_t id, uint8_t *format, uint8_t *value) {
  uint8_t data[2048] = {0};
  rig_f(r, GT_DIR_IN, data, sizeof data, "8c 00 000000 00 00 00 %04x %08x 00 00", id, sizeof data);
  if (r->io.status) FAILS(r, 5, 0x2400);
  if (r->io.status) return -1;
  CHECK_EQ(gt_load_be16(data + 4), id);
  int length = gt_load_be16(data + 7);
  *format = data[6];
  memcpy(value, data + 9, (size_t)length);
  return length;
}

static uint64_t number(rig *r, uint16_t id) {
  uint8_t format, value[2048] = {0};
  int length = attribute(r, id, &format, value);
  CHECK_EQ(format, 0x80); /* read only, BINARY */
  uint64_t sum = 0;
  for (int i = 0; i < length; i++)
    sum = sum << 8 | value[i];
  return sum;
}

static size_t put(uint8_t *list, size_t at, uint16_t id, uint8_t format, const char *value, uint16_t length) {
  gt_store_be16(list + at, id);
  list[at + 2] = format;
  gt_store_be16(list + at + 3, length);
  memcpy(list + at + 5, value, strlen(value) < length ? strlen(value) : length);
  return at + 5 + length;
}

static void write_list(rig *r, uint8_t *list, size_t length) {
  rig_f(r, GT_DIR_OUT, list, (uint32_t)length, "8d 01 000000 00 00 00 0000 %08x 00 00", (unsigned)length);
}

static void is_text(rig *r, uint16_t id, uint8_t format, const char *text) {
  uint8_t found, value[2048];
  int length = attribute(r, id, &found, value);
  CHECK(length >= (int)strlen(text) && memcmp(value, text, strlen(text)) == 0);
  CHECK_EQ(found, format);
}

static void host_attributes(void) {
  gt_device *device = open_drive();
  load(device, "host.tap", false);
  rig r = attach(device);
  uint8_t list[600] = {0}, spaces[32], value[2048], format;
  TEST("host attributes that were written are there, also when the cartridge comes back in another drive");
  memset(spaces, ' ', sizeof spaces);
  size_t at = put(list, 4, 0x0800, 1, "GANTRY  ", 8);
  at = put(list, at, 0x0806, 1, "A00017L9                        ", 32);
  at = put(list, at, 0x080C, 0, "coherent", 70);
  write_list(&r, list, at);
  GOOD(&r);
  CHECK(access(rig_path("host.tap.mam"), F_OK) == 0);
  uint64_t left = number(&r, 0x0004);
  CHECK_EQ(left, number(&r, 0x0407) - (5 + 8) - (5 + 32) - (5 + 70));
  gt_device_unref(device);
  device = open_drive();
  load(device, "host.tap", false);
  r = attach(device);
  is_text(&r, 0x0800, 1, "GANTRY  ");
  is_text(&r, 0x0806, 1, "A00017L9  ");
  CHECK_EQ(attribute(&r, 0x080C, &format, value), 70);
  CHECK_EQ(number(&r, 0x0004), left);
  TEST("another value replaces the first, and a length of zero takes the attribute away");
  memset(list, 0, sizeof list);
  at = put(list, 4, 0x0800, 1, "OTHER   ", 8);
  at = put(list, at, 0x0806, 1, "", 0);
  write_list(&r, list, at);
  GOOD(&r);
  is_text(&r, 0x0800, 1, "OTHER   ");
  CHECK_EQ(attribute(&r, 0x0806, &format, value), -1);
  CHECK_EQ(attribute(&r, 0x080C, &format, value), 70);
  gt_device_unref(device);
}

static void refusals(void) {
  gt_device *device = open_drive();
  rig r = rig_attach(device);
  uint8_t list[9000] = {0}, data[64];
  TEST("without a cartridge there are no attributes");
  rig_run(&r, "8c 00 00 00 00 00 00 00 00 00 00 00 00 40 00 00", GT_DIR_IN, data, sizeof data);
  FAILS(&r, 2, 0x3A00);
  load(device, "refuse.tap", false);
  r = attach(device);
  TEST(
      "a list with one wrong attribute changes nothing: unknown, the medium's own, another format, another length, not "
      "ascending, not ASCII");
  static const struct {
    uint16_t id, length;
    uint8_t format;
    const char *value;
  } wrong[] = {{0x0900, 8, 1, "x"},          {0x0003, 8, 0, "x"},        {0x0801, 32, 0, "x"},
               {0x0801, 31, 1, "x"},         {0x0800, 8, 1, "GANTRY  "}, {0x0802, 8, 1, "\x80      "},
               {0x0802, 8, 0x81, "1       "}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    memset(list, 0, sizeof list);
    size_t at = put(list, 4, 0x0800, 1, "FIRST   ", 8);
    at = put(list, at, wrong[i].id, wrong[i].format, wrong[i].value, wrong[i].length);
    write_list(&r, list, at);
    FAILS(&r, 5, 0x2600);
    CHECK_EQ(attribute(&r, 0x0800, data, list), -1);
  }
  TEST("a list that ends inside an attribute is too short, and none at all is no error");
  for (size_t cut = 1; cut < 13; cut++) {
    size_t at = put(list, 4, 0x0800, 1, "FIRST   ", 8);
    write_list(&r, list, at - cut);
    FAILS(&r, 5, 0x1A00);
  }
  write_list(&r, list, 0);
  GOOD(&r);
  write_list(&r, list, 3);
  FAILS(&r, 5, 0x1A00);
  TEST("there is one partition and one volume; an identifier that does not exist is no place to begin at");
  static const char *const places[] = {
      "8c 00 00 00 00 01 00 00 00 00 00 00 00 40 00 00", "8c 00 00 00 00 00 00 01 00 00 00 00 00 40 00 00",
      "8c 00 00 00 00 00 00 00 08 06 00 00 00 40 00 00", "8c 04 00 00 00 00 00 00 00 00 00 00 00 40 00 00",
      "8d 01 00 00 00 00 00 01 00 00 00 00 00 10 00 00"};
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    rig_run(&r, places[i], i < 4 ? GT_DIR_IN : GT_DIR_OUT, data, sizeof data);
    FAILS(&r, 5, 0x2400);
  }
  gt_device_unref(device);
}

static void damage(void) {
  gt_device *device = open_drive();
  uint8_t list[64] = {0}, data[64];
  TEST("a cartridge that is write protected keeps its attributes as they are, and its load is not counted");
  load(device, "kept.tap", false);
  rig r = attach(device);
  CHECK_EQ(number(&r, 0x0003), 1);
  CHECK_EQ(gt_tape_unload(device), 0);
  load(device, "kept.tap", true);
  r = attach(device);
  size_t at = put(list, 4, 0x0800, 1, "GANTRY  ", 8);
  write_list(&r, list, at);
  FAILS(&r, 7, 0x2700);
  CHECK_EQ(number(&r, 0x0003), 1);
  CHECK_EQ(gt_tape_unload(device), 0);
  load(device, "kept.tap", false);
  r = attach(device);
  CHECK_EQ(number(&r, 0x0003), 2);
  TEST("what cannot be stored was not written");
  CHECK_EQ(mkdir(rig_path("kept.tap.mam.new"), 0700), 0);
  write_list(&r, list, at);
  FAILS(&r, 3, 0x0C0B);
  uint8_t format;
  CHECK_EQ(attribute(&r, 0x0800, &format, data), -1);
  CHECK_EQ(rmdir(rig_path("kept.tap.mam.new")), 0);
  CHECK_EQ(gt_tape_unload(device), 0);
  TEST("damaged, they are neither read nor written nor replaced, and the data of the cartridge is there all the same");
  int fd = open(rig_path("kept.tap.mam"), O_RDWR);
  CHECK_EQ(pwrite(fd, "\xFF", 1, 8), 1);
  close(fd);
  load(device, "kept.tap", false);
  r = attach(device);
  rig_run(&r, "8c 00 00 00 00 00 00 00 00 00 00 00 00 40 00 00", GT_DIR_IN, data, sizeof data);
  FAILS(&r, 3, 0x1112);
  write_list(&r, list, at);
  FAILS(&r, 3, 0x1112);
  rig_none(&r, "01 00 00 00 00 00");
  GOOD(&r);
  gt_device_unref(device);
  fd = open(rig_path("kept.tap.mam"), O_RDONLY);
  CHECK_EQ(pread(fd, data, 1, 8), 1);
  CHECK_EQ(data[0], 0xFF);
  close(fd);
}

static void lists(void) {
  gt_device *device = open_drive();
  load(device, "lists.tap", false);
  rig r = attach(device);
  uint8_t data[2048] = {0};
  TEST("the lists of attributes, of volumes and of partitions; values end where the room does, their length does not");
  rig_run(&r, "8c 01 00 00 00 00 00 00 00 00 00 00 08 00 00 00", GT_DIR_IN, data, sizeof data);
  GOOD(&r);
  size_t there = gt_load_be32(data) / 2;
  rig_run(&r, "8c 05 00 00 00 00 00 00 00 00 00 00 08 00 00 00", GT_DIR_IN, data, sizeof data);
  GOOD(&r);
  CHECK_EQ(gt_load_be32(data) / 2, there + 15); /* no host attribute exists yet */
  for (size_t i = 1; i < there + 15; i++)
    CHECK(gt_load_be16(data + 4 + 2 * i) > gt_load_be16(data + 2 + 2 * i));
  for (int action = 2; action < 4; action++) {
    rig_f(&r, GT_DIR_IN, data, sizeof data, "8c %02x 000000 00 00 00 0000 00000800 00 00", action);
    GOOD(&r);
    CHECK_EQ(gt_load_be32(data), 0x00020001);
    CHECK_EQ(r.io.resid, (int)sizeof data - 4);
  }
  rig_run(&r, "8c 00 00 00 00 00 00 00 00 00 00 00 08 00 00 00", GT_DIR_IN, data, sizeof data);
  uint32_t all = gt_load_be32(data);
  rig_run(&r, "8c 00 00 00 00 00 00 00 00 00 00 00 00 09 00 00", GT_DIR_IN, data, sizeof data);
  CHECK_EQ(gt_load_be32(data), all);
  CHECK_EQ(r.io.resid, (int)sizeof data - 9);
  gt_device_unref(device);
}

/* A parameter of a log page, or -1. */
static int64_t counter(rig *r, uint8_t page, uint16_t code) {
  uint8_t data[1024] = {0};
  rig_f(r, GT_DIR_IN, data, sizeof data, "4d 00 %02x 00 00 0000 0400 00", 0x40 | page);
  GOOD(r);
  for (size_t at = 4, end = 4 + gt_load_be16(data + 2); at < end; at += 4 + (size_t)data[at + 3]) {
    if (gt_load_be16(data + at) != code) continue;
    int64_t value = 0;
    for (int i = 0; i < data[at + 3]; i++)
      value = value << 8 | data[at + 4 + i];
    return value;
  }
  return -1;
}

static void counters(void) {
  gt_device *device = open_drive();
  load(device, "counts.tap", false);
  rig r = attach(device), other = attach(device);
  static uint8_t data[3 << 20];
  TEST("bytes are counted, by the drive and by the volume, whose counts outlive it");
  rig_f(&r, GT_DIR_OUT, data, sizeof data, "0a 00 %06x 00", (unsigned)sizeof data);
  GOOD(&r);
  rig_none(&r, "01 00 00 00 00 00");
  rig_f(&r, GT_DIR_IN, data, sizeof data, "08 00 %06x 00", (unsigned)sizeof data);
  GOOD(&r);
  CHECK_EQ(counter(&r, 0x02, 5), sizeof data);
  CHECK_EQ(counter(&r, 0x03, 5), sizeof data);
  for (uint16_t code = 0; code < 4; code++)
    CHECK_EQ(counter(&r, 0x0C, code), sizeof data);
  CHECK_EQ(counter(&r, 0x31, 1), 61);
  CHECK_EQ(counter(&r, 0x31, 3), 64);
  CHECK_EQ(counter(&r, 0x17, 0x0001), 1);
  CHECK_EQ(counter(&r, 0x17, 0x000E), 3);
  CHECK_EQ(counter(&r, 0x17, 0x000F), 3);
  CHECK_EQ(number(&r, 0x0220), 3);
  CHECK_EQ(number(&r, 0x0223), 3);
  CHECK_EQ(number(&r, 0x0000), 61);
  CHECK_EQ(number(&r, 0x0001), 64);
  TEST("LOG SELECT with PCR begins the drive's counters anew, not the volume's, and tells the others");
  rig_none(&r, "4c 02 c0 00 00 00 00 00 00 00");
  GOOD(&r);
  CHECK_EQ(counter(&r, 0x02, 5), 0);
  CHECK_EQ(counter(&r, 0x0C, 3), 0);
  CHECK_EQ(counter(&r, 0x17, 0x0010), 3);
  rig_none(&other, "00 00 00 00 00 00");
  FAILS(&other, 6, 0x2A02);
  rig_none(&r, "00 00 00 00 00 00");
  GOOD(&r);
  TEST("LOG SELECT has nothing to set or to save, and knows its pages");
  static const char *const wrong[] = {"4c 03 c0 00 00 00 00 00 00 00", "4c 02 c2 00 00 00 00 00 00 00",
                                      "4c 00 f8 00 00 00 00 00 00 00", "4c 02 c0 00 00 00 00 00 04 00"};
  for (size_t i = 0; i < 4; i++) {
    rig_run(&r, wrong[i], GT_DIR_OUT, data, 4);
    FAILS(&r, 5, 0x2400);
  }
  CHECK_EQ(gt_tape_unload(device), 0);
  load(device, "counts.tap", false);
  r = attach(device);
  CHECK_EQ(counter(&r, 0x17, 0x0010), 3);
  CHECK_EQ(counter(&r, 0x17, 0x000E), 0);
  CHECK_EQ(counter(&r, 0x17, 0x0001), 2);
  gt_device_unref(device);
}

static void alerts(void) {
  gt_device *device = open_drive();
  load(device, "alert.tap", false);
  rig r = attach(device);
  uint8_t data[512] = {0};
  TEST("TapeAlert says what happened, once: a write to a protected cartridge, an unload that is prevented, a record "
       "that "
       "cannot be read");
  for (uint16_t flag = 1; flag <= 64; flag++)
    CHECK_EQ(counter(&r, 0x2E, flag), 0);
  rig_none(&r, "1e 00 00 00 01 00");
  rig_none(&r, "1b 00 00 00 00 00");
  FAILS(&r, 5, 0x5302);
  CHECK_EQ(number(&r, 0x0002), 1ull << 54); /* telling it as an attribute leaves it */
  CHECK_EQ(counter(&r, 0x2E, 10), 1);
  CHECK_EQ(counter(&r, 0x2E, 10), 0);
  rig_none(&r, "1e 00 00 00 00 00");
  rig_run(&r, "0a 00 00 02 00 00", GT_DIR_OUT, data, 512);
  GOOD(&r);
  CHECK_EQ(gt_tape_unload(device), 0);
  int fd = open(rig_path("alert.tap"), O_RDWR);
  CHECK_EQ(pwrite(fd, "\x01", 1, 4 + 512), 1); /* its trailing length is another */
  close(fd);
  load(device, "alert.tap", true);
  r = attach(device);
  rig_run(&r, "0a 00 00 02 00 00", GT_DIR_OUT, data, 512);
  FAILS(&r, 7, 0x2700);
  CHECK_EQ(counter(&r, 0x2E, 9), 1);
  rig_run(&r, "08 00 00 02 00 00", GT_DIR_IN, data, 512);
  FAILS(&r, 3, 0x1100);
  CHECK_EQ(counter(&r, 0x03, 6), 1);
  CHECK_EQ(counter(&r, 0x2E, 5), 1);
  gt_device_unref(device);
}

int main(void) {
  rig_begin();
  host_attributes();
  refusals();
  damage();
  lists();
  counters();
  alerts();
  return rig_end();
}
