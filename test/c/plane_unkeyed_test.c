/* A nexus without a key reaches no device, whatever it says: a million commands at random, behind the table that knows
 * every operation code, in front of a device that counts. */
#include "fake_lu.h"
#include "plane_rig.h"

enum { COMMANDS = 1000000, NOWHERE = 0, EMPTY = 1, EXPIRED = 2, WITHDRAWN = 3, LUNS = 6 };

static _Atomic uint64_t reached;

static bool counts(fake *f, gt_io *io) {
  (void)f;
  reached++;
  fake_good(io, (int32_t)io->data_len);
  return true;
}

/* What answers without a device, to whoever asks. */
static bool local(uint8_t opcode) {
  return opcode == GT_INQUIRY || opcode == GT_REPORT_LUNS || opcode == GT_REQUEST_SENSE;
}

static gt_plane *open_plane(void) {
  gt_plane *plane = NULL;
  gt_class_row rows[256];
  for (unsigned opcode = 0; opcode < 256; opcode++) {
    uint8_t handling = opcode == GT_INQUIRY ? GT_IDENTITY : opcode == GT_REPORT_LUNS ? GT_LUNS : GT_FORWARD;
    if (opcode == GT_REQUEST_SENSE) handling = GT_SENSE;
    uint8_t flags = local((uint8_t)opcode) ? GT_CLASS_NO_ATTENTION : 0;
    rows[opcode] = (gt_class_row){(uint8_t)opcode, -1, (uint8_t)(opcode % GT_CLASSES), handling, flags};
  }
  CHECK_EQ(gt_plane_open(&(gt_plane_options){0}, &plane), 0);
  CHECK_EQ(gt_plane_classes(plane, rows, 256), 0);
  fake *device = fake_disk(512, 64, 1);
  device->script = counts;
  CHECK_EQ(gt_plane_add_lu(plane, 0, &device->lu, 0, 0), 0);
  return plane;
}

static void without_keys(front *f) {
  gt_verdict none = {.reservation = 0xFFFF}, over = {.gate = 0xFFFF, .reservation = 0xFFFF, .visible = true};
  over.expires_ns = 1;
  CHECK_EQ(gt_plane_set_path(f->plane, f->number, EMPTY, 0, &none), 0);
  CHECK_EQ(gt_plane_set_path(f->plane, f->number, EXPIRED, 0, &over), 0);
  over.expires_ns = 0;
  CHECK_EQ(gt_plane_set_path(f->plane, f->number, WITHDRAWN, 0, &over), 0);
  CHECK_EQ(gt_plane_clear_path(f->plane, f->number, WITHDRAWN), 0);
}

/* One command; true: it looked like an answer of a device. */
static bool one(front *f, uint64_t *seed, uint8_t *data, uint32_t room) {
  job j = {.front = f, .task = {.answered = job_answered}};
  uint64_t a = fake_random(seed), b = fake_random(seed), c = fake_random(seed);
  j.task.owner = &j;
  j.task.lun = c % 64 == 0 ? (uint32_t)(c >> 32) : (uint32_t)(c >> 8) % LUNS;
  j.task.attribute = c >> 16 & 3;
  j.task.io = (gt_io){.dir = (uint8_t)((c >> 20) % 3), .data = data, .cdb_len = 16};
  j.task.io.data_len = j.task.io.dir == GT_DIR_NONE ? 0 : (uint32_t)(c >> 24) % room;
  memcpy(j.task.io.cdb, &a, 8);
  memcpy(j.task.io.cdb + 8, &b, 8);
  job_send(&j);
  if (j.answers != 1) return true; /* somebody else has it */
  return j.task.io.status == GT_STATUS_GOOD && !local(j.task.io.cdb[0]);
}

int main(void) {
  TEST("a million random CDBs of a nexus without a key reach no device");
  static uint8_t data[4096];
  uint64_t seed = 88172645463325252u, past = 0;
  gt_plane *plane = open_plane();
  front keyed, bare;
  front_open(&keyed, plane);
  front_open(&bare, plane);
  gt_verdict all = {.gate = 0xFFFF, .reservation = 0xFFFF, .visible = true};
  CHECK_EQ(gt_plane_set_path(plane, keyed.number, 0, 0, &all), 0);
  without_keys(&bare);
  JOB_FAILS(&keyed, 0, "00 00 00 00 00 00", GT_KEY_UNIT_ATTENTION, 0x2900);
  JOB_GOOD(&keyed, 0, "00 00 00 00 00 00");
  uint64_t before = reached;
  CHECK(before > 0);
  for (int i = 0; i < COMMANDS; i++)
    past += one(&bare, &seed, data, sizeof data);
  CHECK_EQ(past, 0);
  CHECK_EQ(reached, before);
  TEST("a nexus with a key does, with the very same commands");
  JOB_GOOD(&keyed, 0, "00 00 00 00 00 00");
  CHECK_EQ(reached, before + 1);
  front_close(&keyed);
  front_close(&bare);
  gt_plane_close(plane);
  return check_end();
}
