/* READ ATTRIBUTE and WRITE ATTRIBUTE (SPC-4 6.17, 6.49): the attributes of the cartridge that is in the drive. */
#include "device/tape.h"

#include <string.h>

#include "core/bytes.h"

enum { READ_ONLY = 0x80, FORMAT = 0x03, VALUE_MAX = 32 };

/* What the drive and the medium say of themselves; a host cannot write these. `value` has VALUE_MAX zeroed bytes. */
typedef struct own {
  uint16_t id;
  uint8_t length, format;
  void (*get)(const gt_tape *tape, uint8_t *value);
} own;

static void left(const gt_tape *tape, uint8_t *value) {
  const gt_cartridge *cartridge = tape->cartridge;
  uint64_t used = cartridge->end.data, most = cartridge->capacity;
  gt_store_be64(value, most > used ? (most - used) >> 20 : 0);
}
static void most(const gt_tape *tape, uint8_t *value) { gt_store_be64(value, tape->cartridge->capacity >> 20); }
/* Flag 1 is the top bit of the first byte (SSC-4 8.2.3). */
static void alerts(const gt_tape *tape, uint8_t *value) { gt_store_be64(value, tape->alerts); }
static void loads(const gt_tape *tape, uint8_t *value) { gt_store_be64(value, tape->cartridge->mam->loads); }
static void space(const gt_tape *tape, uint8_t *value) {
  gt_store_be64(value, GT_MAM_BYTES - tape->cartridge->mam->used);
}
static void density(const gt_tape *tape, uint8_t *value) { (void)tape, value[0] = GT_TAPE_DENSITY; }
static void written(const gt_tape *tape, uint8_t *value) {
  gt_store_be64(value, tape->cartridge->mam->bytes_written >> 20);
}
static void read_out(const gt_tape *tape, uint8_t *value) {
  gt_store_be64(value, tape->cartridge->mam->bytes_read >> 20);
}
static void load_written(const gt_tape *tape, uint8_t *value) {
  gt_store_be64(value, tape->cartridge->mam->load_written >> 20);
}
static void load_read(const gt_tape *tape, uint8_t *value) {
  gt_store_be64(value, tape->cartridge->mam->load_read >> 20);
}
static void maker(const gt_tape *tape, uint8_t *value) { (void)tape, memcpy(value, "GANTRY  ", 8); }
static void serial(const gt_tape *tape, uint8_t *value) {
  const char *text = tape->cartridge->mam->serial;
  memset(value, ' ', GT_MAM_SERIAL);
  memcpy(value, text, strlen(text));
}
static void mam_bytes(const gt_tape *tape, uint8_t *value) { (void)tape, gt_store_be64(value, GT_MAM_BYTES); }
/* Bit 7 of medium type: WORM (SPC-4 table 367). */
static void medium_type(const gt_tape *tape, uint8_t *value) { value[0] = tape->cartridge->worm ? 0x80 : 0; }

/* SPC-4 tables 361 and 366, ascending; bytes are told in MiB. */
static const own owns[] = {
    {0x0000, 8, GT_MAM_BINARY, left},         {0x0001, 8, GT_MAM_BINARY, most},
    {0x0002, 8, GT_MAM_BINARY, alerts},       {0x0003, 8, GT_MAM_BINARY, loads},
    {0x0004, 8, GT_MAM_BINARY, space},        {0x0006, 1, GT_MAM_BINARY, density},
    {0x0220, 8, GT_MAM_BINARY, written},      {0x0221, 8, GT_MAM_BINARY, read_out},
    {0x0222, 8, GT_MAM_BINARY, load_written}, {0x0223, 8, GT_MAM_BINARY, load_read},
    {0x0400, 8, GT_MAM_ASCII, maker},         {0x0401, GT_MAM_SERIAL, GT_MAM_ASCII, serial},
    {0x0405, 1, GT_MAM_BINARY, density},      {0x0407, 8, GT_MAM_BINARY, mam_bytes},
    {0x0408, 1, GT_MAM_BINARY, medium_type},
};
enum { OWNS = sizeof owns / sizeof *owns, OUT_MAX = 4 + OWNS * (GT_MAM_HEADER + VALUE_MAX) + GT_MAM_BYTES };

