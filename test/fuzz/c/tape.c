/* The emulated tape drive against a list of blocks and filemarks: any commands, loads and unloads. Data, position,
 * residual and sense are predicted for every command on the medium. */
#include <errno.h>

#include "device.h"

enum { MOST = 1024, OBJECTS = 500, COMMANDS = 60, ROOM = 8 * MOST };

typedef struct object {
  uint32_t length; /* 0: filemark */
  uint8_t bytes[MOST];
} object;

typedef struct model {
  object objects[OBJECTS];
  uint64_t count, at;
  uint32_t block_length;
  uint64_t capacity, early;
  bool write_protected, worm, unloaded;
} model;

/* What has to come of a command. */
typedef struct answer {
  bool known, good;
  uint8_t key;
  uint16_t asc;
  bool filemark, eom, ili, has_information;
  int64_t information;
  uint64_t moves; /* bytes */
} answer;

static uint64_t bytes_before(const model *m, uint64_t at) {
  uint64_t sum = 0;
  for (uint64_t i = 0; i < at; i++)
    sum += m->objects[i].length;
  return sum;
}

static uint64_t marks_before(const model *m, uint64_t at) {
  uint64_t marks = 0;
  for (uint64_t i = 0; i < at; i++)
    marks += !m->objects[i].length;
  return marks;
}

static bool near_end(const model *m) { return m->capacity && bytes_before(m, m->at) > m->capacity - m->early; }

static void good(answer *a) { a->good = true; }
static void fails(answer *a, uint8_t key, uint16_t asc) { a->key = key, a->asc = asc; }

static void stopped(answer *a, uint8_t key, uint16_t asc, int64_t left) {
  fails(a, key, asc);
  a->has_information = true;
  a->information = left;
}

static void at_end(const model *m, answer *a, int64_t left) {
  stopped(a, GT_KEY_BLANK_CHECK, GT_ASC_END_OF_DATA, left);
  a->eom = near_end(m);
}

static void at_mark(answer *a, int64_t left) {
  stopped(a, GT_KEY_NO_SENSE, GT_ASC_FILEMARK_DETECTED, left);
  a->filemark = true;
}

static void at_beginning(answer *a, int64_t left) {
  stopped(a, GT_KEY_NO_SENSE, GT_ASC_BEGINNING_OF_MEDIUM, left);
  a->eom = true;
}

static void read_blocks(model *m, const uint8_t *cdb, answer *a, uint8_t *out, uint32_t room) {
  uint32_t length = gt_load_be24(cdb + 2), done = 0;
  bool fixed = cdb[1] & 1;
  if (fixed && (!m->block_length || cdb[1] & 2)) return fails(a, GT_KEY_ILLEGAL_REQUEST, 0);
  for (good(a); length && (fixed ? done < length : !done); done++) {
    int64_t left = fixed ? length - done : length;
    if (m->at == m->count) return a->good = false, at_end(m, a, left);
    object *o = &m->objects[m->at++];
    if (!o->length) return a->good = false, at_mark(a, left);
    if (fixed && o->length != m->block_length) {
      a->good = false, a->ili = true;
      return stopped(a, GT_KEY_NO_SENSE, 0, left);
    }
    uint32_t got = fixed || o->length < length ? o->length : length;
    for (uint32_t i = 0; i < got && a->moves + i < room; i++)
      out[a->moves + i] = o->bytes[i];
    a->moves += got;
    left = (int64_t)length - o->length;
    if (fixed || !left || (cdb[1] & 2 && (left > 0 || !m->block_length))) continue;
    a->good = false, a->ili = true;
    return stopped(a, GT_KEY_NO_SENSE, 0, left);
  }
}

static bool may_write(const model *m, answer *a) {
  if (!m->write_protected && (!m->worm || m->at == m->count)) return true;
  return fails(a, GT_KEY_DATA_PROTECT, 0), false;
}

/* How a write ends that left so much: the end of the medium, or the warning before it. */
static void wrote(const model *m, answer *a, bool full, int64_t left) {
  if (!full && !near_end(m)) return good(a);
  stopped(a, full ? GT_KEY_VOLUME_OVERFLOW : GT_KEY_NO_SENSE, GT_ASC_END_OF_MEDIUM, left);
  a->eom = true;
}

