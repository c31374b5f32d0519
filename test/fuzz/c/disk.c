/* The emulated disk against a plain array: any commands, any buffers. What the standard lets a device do is predicted;
 * the rest must be refused and change nothing. */
#include "device.h"

enum { BLOCKS = 48, MOST = 24, ROOM = 1 << 18, COMMANDS = 60 };

typedef struct model {
  uint8_t bytes[BLOCKS * 4096];
  uint32_t each;
  bool read_only, thin;
} model;

typedef enum verdict { REFUSED, DONE, DIFFERS, OTHER } verdict;

typedef struct ask {
  const uint8_t *cdb;
  const uint8_t *out; /* what was sent; NULL: nothing */
  uint32_t length;    /* of the buffer, either direction */
  uint32_t sent;
  uint64_t lba, blocks;
  bool inward; /* its data goes to the initiator */
} ask;

static void decode(ask *a) {
  const uint8_t *c = a->cdb;
  switch (c[0] >> 5) {
  case 0: a->lba = gt_load_be24(c + 1) & 0x1FFFFF, a->blocks = c[4] ? c[4] : 256; break;
  case 1:
  case 2: a->lba = gt_load_be32(c + 2), a->blocks = gt_load_be16(c + 7); break;
  case 5: a->lba = gt_load_be32(c + 2), a->blocks = gt_load_be32(c + 6); break;
  case 4:
    a->lba = gt_load_be64(c + 2), a->blocks = gt_load_be16(c + 12);
    if (c[0] == GT_WRITE_ATOMIC_16) break;
    /* fall through */
  default: a->lba = gt_load_be64(c + 2), a->blocks = c[0] == GT_COMPARE_AND_WRITE ? c[13] : gt_load_be32(c + 10);
  }
}

static uint64_t bytes_of(const model *m, const ask *a) { return a->blocks * m->each; }
static uint8_t *at(model *m, const ask *a) { return m->bytes + a->lba * m->each; }

static bool unmapped(model *m, const ask *a, bool apply) {
  const uint8_t *list = a->out;
  uint32_t length = gt_load_be16(a->cdb + 7);
  if (!length) return true;
  if (length < 8 || a->sent < length || gt_load_be16(list + 2) > length - 8) return false;
  for (uint32_t i = 0; i < gt_load_be16(list + 2) / 16u; i++) {
    uint64_t lba = gt_load_be64(list + 8 + 16 * i), blocks = gt_load_be32(list + 16 + 16 * i);
    if (blocks ? lba >= BLOCKS || blocks > BLOCKS - lba : lba > BLOCKS) return false;
    if (apply) memset(m->bytes + lba * m->each, 0, blocks * m->each);
  }
  return true;
}