/* One that is written `values`, else its identifier only. */
static size_t put_own(const gt_tape *tape, const own *one, bool values, uint8_t *out) {
  gt_store_be16(out, one->id);
  if (!values) return 2;
  out[2] = READ_ONLY | one->format;
  gt_store_be16(out + 3, one->length);
  memset(out + GT_MAM_HEADER, 0, one->length);
  one->get(tape, out + GT_MAM_HEADER);
  return GT_MAM_HEADER + one->length;
}

static bool is_there(const gt_tape *tape, const own *one) {
  return one->id != 0x0401 || tape->cartridge->mam->serial[0];
}

static size_t put_host(const uint8_t *attribute, bool values, uint8_t *out) {
  size_t length = values ? GT_MAM_HEADER + (size_t)gt_load_be16(attribute + 3) : 2;
  memcpy(out, attribute, length);
  return length;
}

/* All that exist, from `first` on; *found: `first` itself is among them. */
static size_t put_all(const gt_tape *tape, uint16_t first, bool values, uint8_t *out, bool *found) {
  size_t at = 0;
  *found = false;
  for (size_t i = 0; i < OWNS; i++) {
    if (owns[i].id < first || !is_there(tape, &owns[i])) continue;
    *found |= owns[i].id == first;
    at += put_own(tape, &owns[i], values, out + at);
  }
  for (size_t i = 0; i < gt_mam_rule_count; i++) {
    const uint8_t *attribute = gt_mam_find(tape->cartridge->mam, gt_mam_rules[i].id);
    if (gt_mam_rules[i].id < first || !attribute) continue;
    *found |= gt_mam_rules[i].id == first;
    at += put_host(attribute, values, out + at);
  }
  return at;
}

static size_t put_supported(uint8_t *out) {
  size_t at = 0;
  for (size_t i = 0; i < OWNS; i++, at += 2)
    gt_store_be16(out + at, owns[i].id);
  for (size_t i = 0; i < gt_mam_rule_count; i++, at += 2)
    gt_store_be16(out + at, gt_mam_rules[i].id);
  return at;
}

/* There is one logical volume and one partition, both number 0. False: answered. */
static bool place_is_sound(gt_cmd *cmd) {
  if (cmd->cdb[5]) return gt_fail_field(cmd, 5, -1), false;
  if (cmd->cdb[7]) return gt_fail_field(cmd, 7, -1), false;
  if (!gt_tape_of(cmd)->cartridge->mam->unreadable) return true;
  gt_fail(cmd, GT_KEY_MEDIUM_ERROR, GT_ASC_AUXILIARY_READ_ERROR);
  return false;
}

/* A FIRST ATTRIBUTE IDENTIFIER that does not exist is an error (SPC-4 6.17.2); the list has none (6.17.3). */
void gt_tape_read_attribute(gt_cmd *cmd) {
  gt_tape *tape = gt_tape_of(cmd);
  uint8_t data[OUT_MAX], action = cmd->cdb[1] & 0x1F;
  uint16_t first = gt_load_be16(cmd->cdb + 8);
  uint32_t allocation = gt_load_be32(cmd->cdb + 10);
  bool found = true;
  if (!place_is_sound(cmd)) return;
  if (action == 2 || action == 3) { /* LOGICAL VOLUME LIST, PARTITION LIST: of one, which is the first */
    const uint8_t one[4] = {0, 2, 0, 1};
    return gt_reply(cmd, one, sizeof one, allocation);
  }
  size_t length =
      action == 5 ? put_supported(data + 4) : put_all(tape, action == 0 ? first : 0, action == 0, data + 4, &found);
  if (action == 0 && !found) return gt_fail_field(cmd, 8, -1);
  gt_store_be32(data, (uint32_t)length);
  gt_reply(cmd, data, 4 + length, allocation);
}