static void write_blocks(model *m, const uint8_t *cdb, answer *a, const uint8_t *data, uint32_t offered) {
  uint32_t length = gt_load_be24(cdb + 2);
  bool fixed = cdb[1] & 1;
  if (fixed && !m->block_length) return fails(a, GT_KEY_ILLEGAL_REQUEST, 0);
  if (!length) return good(a);
  uint32_t each = fixed ? m->block_length : length, blocks = fixed ? length : 1;
  if (each > MOST || offered < (uint64_t)each * blocks) return fails(a, GT_KEY_ILLEGAL_REQUEST, 0);
  if (!may_write(m, a)) return;
  uint32_t done = 0;
  m->count = m->at;
  while (done < blocks && (!m->capacity || bytes_before(m, m->at) + each <= m->capacity)) {
    m->objects[m->at].length = each;
    memcpy(m->objects[m->at].bytes, data + (size_t)done * each, each);
    m->count = ++m->at;
    done++;
  }
  a->moves = (uint64_t)each * done;
  wrote(m, a, done < blocks, fixed ? (int64_t)blocks - done : (int64_t)each * (1 - (int64_t)done));
}

static void write_marks(model *m, const uint8_t *cdb, answer *a) {
  uint32_t marks = gt_load_be24(cdb + 2);
  if (!marks) return good(a);
  if (!may_write(m, a)) return;
  for (m->count = m->at; marks--; m->count = ++m->at)
    m->objects[m->at].length = 0;
  wrote(m, a, false, 0);
}

static void space_blocks(model *m, answer *a, int64_t count) {
  for (; count > 0; count--) {
    if (m->at == m->count) return at_end(m, a, count);
    if (!m->objects[m->at++].length) return at_mark(a, count);
  }
  for (; count < 0; count++) {
    if (!m->at) return at_beginning(a, -(count + 1) + 1);
    if (!m->objects[--m->at].length) return at_mark(a, -count);
  }
  good(a);
}

static void space_marks(model *m, answer *a, int64_t count) {
  for (; count > 0; count -= !m->objects[m->at++].length)
    if (m->at == m->count) return at_end(m, a, count);
  for (; count < 0; count += !m->objects[--m->at].length)
    if (!m->at) return at_beginning(a, -(count + 1) + 1);
  good(a);
}

static void space(model *m, const uint8_t *cdb, answer *a) {
  int64_t count = (int64_t)gt_load_be64(cdb + 4);
  if (cdb[0] == GT_SPACE_6) count = (int32_t)(gt_load_be24(cdb + 2) << 8) >> 8;
  switch (cdb[1] & 0x0F) {
  case 0: return space_blocks(m, a, count);
  case 1: return space_marks(m, a, count);
  case 3: m->at = m->count; return good(a);
  default: fails(a, GT_KEY_ILLEGAL_REQUEST, 0);
  }
}

static void locate(model *m, const uint8_t *cdb, answer *a) {
  bool wide = cdb[0] == GT_LOCATE_16;
  uint64_t target = wide ? gt_load_be64(cdb + 4) : gt_load_be32(cdb + 3), at = 0;
  unsigned type = wide ? cdb[1] >> 3 & 3 : 0;
  if (cdb[1] & 2 && cdb[wide ? 3 : 8]) return fails(a, GT_KEY_ILLEGAL_REQUEST, 0);
  if (type == 2) return fails(a, GT_KEY_ILLEGAL_REQUEST, 0);
  if (type == 3) at = m->count;
  if (type == 0) at = target < m->count ? target : m->count;
  if (type == 1)
    while (at < m->count && marks_before(m, at) < target)
      at++;
  m->at = at;
  if (type == 3 || (type ? marks_before(m, at) : at) == target) return good(a);
  fails(a, GT_KEY_BLANK_CHECK, GT_ASC_END_OF_DATA);
}

