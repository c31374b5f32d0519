/* INQUIRY where the supervisor is a copy manager: what is added to the words of a device, and that nothing else is. */
#include "device/impl.h"
#include "fake_lu.h"
#include "plane_rig.h"

#define TUR "00 00 00 00 00 00"

enum { PLAIN_ROWS = sizeof plane_rows / sizeof plane_rows[0], PAGE = 0x8F, ROOM = 600 };

static gt_plane *open_plane(uint8_t handling) {
  gt_class_row rows[PLAIN_ROWS + 1];
  memcpy(rows, plane_rows, sizeof plane_rows);
  rows[PLAIN_ROWS] = (gt_class_row){GT_THIRD_PARTY_COPY_OUT, 0, C_RESERVE, handling, 0};
  gt_plane *plane = plane_open_with(60000, NULL, NULL);
  CHECK_EQ(gt_plane_classes(plane, rows, PLAIN_ROWS + 1), 0);
  return plane;
}

static void quiet(front *f, uint32_t lun) {
  job j;
  for (int i = 0; i < 8 && job_none(&j, f, lun, TUR) != GT_STATUS_GOOD; i++)
    continue;
}

/* INQUIRY with an allocation length, and room that need not be the same; what is behind the answer stays as it was. */
static uint8_t inquire(job *j, front *f, uint32_t lun, uint8_t evpd, uint8_t page, uint16_t allocation, uint8_t *data,
                       uint32_t room) {
  char cdb[32];
  snprintf(cdb, sizeof cdb, "12 %02x %02x %02x %02x 00", evpd, page, allocation >> 8, allocation & 0xFF);
  memset(data, 0xEE, ROOM);
  return job_run(j, f, lun, cdb, GT_DIR_IN, data, room);
}

/* `whole` is what there is to say; every way to cut it. */
static void cuts(front *f, uint32_t lun, const uint8_t *whole, uint32_t length) {
  static const uint32_t rooms[] = {0, 3, 4, 9, 64, 255, 256, 300, 512};
  uint8_t data[ROOM];
  job j;
  for (uint32_t allocation = 0; allocation <= 300; allocation += allocation < 24 ? 1 : 23) {
    uint32_t sent = length < allocation ? length : allocation;
    for (size_t i = 0; i <= sizeof rooms / sizeof rooms[0]; i++) {
      uint32_t room = i ? rooms[i - 1] : allocation, moved = sent < room ? sent : room;
      CHECK_EQ(inquire(&j, f, lun, 1, 0, (uint16_t)allocation, data, room), GT_STATUS_GOOD);
      CHECK_EQ(j.task.io.resid, (int32_t)room - (int32_t)sent);
      CHECK_EQ(j.task.io.data_len, room);
      CHECK(j.task.io.dir == GT_DIR_IN && j.task.io.data == data && j.task.io.cdb[4] == (allocation & 0xFF));
      CHECK(memcmp(data, whole, moved) == 0);
      CHECK_EQ(data[moved], 0xEE);
    }
  }
  TEST("without room of any kind the residual says how much there was");
  char cdb[32];
  snprintf(cdb, sizeof cdb, "12 01 00 00 ff 00");
  CHECK_EQ(job_none(&j, f, lun, cdb), GT_STATUS_GOOD);
  CHECK_EQ(j.task.io.resid, -(int32_t)length);
}

static void emulated(front *f, uint32_t lun, uint8_t type, const uint8_t *pages, uint8_t count) {
  uint8_t whole[64] = {type, 0, 0, count}, data[ROOM];
  job j;
  TEST("an emulated device has page 8Fh in its list, in its place, however short the answer is cut");
  memcpy(whole + 4, pages, count);
  cuts(f, lun, whole, 4u + count);
  TEST("its standard data say 3PC where that byte is asked for, and are otherwise its own");
  CHECK_EQ(inquire(&j, f, lun, 0, 0, 96, data, 96), GT_STATUS_GOOD);
  CHECK(data[5] == 0x18 && data[0] == type && j.task.io.resid == 0);
  CHECK_EQ(inquire(&j, f, lun, 0, 0, 6, data, 6), GT_STATUS_GOOD);
  CHECK(data[5] == 0x18 && data[6] == 0xEE);
  CHECK_EQ(inquire(&j, f, lun, 0, 0, 5, data, 96), GT_STATUS_GOOD);
  CHECK_EQ(data[5], 0xEE);
  CHECK_EQ(inquire(&j, f, lun, 0, 0, 96, data, 5), GT_STATUS_GOOD);
  CHECK_EQ(data[5], 0xEE);
  TEST("other pages are the device's own words");
  CHECK_EQ(inquire(&j, f, lun, 1, 0x86, 64, data, 64), GT_STATUS_GOOD);
  CHECK(data[1] == 0x86 && data[5] == 0x07);
}

