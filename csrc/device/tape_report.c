/* What the tape says of itself: READ POSITION, READ BLOCK LIMITS, REPORT DENSITY SUPPORT. */
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

/* Short form (SSC-4 7.7.2), block id and vendor-specific alike. An object number of more than 32 bits does not fit:
 * LOLU. */
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