/* What has to come of the command, and, if it is done, what it leaves behind. *moves: bytes of either direction. */
static verdict predict(model *m, ask *a, uint64_t *moves) {
  const uint8_t *c = a->cdb;
  uint8_t reserved = 0, bytchk = c[1] >> 1 & 3;
  *moves = 0;
  decode(a);
  bool fits = a->lba < BLOCKS && a->blocks <= BLOCKS - a->lba;
  switch (c[0]) {
  case GT_READ_6:
  case GT_WRITE_6: reserved = c[1] & 0xE0 || c[5]; break;
  case GT_READ_10:
  case GT_WRITE_10:
  case GT_WRITE_SAME_10: reserved = c[1] & 0xE7 || c[6] & 0xE0 || c[9]; break;
  case GT_READ_12:
  case GT_WRITE_12: reserved = c[1] & 0xE7 || c[10] & 0xE0 || c[11]; break;
  case GT_READ_16:
  case GT_WRITE_16:
  case GT_ORWRITE_16: reserved = c[1] & 0xE7 || c[14] & 0xE0 || c[15]; break;
  case GT_WRITE_SAME_16: reserved = c[1] & 0xE6 || c[14] & 0xE0 || c[15]; break;
  case GT_COMPARE_AND_WRITE: reserved = c[1] & 0xE7 || c[10] || c[11] || c[12] || c[14] & 0xE0 || c[15]; break;
  case GT_VERIFY_10:
  case GT_WRITE_AND_VERIFY_10: reserved = c[1] & 0xE9 || c[6] & 0xE0 || c[9]; break;
  case GT_VERIFY_12:
  case GT_WRITE_AND_VERIFY_12: reserved = c[1] & 0xE9 || c[10] & 0xE0 || c[11]; break;
  case GT_VERIFY_16:
  case GT_WRITE_AND_VERIFY_16: reserved = c[1] & 0xE9 || c[14] & 0xE0 || c[15]; break;
  case GT_WRITE_ATOMIC_16: reserved = c[1] & 0xE7 || c[10] || c[11] || c[14] & 0xE0 || c[15]; break;
  case GT_UNMAP: reserved = c[1] || c[2] || c[3] || c[4] || c[5] || c[6] & 0xE0 || c[9]; break;
  default: return OTHER;
  }
  bool reads = false, writes = false;
  switch (c[0]) {
  case GT_READ_6:
  case GT_READ_10:
  case GT_READ_12:
  case GT_READ_16: reads = true; break;
  case GT_VERIFY_10:
  case GT_VERIFY_12:
  case GT_VERIFY_16: break;
  default: writes = true;
  }
  if (reserved || (writes && m->read_only)) return REFUSED;
  if (c[0] == GT_UNMAP) {
    if (!m->thin || !unmapped(m, a, false)) return REFUSED;
    *moves = gt_load_be16(c + 7);
    return unmapped(m, a, true), DONE;
  }
  if (!fits) return REFUSED;
  uint64_t bytes = bytes_of(m, a);
  if (c[0] == GT_WRITE_SAME_10 || c[0] == GT_WRITE_SAME_16) {
    bool none = c[0] == GT_WRITE_SAME_16 && c[1] & 1;
    if (c[1] & 0x10 || (c[1] & 8 && !m->thin) || !a->blocks || a->sent != (none ? 0 : m->each)) return REFUSED;
    *moves = none ? 0 : m->each;
    for (uint64_t i = 0; i < a->blocks; i++) {
      if (none)
        memset(at(m, a) + i * m->each, 0, m->each);
      else
        memcpy(at(m, a) + i * m->each, a->out, m->each);
    }
    return DONE;
  }
  if (c[0] == GT_COMPARE_AND_WRITE) {
    if (a->sent != 2 * bytes) return REFUSED;
    if (!a->blocks) return DONE;
    *moves = 2 * bytes;
    if (memcmp(at(m, a), a->out, bytes) != 0) return DIFFERS;
    return memcpy(at(m, a), a->out + bytes, bytes), DONE;
  }
  bool verifies = c[0] == GT_VERIFY_10 || c[0] == GT_VERIFY_12 || c[0] == GT_VERIFY_16;
  bool writes_and_verifies =
      c[0] == GT_WRITE_AND_VERIFY_10 || c[0] == GT_WRITE_AND_VERIFY_12 || c[0] == GT_WRITE_AND_VERIFY_16;
  if ((verifies && bytchk == 2) || (writes_and_verifies && bytchk > 1) ||
      (a->blocks > MOST && c[0] != GT_WRITE_ATOMIC_16))
    return REFUSED;
  if (!a->blocks) return DONE;
  if (reads) return *moves = bytes, DONE;
  if (verifies) {
    uint64_t period = bytchk == 3 ? m->each : bytes;
    if (!bytchk) return DONE;
    if (a->sent < period) return REFUSED;
    *moves = period;
    for (uint64_t i = 0; i < bytes; i++)
      if (at(m, a)[i] != a->out[i % period]) return DIFFERS;
    return DONE;
  }
  /* What was sent is written; what is to be verified, too, only if it is whole blocks; an atomic write is all or
   * nothing. */
  bool plain = (c[0] & 0x1F) == (GT_WRITE_10 & 0x1F);
  if (a->inward || (a->sent < bytes && ((a->sent % m->each && !plain) || c[0] == GT_WRITE_ATOMIC_16))) return REFUSED;
  *moves = bytes;
  if (a->sent < bytes) bytes = a->sent;
  for (uint64_t i = 0; i < bytes; i++)
    at(m, a)[i] = (uint8_t)(c[0] == GT_ORWRITE_16 ? at(m, a)[i] | a->out[i] : a->out[i]);
  return DONE;
}