/* Page 8Fh goes to the supervisor, which answers it or passes it on. */
static void page_is_punted(gt_plane *plane, front *f, uint32_t lun, uint32_t unit) {
  uint8_t data[ROOM], page[40] = {0, PAGE, 0, 36, 1, 2, 3};
  job j;
  gt_punt punt;
  TEST("page 8Fh is the supervisor's to answer, also with a unit attention pending and behind a reservation");
  gt_verdict reserved = everything;
  reserved.reservation = 0;
  CHECK_EQ(gt_plane_set_path(plane, f->number, lun, unit, &reserved), 0);
  CHECK_EQ(gt_plane_attention(plane, f->number, lun, 0x2A, 0x01), 0);
  job_fill(&j, f, lun, "12 01 8f 00 40 00", GT_DIR_IN, data, 64);
  CHECK_EQ(gt_task_admit(f->nexus, &j.task), GT_ADMIT_GO);
  CHECK(!j.task.at_once);
  gt_task_start(&j.task);
  CHECK_EQ(j.answers, 0);
  CHECK_EQ(gt_plane_take_punts(plane, &punt, 1), 1);
  CHECK(punt.cdb[0] == GT_INQUIRY && punt.cdb[2] == PAGE && punt.cdb_len == 6 && punt.alloc == 64);
  CHECK(punt.unit == unit && punt.lun == lun);
  CHECK_EQ(gt_plane_answer(plane, punt.id, GT_STATUS_GOOD, NULL, 0, page, sizeof page), 0);
  job_wait(&j);
  CHECK(j.task.io.status == GT_STATUS_GOOD && j.task.io.resid == 24 && memcmp(data, page, 40) == 0);
  CHECK_EQ(gt_plane_set_path(plane, f->number, lun, unit, &everything), 0);
  quiet(f, lun);
  TEST("passed on it is the device's, which has none");
  job_fill(&j, f, lun, "12 01 8f 00 40 00", GT_DIR_IN, data, 64);
  CHECK(!job_send(&j));
  CHECK_EQ(gt_plane_take_punts(plane, &punt, 1), 1);
  CHECK_EQ(gt_plane_pass(plane, punt.id), 0);
  job_wait(&j);
  CHECK(job_is(&j, GT_KEY_ILLEGAL_REQUEST, GT_ASC_INVALID_FIELD_IN_CDB));
  TEST("without EVPD, or with a reserved bit, it is no such page and the device refuses");
  CHECK_EQ(inquire(&j, f, lun, 0, PAGE, 64, data, 64), GT_STATUS_CHECK_CONDITION);
  CHECK(job_is(&j, GT_KEY_ILLEGAL_REQUEST, GT_ASC_INVALID_FIELD_IN_CDB));
  CHECK_EQ(inquire(&j, f, lun, 3, PAGE, 64, data, 64), GT_STATUS_CHECK_CONDITION);
  CHECK_EQ(gt_plane_take_punts(plane, &punt, 1), 0);
}

static void add(gt_plane *plane, uint32_t unit, gt_device *device, bool inline_ok) {
  CHECK_EQ(gt_plane_add_device(plane, unit, device, inline_ok), 0);
  gt_device_unref(device);
}