static bool reserved_bits(const uint8_t *cdb) {
  static const uint8_t six[6] = {0, 3, 255, 255, 255, 0},
                       sixteen[16] = {0, 15, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255};
  static const uint8_t locate_10[10] = {0, 3, 0, 255, 255, 255, 255, 0, 255, 0};
  static const uint8_t locate_16[16] = {0, 0x1B, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255};
  static const uint8_t one[6] = {0, 1}, three[6] = {0, 3}, space_6[6] = {0, 15, 255, 255, 255};
  static const uint8_t writes[6] = {0, 1, 255, 255, 255};
  switch (cdb[0]) {
  case GT_READ_6: return fuzz_reserved(cdb, six, 6);
  case GT_WRITE_6:
  case GT_WRITE_FILEMARKS_6: return fuzz_reserved(cdb, writes, 6);
  case GT_SPACE_6: return fuzz_reserved(cdb, space_6, 6);
  case GT_SPACE_16: return fuzz_reserved(cdb, sixteen, 16);
  case GT_LOCATE_10: return fuzz_reserved(cdb, locate_10, 10);
  case GT_LOCATE_16: return fuzz_reserved(cdb, locate_16, 16);
  case GT_ERASE_6: return fuzz_reserved(cdb, three, 6);
  default: return fuzz_reserved(cdb, one, 6);
  }
}

static answer predict(model *m, const uint8_t *cdb, uint8_t *in, uint32_t room, const uint8_t *out, uint32_t offered) {
  answer a = {.known = true};
  switch (cdb[0]) {
  case GT_READ_6:
  case GT_WRITE_6:
  case GT_WRITE_FILEMARKS_6:
  case GT_SPACE_6:
  case GT_SPACE_16:
  case GT_LOCATE_10:
  case GT_LOCATE_16:
  case GT_ERASE_6:
  case GT_REWIND: break;
  default: return (answer){0};
  }
  if (reserved_bits(cdb)) return fails(&a, GT_KEY_ILLEGAL_REQUEST, GT_ASC_INVALID_FIELD_IN_CDB), a;
  if (m->unloaded) return fails(&a, GT_KEY_NOT_READY, GT_ASC_MEDIUM_NOT_PRESENT), a;
  switch (cdb[0]) {
  case GT_READ_6: read_blocks(m, cdb, &a, in, room); break;
  case GT_WRITE_6: write_blocks(m, cdb, &a, out, offered); break;
  case GT_WRITE_FILEMARKS_6: write_marks(m, cdb, &a); break;
  case GT_ERASE_6:
    if (may_write(m, &a)) m->count = m->at, good(&a);
    break;
  case GT_REWIND: m->at = 0, good(&a); break;
  case GT_LOCATE_10:
  case GT_LOCATE_16: locate(m, cdb, &a); break;
  default: space(m, cdb, &a);
  }
  return a;
}

static void check_position(fuzz_lun *l, const model *m) {
  static const uint8_t cdb[10] = {GT_READ_POSITION, 6};
  uint8_t data[32] = {0};
  fuzz_settle(l);
  fuzz_cdb(l, cdb, 10, GT_DIR_IN, data, sizeof data);
  if (m->unloaded) {
    MUST(fuzz_is(l, GT_KEY_NOT_READY));
    return;
  }
  MUST(l->io.status == GT_STATUS_GOOD && l->io.resid == 0);
  MUST(gt_load_be64(data + 8) == m->at && gt_load_be64(data + 16) == marks_before(m, m->at));
  MUST(data[0] == ((m->at ? 0 : 0x80) | (near_end(m) ? 0x40 : 0)));
}

static void check_answer(const fuzz_lun *l, const answer *want, uint32_t length) {
  if (!want->known) return;
  MUST((l->io.status == GT_STATUS_GOOD) == want->good);
  MUST((int64_t)l->io.resid == (int64_t)length - (int64_t)want->moves);
  if (want->good) return;
  const gt_sense *s = &l->sense;
  MUST(s->key == want->key && (!want->asc || s->asc == want->asc));
  MUST(s->filemark == want->filemark && s->eom == want->eom && s->ili == want->ili);
  bool fits = want->information >= INT32_MIN && want->information <= INT32_MAX;
  if (want->has_information && fits)
    MUST(s->has_information && (uint32_t)s->information == (uint32_t)want->information);
}