/* Opcode, and for the shaped ones an LBA and a length that often fit. */
static uint8_t make_cdb(fuzz_in *in, uint8_t shape, uint8_t cdb[16]) {
  static const uint8_t opcodes[] = {0x08, 0x0A, 0x28, 0x2A, 0x2E, 0x2F, 0x41, 0x42, 0x88, 0x89, 0x8A, 0x8B,
                                    0x8E, 0x8F, 0x93, 0xA8, 0xAA, 0xAE, 0xAF, 0x35, 0x91, 0x34, 0x9C};
  memset(cdb, 0, 16);
  if (shape & 0x80) {
    fuzz_bytes(in, cdb, 16);
    uint8_t length = fuzz_cdb_len(cdb[0]);
    return shape & 0x40 || !length ? (uint8_t)(1 + shape % 16) : length;
  }
  cdb[0] = opcodes[fuzz_u8(in) % sizeof opcodes];
  uint8_t lba = fuzz_u8(in) % (BLOCKS + 4), blocks = fuzz_u8(in) % (MOST + 4), group = cdb[0] >> 5;
  if (shape & 0x10) cdb[1] = fuzz_u8(in);
  if (group == 0) cdb[3] = lba, cdb[4] = blocks;
  if (group == 1 || group == 2) cdb[5] = lba, cdb[8] = blocks;
  if (group == 5) cdb[5] = lba, cdb[9] = blocks;
  if (group == 4) cdb[9] = lba, cdb[13] = blocks;
  if (cdb[0] == GT_UNMAP) memset(cdb + 2, 0, 14), cdb[8] = (uint8_t)(8 + 16 * (blocks % 4));
  return fuzz_cdb_len(cdb[0]);
}

static void make_data(fuzz_in *in, uint8_t how, const model *m, const uint8_t *cdb, uint8_t *data, uint32_t length) {
  fuzz_fill(data, length, how & 0x0F);
  ask a = {.cdb = cdb};
  decode(&a);
  if (cdb[0] == GT_UNMAP) {
    memset(data, 0, length);
    for (uint32_t i = 2; i < length && i < 4; i++)
      data[i] = fuzz_u8(in) % 80;
    if (length > 3 && !(how & 0x10)) data[2] = 0;
    for (uint32_t i = 8; i + 12 <= length && i < 80; i += 16)
      data[i + 7] = fuzz_u8(in) % (BLOCKS + 2), data[i + 11] = fuzz_u8(in) % 8;
    return;
  }
  /* Often the very bytes that are there, for what compares. */
  uint64_t offset = a.lba * m->each;
  if (how & 0x20 && a.lba < BLOCKS)
    memcpy(data, m->bytes + offset, length < BLOCKS * m->each - offset ? length : BLOCKS * m->each - offset);
}

static uint32_t make_length(fuzz_in *in, uint8_t how, const model *m, const uint8_t *cdb) {
  ask a = {.cdb = cdb};
  decode(&a);
  uint64_t exact = cdb[0] == GT_UNMAP ? gt_load_be16(cdb + 7) : a.blocks * m->each;
  if (cdb[0] == GT_COMPARE_AND_WRITE) exact *= 2;
  if (cdb[0] == GT_WRITE_SAME_10 || cdb[0] == GT_WRITE_SAME_16) exact = m->each;
  uint64_t length = how & 0x40 ? fuzz_u16(in) : exact;
  return (uint32_t)(length < ROOM ? length : ROOM);
}