static gt_device *tape_with(void) {
  gt_device *drive = NULL;
  gt_cartridge_options cartridge = {.path = rig_path("identity.tap")};
  CHECK_EQ(gt_tape_open(&(gt_tape_options){0}, &drive, NULL, 0), 0);
  CHECK_EQ(gt_tape_load(drive, &cartridge, NULL, 0), 0);
  return drive;
}

static void devices(void) {
  static const uint8_t disk[] = {0x00, 0x80, 0x83, 0x85, 0x86, PAGE, 0xB0, 0xB1, 0xB2};
  static const uint8_t tape[] = {0x00, 0x80, 0x83, 0x85, 0x86, PAGE, 0xB0, 0xB1, 0xB3};
  gt_plane *plane = open_plane(GT_PUNT);
  front f;
  front_open(&f, plane);
  add(plane, 0, plane_disk("here.img"), true);
  add(plane, 1, plane_disk("threads.img"), false);
  add(plane, 2, tape_with(), false);
  for (uint32_t lun = 0; lun < 3; lun++) {
    CHECK_EQ(gt_plane_set_path(plane, f.number, lun, lun, &everything), 0);
    quiet(&f, lun);
    if (lun < 2)
      emulated(&f, lun, GT_TYPE_DISK, disk, sizeof disk);
    else
      emulated(&f, lun, GT_TYPE_TAPE, tape, sizeof tape);
    page_is_punted(plane, &f, lun, lun);
  }
  TEST("where there is no device there is no copy manager");
  uint8_t data[ROOM];
  job j;
  CHECK_EQ(gt_plane_set_path(plane, f.number, 9, GT_NO_UNIT, &everything), 0);
  for (uint32_t lun = 9; lun <= 10; lun++) {
    CHECK_EQ(inquire(&j, &f, lun, 1, 0, 64, data, 64), GT_STATUS_GOOD);
    CHECK(gt_load_be16(data + 2) == 1 && data[4] == 0 && j.task.io.resid == 59);
    CHECK_EQ(inquire(&j, &f, lun, 0, 0, 64, data, 64), GT_STATUS_GOOD);
    CHECK_EQ(data[5], 0);
    CHECK_EQ(inquire(&j, &f, lun, 1, PAGE, 64, data, 64), GT_STATUS_CHECK_CONDITION);
    CHECK(job_is(&j, GT_KEY_ILLEGAL_REQUEST, GT_ASC_INVALID_FIELD_IN_CDB));
  }
  front_close(&f);
  gt_plane_close(plane);
}

static void without_copy_manager(void) {
  gt_plane *plane = open_plane(GT_FORWARD);
  front f;
  job j;
  uint8_t data[ROOM];
  front_open(&f, plane);
  add(plane, 0, plane_disk("plain.img"), true);
  CHECK_EQ(gt_plane_set_path(plane, f.number, 0, 0, &everything), 0);
  quiet(&f, 0);
  TEST("a table in which third-party copies are no punts leaves INQUIRY to the device");
  CHECK_EQ(inquire(&j, &f, 0, 1, 0, 64, data, 64), GT_STATUS_GOOD);
  CHECK(gt_load_be16(data + 2) == 8 && !memchr(data, PAGE, 12));
  CHECK_EQ(inquire(&j, &f, 0, 0, 0, 96, data, 96), GT_STATUS_GOOD);
  CHECK_EQ(data[5], 0x10);
  CHECK_EQ(inquire(&j, &f, 0, 1, PAGE, 64, data, 64), GT_STATUS_CHECK_CONDITION);
  front_close(&f);
  gt_plane_close(plane);
}

/* A real device, as the test wants it. */
typedef struct real {
  uint8_t type; /* with qualifier */
  uint8_t pages[300];
  uint16_t count, says; /* what it has, and what its page length says */
  uint8_t key, outcome;
  _Atomic uint16_t asked; /* allocation length of the last list */
} real;