/* ASCII has 20h to 7Eh (SPC-4 4.3.1). */
static bool is_ascii(const uint8_t *value, size_t length) {
  for (size_t i = 0; i < length; i++)
    if (value[i] < 0x20 || value[i] > 0x7E) return false;
  return true;
}

/* The attribute at `at`, judged; its bytes, or 0: answered. */
static size_t judge(gt_cmd *cmd, const uint8_t *list, size_t at, size_t end, int32_t last) {
  const uint8_t *attribute = list + at;
  if (end - at < GT_MAM_HEADER || gt_load_be16(attribute + 3) > end - at - GT_MAM_HEADER)
    return gt_fail(cmd, GT_KEY_ILLEGAL_REQUEST, GT_ASC_PARAMETER_LIST_LENGTH), 0;
  uint16_t id = gt_load_be16(attribute), length = gt_load_be16(attribute + 3);
  const gt_mam_rule *rule = gt_mam_rule_of(id);
  unsigned byte = (unsigned)at;
  if (!rule || id <= last) return gt_fail_parameter(cmd, byte, -1), 0;
  if (attribute[2] != rule->format) return gt_fail_parameter(cmd, byte + 2, -1), 0;
  bool fits = !length || length == rule->length || (rule->variable && length < rule->length);
  if (!fits) return gt_fail_parameter(cmd, byte + 3, -1), 0;
  if (rule->format == GT_MAM_ASCII && !is_ascii(attribute + GT_MAM_HEADER, length))
    return gt_fail_parameter(cmd, byte + GT_MAM_HEADER, -1), 0;
  return GT_MAM_HEADER + (size_t)length;
}

static bool judge_all(gt_cmd *cmd, const uint8_t *list, size_t end) {
  int32_t last = -1;
  for (size_t at = 4; at < end;) {
    size_t bytes = judge(cmd, list, at, end, last);
    if (!bytes) return false;
    last = gt_load_be16(list + at);
    at += bytes;
  }
  return true;
}

static bool put_list(gt_mam *mam, const uint8_t *list, size_t end) {
  for (size_t at = 4; at < end;) {
    uint16_t length = gt_load_be16(list + at + 3);
    if (!gt_mam_put(mam, gt_load_be16(list + at), list[at + 2] & FORMAT, list + at + GT_MAM_HEADER, length))
      return false;
    at += GT_MAM_HEADER + (size_t)length;
  }
  return true;
}

/* All of the list or nothing of it, durably; WTC asks for no more. PARAMETER DATA LENGTH is ignored, as it is to be. */
void gt_tape_write_attribute(gt_cmd *cmd) {
  gt_cartridge *cartridge = gt_tape_of(cmd)->cartridge;
  uint32_t length = gt_load_be32(cmd->cdb + 10);
  if (!place_is_sound(cmd) || !length) return;
  if (cartridge->write_protected) return gt_fail(cmd, GT_KEY_DATA_PROTECT, GT_ASC_WRITE_PROTECTED);
  if (length < 4) return gt_fail(cmd, GT_KEY_ILLEGAL_REQUEST, GT_ASC_PARAMETER_LIST_LENGTH);
  const uint8_t *list = gt_parameters(cmd, length);
  if (!list || !judge_all(cmd, list, length)) return;
  gt_mam *mam = cartridge->mam;
  gt_mam before = *mam;
  if (!put_list(mam, list, length)) {
    *mam = before;
    return gt_fail(cmd, GT_KEY_ILLEGAL_REQUEST, GT_ASC_AUXILIARY_OUT_OF_SPACE);
  }
  if (!gt_mam_store(mam)) return;
  *mam = before;
  gt_fail(cmd, GT_KEY_MEDIUM_ERROR, GT_ASC_AUXILIARY_WRITE_ERROR);
}