static void make_cdb(fuzz_in *in, uint8_t shape, uint8_t cdb[32]) {
  static const uint8_t opcodes[] = {
      GT_READ_6,    GT_WRITE_6, GT_WRITE_FILEMARKS_6, GT_SPACE_6, GT_SPACE_16, GT_LOCATE_10,
      GT_LOCATE_16, GT_REWIND,  GT_ERASE_6,           GT_READ_6,  GT_WRITE_6};
  if (shape & 0x80) return fuzz_bytes(in, cdb, 16);
  uint8_t opcode = cdb[0] = opcodes[fuzz_u8(in) % sizeof opcodes], bits = fuzz_u8(in), count = fuzz_u8(in);
  bool moves = opcode == GT_READ_6 || opcode == GT_WRITE_6;
  int8_t signed_count = (int8_t)count;
  cdb[1] = bits & (opcode == GT_READ_6 ? 3 : moves ? 1 : 0);
  if (moves && !(bits & 1)) gt_store_be16(cdb + 3, (uint16_t)(1 + count * (bits & 4 ? 1 : 5)));
  if (moves && bits & 1) cdb[4] = count % 6;
  if (opcode == GT_WRITE_FILEMARKS_6) cdb[4] = count % 4;
  if (opcode == GT_SPACE_6) cdb[1] = bits & 3, gt_store_be24(cdb + 2, (uint32_t)(signed_count / 4) & 0xFFFFFF);
  if (opcode == GT_SPACE_16) cdb[1] = bits & 3, gt_store_be64(cdb + 4, (uint64_t)(int64_t)(signed_count / 4));
  /* CP with a partition, a partition without CP, a reserved byte. */
  if (opcode == GT_LOCATE_10)
    cdb[1] = bits & 3, cdb[6] = count / 4, cdb[8] = (bits & 7) == 4, cdb[7] = (bits & 63) == 8;
  if (opcode == GT_LOCATE_16) cdb[1] = bits & 0x1B, cdb[3] = (bits & 0x64) == 4, cdb[11] = count / 4;
}

/* A block length by MODE SELECT, header and descriptor only. */
static void set_block_length(fuzz_lun *l, model *m, fuzz_in *in) {
  static const uint8_t cdb[6] = {GT_MODE_SELECT_6, 0x10, 0, 0, 12};
  uint8_t list[12] = {0, 0, 0x10, 8};
  uint32_t length = fuzz_u8(in) * 5u;
  gt_store_be24(list + 9, length);
  fuzz_cdb(l, cdb, 6, GT_DIR_OUT, list, sizeof list);
  MUST((l->io.status == GT_STATUS_GOOD) == (length <= MOST));
  if (length <= MOST) m->block_length = length;
}

/* What commands that are not of the medium may have changed is asked for. */
static void learn(fuzz_lun *l, model *m, uint8_t opcode) {
  static const uint8_t mode_sense[6] = {GT_MODE_SENSE_6, 0, 0, 0, 255}, ready[6] = {0};
  static const uint8_t allow[6] = {GT_PREVENT_ALLOW_MEDIUM_REMOVAL};
  uint8_t data[255] = {0};
  bool moved = opcode == GT_LOAD_UNLOAD && l->io.status == GT_STATUS_GOOD;
  fuzz_settle(l);
  MUST(fuzz_cdb(l, allow, 6, GT_DIR_NONE, NULL, 0) == GT_STATUS_GOOD);
  MUST(fuzz_cdb(l, mode_sense, 6, GT_DIR_IN, data, sizeof data) == GT_STATUS_GOOD && data[3] == 8);
  m->block_length = gt_load_be24(data + 9);
  MUST(m->block_length <= MOST);
  m->unloaded = fuzz_cdb(l, ready, 6, GT_DIR_NONE, NULL, 0) != GT_STATUS_GOOD;
  if (moved) m->at = 0;
}

static void load_unload(fuzz_lun *l, model *m, bool load) {
  uint8_t cdb[6] = {GT_LOAD_UNLOAD, 0, 0, 0, load};
  MUST(fuzz_cdb(l, cdb, 6, GT_DIR_NONE, NULL, 0) == GT_STATUS_GOOD);
  m->unloaded = !load;
  m->at = 0;
}

/* The cartridge goes out and comes back, now and then without its index. */
static void reload(fuzz_lun *l, model *m, uint8_t how) {
  gt_cartridge_options options = {.path = fuzz_path("tape.tap"),
                                  .capacity_bytes = m->capacity,
                                  .early_warning_bytes = m->early,
                                  .write_protected = how & 2,
                                  .worm = how & 4};
  if (how & 8) MUST(gt_tape_load(l->device, &options, NULL, 0) == -EBUSY);
  MUST(gt_tape_unload(l->device) == 0 && gt_tape_unload(l->device) == -ENOMEDIUM);
  if (how & 1) unlink(fuzz_path("tape.tap.idx"));
  MUST(gt_tape_load(l->device, &options, NULL, 0) == 0);
  m->at = 0, m->unloaded = false, m->write_protected = options.write_protected, m->worm = options.worm;
}

