/* What the tape says of itself: READ POSITION, READ BLOCK LIMITS, REPORT DENSITY SUPPORT, LOG SENSE. */
#include "device/tape.h"

#include <string.h>

#include "core/bytes.h"

enum { BOP = 0x80, EOP = 0x40, LOLU = 0x04 };

static uint8_t position_flags(const gt_cartridge *cartridge) {
  return (uint8_t)((cartridge->here.object ? 0 : BOP) | (gt_cartridge_near_end(cartridge) ? EOP : 0));
}

/* What is in the object buffer: the first logical object location is the head's, the last one that of the next object
 * to go onto the medium. Without a buffer both are the head's. */
typedef struct gt_buffered {
  uint64_t next, objects, bytes;
} gt_buffered;

static gt_buffered buffered(const gt_cartridge *cartridge) {
  const gt_write_buffer *buffer = cartridge->buffer;
  if (!buffer || !buffer->used) return (gt_buffered){.next = cartridge->here.object};
  return (gt_buffered){.next = buffer->base.object,
                       .objects = cartridge->here.object - buffer->base.object,
                       .bytes = cartridge->here.data - buffer->base.data};
}

/* Short form (SSC-4 7.7.2). An object number of more than 32 bits does not fit: LOLU. */
void gt_tape_position_short(gt_cmd *cmd) {
  const gt_cartridge *cartridge = gt_tape_of(cmd)->cartridge;
  gt_buffered now = buffered(cartridge);
  uint8_t data[20] = {0};
  data[0] = position_flags(cartridge);
  if (cartridge->here.object > UINT32_MAX) {
    data[0] |= LOLU;
  } else {
    gt_store_be32(data + 4, (uint32_t)cartridge->here.object);
    gt_store_be32(data + 8, (uint32_t)now.next);
    gt_store_be24(data + 13, (uint32_t)now.objects);
    gt_store_be32(data + 16, (uint32_t)now.bytes);
  }
  gt_reply(cmd, data, sizeof data, sizeof data);
}

/* Long form (SSC-4 7.7.3): object number, and the number of filemarks before it. */
void gt_tape_position_long(gt_cmd *cmd) {
  const gt_cartridge *cartridge = gt_tape_of(cmd)->cartridge;
  uint8_t data[32] = {0};
  data[0] = position_flags(cartridge);
  gt_store_be64(data + 8, cartridge->here.object);
  gt_store_be64(data + 16, cartridge->here.files);
  gt_reply(cmd, data, sizeof data, sizeof data);
}

/* Extended form (SSC-4 7.7.4). */
void gt_tape_position_extended(gt_cmd *cmd) {
  const gt_cartridge *cartridge = gt_tape_of(cmd)->cartridge;
  gt_buffered now = buffered(cartridge);
  uint8_t data[32] = {0};
  data[0] = position_flags(cartridge);
  gt_store_be16(data + 2, sizeof data - 4);
  gt_store_be24(data + 5, (uint32_t)now.objects);
  gt_store_be64(data + 8, cartridge->here.object);
  gt_store_be64(data + 16, now.next);
  gt_store_be64(data + 24, now.bytes);
  gt_reply(cmd, data, sizeof data, gt_load_be16(cmd->cdb + 7));
}

/* SSC-4 6.10: any length from 1 byte to the largest. */
void gt_tape_block_limits(gt_cmd *cmd) {
  uint8_t data[6] = {0};
  gt_store_be24(data + 1, gt_tape_of(cmd)->max_block_bytes);
  gt_store_be16(data + 4, 1);
  gt_reply(cmd, data, sizeof data, sizeof data);
}

static void put_text(uint8_t *out, size_t width, const char *text) {
  size_t length = strlen(text);
  memset(out, ' ', width);
  memcpy(out, text, length < width ? length : width);
}

/* SSC-4 6.12: the one density there is, of the drive and of every medium. */
void gt_tape_density(gt_cmd *cmd) {
  gt_tape *tape = gt_tape_of(cmd);
  uint8_t data[4 + 52] = {0}, *density = data + 4;
  bool medium = cmd->cdb[1] & 0x01;
  if (cmd->cdb[1] & 0x02) return gt_fail_field(cmd, 1, 1); /* no medium types */
  if (medium && (!tape->cartridge || tape->unloaded)) return gt_fail(cmd, GT_KEY_NOT_READY, GT_ASC_MEDIUM_NOT_PRESENT);
  uint64_t megabytes = medium ? tape->cartridge->capacity / 1000000 : 0;
  gt_store_be16(data, sizeof data - 2);
  density[0] = density[1] = GT_TAPE_DENSITY;
  density[2] = 0xA0;              /* WRTOK, DEFLT */
  gt_store_be16(density + 10, 1); /* tracks */
  gt_store_be32(density + 12, megabytes > UINT32_MAX ? UINT32_MAX : (uint32_t)megabytes);
  put_text(density + 16, 8, "GANTRY");
  put_text(density + 24, 8, "TAP");
  put_text(density + 32, 20, "SIMH tape image");
  gt_reply(cmd, data, sizeof data, gt_load_be16(cmd->cdb + 7));
}

/* TapeAlert (SSC-4 8.2.3): 64 flags, none of which an image ever raises. */
static size_t log_tape_alert(uint8_t *out) {
  for (uint16_t flag = 1; flag <= 64; flag++, out += 5) {
    gt_store_be16(out, flag);
    out[2] = 0x03; /* FORMAT AND LINKING: binary list */
    out[3] = 1;
  }
  return 64 * 5;
}

/* Tape capacity (31h), MiB: remaining and maximum of the one partition; zero: unlimited or no medium. */
static size_t log_capacity(const gt_tape *tape, uint8_t *out) {
  const gt_cartridge *cartridge = tape->unloaded ? NULL : tape->cartridge;
  uint64_t most = cartridge ? cartridge->capacity : 0;
  uint64_t left = cartridge && most > cartridge->end.data ? most - cartridge->end.data : 0;
  uint64_t values[] = {left, 0, most, 0};
  for (uint16_t i = 0; i < 4; i++, out += 8) {
    uint64_t mebibytes = values[i] >> 20;
    gt_store_be16(out, i + 1);
    out[2] = 0x03;
    out[3] = 4;
    gt_store_be32(out + 4, mebibytes > UINT32_MAX ? UINT32_MAX : (uint32_t)mebibytes);
  }
  return 4 * 8;
}

static size_t log_supported(uint8_t *out) {
  static const uint8_t pages[] = {0x00, 0x2E, 0x31};
  memcpy(out, pages, sizeof pages);
  return sizeof pages;
}

void gt_tape_log_sense(gt_cmd *cmd) {
  uint8_t data[4 + 64 * 5] = {0};
  uint8_t page = cmd->cdb[2] & 0x3F;
  size_t length;
  if (cmd->cdb[3]) return gt_fail_field(cmd, 3, -1);
  if (gt_load_be16(cmd->cdb + 5)) return gt_fail_field(cmd, 5, -1);
  switch (page) {
  case 0x00: length = log_supported(data + 4); break;
  case 0x2E: length = log_tape_alert(data + 4); break;
  case 0x31: length = log_capacity(gt_tape_of(cmd), data + 4); break;
  default: return gt_fail_field(cmd, 2, 5);
  }
  data[0] = page;
  gt_store_be16(data + 2, (uint16_t)length);
  gt_reply(cmd, data, 4 + length, gt_load_be16(cmd->cdb + 7));
}