static void command(fuzz_lun *l, model *m, fuzz_in *in) {
  static uint8_t data[ROOM], before[ROOM];
  uint8_t shape = fuzz_u8(in), how = fuzz_u8(in), cdb[32] = {0};
  uint8_t cdb_len = make_cdb(in, shape, cdb);
  if (cdb[0] == GT_SANITIZE) return; /* it wipes in a thread of its own; disk_stock_test has it */
  uint32_t length = make_length(in, how, m, cdb);
  ask a = {.cdb = cdb, .length = length};
  bool reading = cdb[0] == 0x08 || cdb[0] == 0x28 || cdb[0] == 0x88 || cdb[0] == 0xA8 || shape & 0x20;
  gt_dir dir = how & 0x80 ? (shape & 3) % 3 : reading ? GT_DIR_IN : GT_DIR_OUT;
  make_data(in, how, m, cdb, data, length);
  memcpy(before, data, length);
  a.out = dir == GT_DIR_OUT ? data : NULL;
  a.sent = dir == GT_DIR_OUT ? length : 0;
  a.inward = dir == GT_DIR_IN;
  uint64_t moves = 0;
  bool whole = fuzz_cdb_len(cdb[0]) && cdb_len >= fuzz_cdb_len(cdb[0]);
  verdict want = whole ? predict(m, &a, &moves) : OTHER;
  fuzz_cdb(l, cdb, cdb_len, dir, data, length);
  if (want == DONE) MUST(l->io.status == GT_STATUS_GOOD);
  if (want == DIFFERS) MUST(fuzz_is(l, GT_KEY_MISCOMPARE));
  if (want == REFUSED) MUST(fuzz_is(l, GT_KEY_ILLEGAL_REQUEST) || fuzz_is(l, GT_KEY_DATA_PROTECT));
  if (want == REFUSED && dir == GT_DIR_IN) MUST(memcmp(before, data, length) == 0);
  if (want == DONE) {
    MUST((int64_t)l->io.resid == (int64_t)length - (int64_t)moves);
    uint64_t got = moves < length ? moves : length;
    if (dir == GT_DIR_IN && moves) MUST(memcmp(data, at(m, &a), got) == 0);
  }
  if (want != OTHER) return;
  /* What may have been changed: the mode pages, and whether the unit is started. */
  static const uint8_t start[6] = {0x1B, 0, 0, 0, 1};
  if (cdb[0] == GT_MODE_SELECT_6 || cdb[0] == GT_MODE_SELECT_10) gt_device_reset(l->device); /* SWP */
  fuzz_settle(l);
  MUST(fuzz_cdb(l, start, 6, GT_DIR_NONE, NULL, 0) == GT_STATUS_GOOD);
}

static void check_content(fuzz_lun *l, const model *m) {
  static uint8_t data[BLOCKS * 4096];
  for (uint8_t lba = 0; lba < BLOCKS; lba += MOST) {
    uint8_t cdb[10] = {GT_READ_10, 0, 0, 0, 0, lba, 0, 0, MOST};
    MUST(fuzz_cdb(l, cdb, 10, GT_DIR_IN, data, MOST * m->each) == GT_STATUS_GOOD && l->io.resid == 0);
    MUST(memcmp(data, m->bytes + lba * m->each, MOST * m->each) == 0);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static model m;
  static uint8_t fresh[BLOCKS * 4096];
  if (!fresh[1]) fuzz_fill(fresh, sizeof fresh, 7);
  fuzz_in in = {data, size};
  fuzz_place();
  uint8_t kind = fuzz_u8(&in);
  m.each = kind & 1 ? 4096 : 512, m.thin = kind & 2, m.read_only = (kind & 0x0C) == 0x0C;
  memcpy(m.bytes, fresh, BLOCKS * m.each);
  fuzz_write("disk", m.bytes, BLOCKS * m.each);
  gt_disk_options options = {.path = fuzz_path("disk"),
                             .block_bytes = m.each,
                             .serial = "FUZZ",
                             .thin = m.thin,
                             .read_only = m.read_only,
                             .volatile_cache = kind & 0x10,
                             .max_transfer_blocks = MOST};
  gt_device *device;
  fuzz_lun luns[2];
  MUST(gt_disk_open(&options, &device, NULL, 0) == 0);
  for (int i = 0; i < 2; i++)
    fuzz_attach(&luns[i], device);
  for (int i = 0; in.left && i < COMMANDS; i++) {
    fuzz_lun *l = &luns[fuzz_u8(&in) & 1];
    fuzz_settle(l);
    command(l, &m, &in);
  }
  fuzz_settle(&luns[0]);
  check_content(&luns[0], &m);
  static const uint8_t synchronize[10] = {GT_SYNCHRONIZE_CACHE_10};
  MUST(fuzz_cdb(&luns[0], synchronize, 10, GT_DIR_NONE, NULL, 0) == GT_STATUS_GOOD);
  static uint8_t stored[BLOCKS * 4096];
  int fd = open(fuzz_path("disk"), O_RDONLY | O_CLOEXEC);
  MUST(fd >= 0 && read(fd, stored, sizeof stored) == (ssize_t)(BLOCKS * m.each));
  close(fd);
  MUST(memcmp(stored, m.bytes, BLOCKS * m.each) == 0);
  for (int i = 0; i < 2; i++)
    gt_device_detach(device, luns[i].nexus);
  gt_device_unref(device);
  return 0;
}