static void command(fuzz_lun *l, model *m, fuzz_in *in) {
  static uint8_t data[ROOM], want_data[ROOM];
  uint8_t shape = fuzz_u8(in), how = fuzz_u8(in), cdb[32] = {0};
  if ((shape & 0xE0) == 0x60) return reload(l, m, how & (how & 0x30 ? 0xF9 : 0xFF));
  if ((shape & 0xF0) == 0x50) return set_block_length(l, m, in);
  if ((shape & 0xF0) == 0x40) return load_unload(l, m, how & 7);
  make_cdb(in, shape, cdb);
  uint8_t cdb_len = fuzz_cdb_len(cdb[0]);
  if (!cdb_len || (shape & 0xC0) == 0xC0) cdb_len = (uint8_t)(1 + how % 16);
  if (cdb[0] == GT_WRITE_FILEMARKS_6) cdb[2] = cdb[3] = 0, cdb[4] %= 16;
  if (cdb[0] == GT_WRITE_6 && cdb[1] & 1) cdb[2] = cdb[3] = 0, cdb[4] %= 8;
  if (m->at > OBJECTS - 32) memset(cdb, 0, 32), cdb[0] = GT_REWIND, cdb_len = 6;
  uint32_t exact = gt_load_be24(cdb + 2) * (cdb[1] & 1 ? m->block_length : 1u);
  uint32_t length = how & 0x40 ? fuzz_u16(in) % ROOM : exact < ROOM ? exact : ROOM;
  bool reading = cdb[0] != GT_WRITE_6 && !(shape & 0x08);
  gt_dir dir = how & 0x80 && shape & 4 ? GT_DIR_NONE : reading ? GT_DIR_IN : GT_DIR_OUT;
  fuzz_fill(data, length, 1 + (how & 0x3F));
  memcpy(want_data, data, length);
  if (dir == GT_DIR_NONE) length = 0;
  answer want = {0};
  if (fuzz_cdb_len(cdb[0]) && cdb_len >= fuzz_cdb_len(cdb[0]))
    want = predict(m, cdb, want_data, dir == GT_DIR_IN ? length : 0, data, dir == GT_DIR_OUT ? length : 0);
  fuzz_cdb(l, cdb, cdb_len, dir, data, length);
  check_answer(l, &want, length);
  if (want.known && dir == GT_DIR_IN) MUST(memcmp(data, want_data, length) == 0);
  if (!want.known) learn(l, m, cdb[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static model m;
  fuzz_in in = {data, size};
  fuzz_place();
  uint8_t kind = fuzz_u8(&in);
  m.count = m.at = m.block_length = 0;
  m.write_protected = m.worm = m.unloaded = false;
  m.capacity = kind & 1 ? 2000 + (kind >> 4) * 2000u : 0;
  m.early = m.capacity / 4;
  unlink(fuzz_path("tape.tap"));
  unlink(fuzz_path("tape.tap.idx"));
  gt_tape_options options = {.serial = "FUZZ", .max_block_bytes = MOST, .volatile_cache = (kind & 0x0E) == 0x0E};
  gt_cartridge_options cartridge = {
      .path = fuzz_path("tape.tap"), .capacity_bytes = m.capacity, .early_warning_bytes = m.early};
  gt_device *device;
  fuzz_lun luns[2];
  MUST(gt_tape_open(&options, &device, NULL, 0) == 0 && gt_tape_load(device, &cartridge, NULL, 0) == 0);
  for (int i = 0; i < 2; i++)
    fuzz_attach(&luns[i], device);
  for (int i = 0; in.left && i < COMMANDS; i++) {
    fuzz_lun *l = &luns[fuzz_u8(&in) & 1];
    fuzz_settle(l);
    command(l, &m, &in);
    check_position(l, &m);
  }
  for (int i = 0; i < 2; i++)
    gt_device_detach(device, luns[i].nexus);
  gt_device_unref(device);
  return 0;
}