static bool answer(fake *f, gt_io *io) {
  real *r = f->state;
  fake_good(io, (int32_t)io->data_len);
  if (io->cdb[0] != GT_INQUIRY) return true;
  uint8_t all[304] = {r->type, io->cdb[2], r->says >> 8, r->says & 0xFF};
  uint16_t allocation = gt_load_be16(io->cdb + 3);
  uint32_t length = 4u + r->count;
  if (io->cdb[1]) {
    atomic_store(&r->asked, allocation);
    if (r->key) return fake_error(io, r->key, GT_ASC_INVALID_FIELD_IN_CDB), true;
    memcpy(all + 4, r->pages, r->count);
  } else {
    memset(all + 1, 0x40, 35);
    length = 36;
  }
  if (length > allocation) length = allocation;
  uint32_t moved = length < io->data_len ? length : io->data_len;
  if (moved) memcpy(io->data, all, moved);
  fake_good(io, (int32_t)io->data_len - (int32_t)length);
  if (io->cdb[1]) io->outcome = r->outcome;
  return true;
}

static void is_list(real *r, const uint8_t *pages, uint16_t count) {
  memcpy(r->pages, pages, count);
  r->count = r->says = count;
}

static void lists(front *f, real *r) {
  uint8_t data[ROOM], whole[ROOM] = {0};
  job j;
  TEST("the list of a real device, cut anywhere, with page 8Fh in its place");
  is_list(r, (uint8_t[]){0x00, 0x83, 0xB0}, 3);
  cuts(f, 0, (uint8_t[]){0, 0, 0, 4, 0x00, 0x83, PAGE, 0xB0}, 8);
  is_list(r, (uint8_t[]){0xC0}, 1);
  cuts(f, 0, (uint8_t[]){0, 0, 0, 2, PAGE, 0xC0}, 6);
  is_list(r, (uint8_t[]){0x00, 0x80}, 2);
  cuts(f, 0, (uint8_t[]){0, 0, 0, 3, 0x00, 0x80, PAGE}, 7);
  TEST("a device that has it is left as it is, wherever it has it");
  is_list(r, (uint8_t[]){0x00, PAGE, 0xB0}, 3);
  cuts(f, 0, (uint8_t[]){0, 0, 0, 3, 0x00, PAGE, 0xB0}, 7);
  is_list(r, (uint8_t[]){0x00, 0xB0, PAGE}, 3);
  cuts(f, 0, (uint8_t[]){0, 0, 0, 3, 0x00, 0xB0, PAGE}, 7);
  TEST("a device that knows one byte of allocation length is asked for no more than that");
  CHECK_EQ(inquire(&j, f, 0, 1, 0, 255, data, 255), GT_STATUS_GOOD);
  CHECK_EQ(atomic_load(&r->asked), 255);
  TEST("a list of every page there can be");
  uint8_t every[255];
  for (unsigned i = 0; i < 255; i++)
    every[i] = (uint8_t)(i < PAGE ? i : i + 1);
  is_list(r, every, 255);
  CHECK_EQ(inquire(&j, f, 0, 1, 0, 512, data, 512), GT_STATUS_GOOD);
  whole[2] = 1;
  for (unsigned i = 0; i < 256; i++)
    whole[4 + i] = (uint8_t)i;
  CHECK(memcmp(data, whole, 260) == 0 && j.task.io.resid == 512 - 260);
  TEST("a list that is not what it says comes as it is");
  is_list(r, (uint8_t[]){0x00, 0x80, 0x83}, 3);
  r->says = 9;
  cuts(f, 0, (uint8_t[]){0, 0, 0, 9, 0x00, 0x80, 0x83}, 7);
  r->says = 3;
}

static void answers(front *f, real *r) {
  uint8_t data[ROOM];
  job j;
  TEST("the refusal of a device that has no such list is its own");
  r->key = GT_KEY_ILLEGAL_REQUEST;
  CHECK_EQ(inquire(&j, f, 0, 1, 0, 64, data, 64), GT_STATUS_CHECK_CONDITION);
  CHECK(job_is(&j, GT_KEY_ILLEGAL_REQUEST, GT_ASC_INVALID_FIELD_IN_CDB));
  CHECK(j.task.io.resid == 64 && data[0] == 0xEE);
  r->key = 0;
  TEST("an answer that did not come is none");
  r->outcome = GT_TRANSPORT;
  CHECK_EQ(inquire(&j, f, 0, 1, 0, 64, data, 64), GT_STATUS_CHECK_CONDITION);
  CHECK(job_is(&j, GT_KEY_ABORTED_COMMAND, 0x0800));
  CHECK(j.task.io.resid == 64 && data[0] == 0xEE);
  r->outcome = GT_DELIVERED;
  TEST("standard data of a real disk say 3PC, beside what they say");
  CHECK_EQ(inquire(&j, f, 0, 0, 0, 36, data, 36), GT_STATUS_GOOD);
  CHECK(data[5] == 0x48 && data[4] == 0x40 && data[6] == 0x40);
}

static void others(gt_plane *plane, front *f, real *r) {
  uint8_t data[ROOM];
  job j;
  gt_punt punt;
  static const uint8_t types[] = {0x08, 0x20, 0x7F};
  for (size_t i = 0; i < sizeof types; i++) {
    TEST("changers, and places where a real target has no device, are left as they are");
    r->type = types[i];
    is_list(r, (uint8_t[]){0x00, 0x83}, 2);
    cuts(f, 0, (uint8_t[]){types[i], 0, 0, 2, 0x00, 0x83}, 6);
    CHECK_EQ(inquire(&j, f, 0, 0, 0, 36, data, 36), GT_STATUS_GOOD);
    CHECK_EQ(data[5], 0x40);
  }
  CHECK_EQ(inquire(&j, f, 1, 1, PAGE, 64, data, 64), GT_STATUS_GOOD); /* the changer's own */
  CHECK_EQ(gt_plane_take_punts(plane, &punt, 1), 0);
}

static int gone_submit(gt_lu *lu, gt_io *io) {
  (void)lu, (void)io;
  return -ENOTCONN;
}

static void reals(void) {
  gt_plane *plane = open_plane(GT_PUNT);
  static real disk, changer = {.type = 0x08}, lost;
  real *each[] = {&disk, &changer, &lost};
  static gt_lu_ops dead_ops;
  front f;
  job j;
  uint8_t data[ROOM];
  dead_ops = fake_ops;
  dead_ops.submit = gone_submit;
  front_open(&f, plane);
  for (uint32_t unit = 0; unit < 3; unit++) {
    fake *device = fake_disk(512, 64, 0);
    device->script = answer;
    device->state = each[unit];
    if (unit == 2) device->lu.ops = &dead_ops;
    CHECK_EQ(gt_plane_add_lu(plane, unit, &device->lu, 0, 0), 0);
    CHECK_EQ(gt_plane_set_path(plane, f.number, unit, unit, &everything), 0);
    quiet(&f, unit);
  }
  lists(&f, &disk);
  answers(&f, &disk);
  others(plane, &f, &disk);
  TEST("a list that was never asked for leaves the command as it came");
  CHECK_EQ(inquire(&j, &f, 2, 1, 0, 64, data, 48), GT_STATUS_CHECK_CONDITION);
  CHECK(j.task.io.cdb[4] == 64 && j.task.io.data_len == 48 && j.task.io.data == data && j.task.io.resid == 48);
  TEST("many at a time are kept apart");
  enum { MANY = 60 };
  static uint8_t heap[MANY][64];
  job jobs[MANY];
  disk.type = 0;
  is_list(&disk, (uint8_t[]){0x00, 0x83, 0xB0}, 3);
  for (int i = 0; i < MANY; i++) {
    char cdb[32];
    snprintf(cdb, sizeof cdb, "12 01 00 00 %02x 00", i);
    job_fill(&jobs[i], &f, 0, cdb, GT_DIR_IN, heap[i], 64);
    job_send(&jobs[i]);
  }
  for (int i = 0; i < MANY; i++) {
    job_wait(&jobs[i]);
    CHECK_EQ(jobs[i].task.io.resid, 64 - (i < 8 ? i : 8));
    CHECK(i < 7 || heap[i][6] == PAGE);
  }
  front_close(&f);
  gt_plane_close(plane);
}

int main(void) {
  rig_begin();
  devices();
  without_copy_manager();
  reals();
  return rig_end();
}
