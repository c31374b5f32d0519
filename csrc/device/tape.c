/* The emulated tape drive: opening and closing, loading, mode parameters, and its opcode table. */
#include "device/tape.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/bytes.h"

enum { MAX_BLOCK_BYTES = 8 << 20, MAX_BLOCK_LIMIT = 0xFFFFFF };

bool gt_tape_may_write(gt_cmd *cmd) {
  const gt_cartridge *cartridge = gt_tape_of(cmd)->cartridge;
  if (cartridge->write_protected) {
    gt_tape_alert(gt_tape_of(cmd), GT_ALERT_WRITE_PROTECT);
    gt_fail(cmd, GT_KEY_DATA_PROTECT, GT_ASC_WRITE_PROTECTED);
    return false;
  }
  /* Behind damage there may be data, which is to stay as long as all the rest. */
  if (cartridge->worm && (cartridge->here.offset != cartridge->end.offset || cartridge->damaged)) {
    gt_fail(cmd, GT_KEY_DATA_PROTECT, GT_ASC_WORM_OVERWRITE);
    return false;
  }
  return true;
}

static bool tape_admit(gt_cmd *cmd) {
  const gt_tape *tape = gt_tape_of(cmd);
  if (cmd->row->flags & GT_ROW_MEDIUM && (!tape->cartridge || tape->unloaded)) {
    gt_fail(cmd, GT_KEY_NOT_READY, GT_ASC_MEDIUM_NOT_PRESENT);
    return false;
  }
  return !(cmd->row->flags & GT_ROW_WRITES) || gt_tape_may_write(cmd);
}

/* Object numbers that a command on the medium touches: where it starts, and for several blocks those after
 * it. Called with the lock held for such commands. */
static bool tape_range(const gt_cmd *cmd, uint64_t *first, uint64_t *last) {
  const gt_tape *tape = gt_tape_of(cmd);
  if (!(cmd->row->flags & GT_ROW_MEDIUM) || !tape->cartridge || tape->unloaded) return false;
  *first = *last = tape->cartridge->here.object;
  bool moves_blocks = cmd->cdb[0] == GT_READ_6 || cmd->cdb[0] == GT_WRITE_6;
  uint32_t length = gt_load_be24(cmd->cdb + 2);
  if (moves_blocks && cmd->cdb[1] & 0x01 && length) *last += length - 1;
  return true;
}

/* B0h, sequential-access device capabilities (SSC-4 8.5.2): WORM says that the drive can, and it can. B1h, the serial
 * as it was made. B3h, that of the automation device, which there is none of: blanks (SSC-4 8.5.3, 8.5.5). */
static size_t tape_vpd(gt_device *device, uint8_t page, uint8_t *out) {
  enum { BLANKS = 16 };
  if (page == 0xB0) return out[4] = 0x01, 2;
  if (page == 0xB3) return memset(out + 4, ' ', BLANKS), BLANKS;
  memcpy(out + 4, device->serial, strlen(device->serial));
  return strlen(device->serial);
}

static void tape_reset(gt_device *device) {
  gt_tape *tape = (gt_tape *)device;
  tape->unbuffered = false;
  tape->alerts = 0;
  tape->block_length = 0;
}

/* WP(7), BUFFERED MODE(6-4), SPEED(3-0). */
static uint8_t tape_device_specific(gt_device *device) {
  const gt_tape *tape = (const gt_tape *)device;
  bool protected = tape->cartridge && tape->cartridge->write_protected;
  return (uint8_t)((protected ? 0x80 : 0) | (tape->unbuffered ? 0 : 0x10));
}

static void tape_block_descriptor(gt_device *device, uint8_t out[8]) {
  out[0] = GT_TAPE_DENSITY;
  gt_store_be24(out + 5, ((gt_tape *)device)->block_length);
}

/* Buffered mode 0 or 1; density as it is, by default (00h) or unchanged (7Fh); block length up to the limit. */
static bool tape_select(gt_device *device, uint8_t specific, const uint8_t *descriptor, bool apply) {
  gt_tape *tape = (gt_tape *)device;
  uint8_t buffered = specific >> 4 & 0x07;
  if (buffered > 1) return false;
  if (descriptor) {
    uint8_t density = descriptor[0];
    if (density != GT_TAPE_DENSITY && density != 0x00 && density != 0x7F) return false;
    if (gt_load_be24(descriptor + 5) > tape->max_block_bytes) return false;
  }
  if (!apply) return true;
  tape->unbuffered = buffered == 0;
  if (descriptor) tape->block_length = gt_load_be24(descriptor + 5);
  return true;
}

static void tape_destroy(gt_device *device) {
  gt_tape *tape = (gt_tape *)device;
  if (tape->cartridge) gt_cartridge_close(tape->cartridge);
  gt_device_fini(device);
  free(tape->buffer);
  free(tape);
}

#define L4 0xFF, 0xFF, 0xFF, 0xFF
#define L8 L4, L4
#define READ_ATTRIBUTE                                                                                                 \
  { 0, 0x1F, 0, 0, 0, 0xFF, 0, 0xFF, 0xFF, 0xFF, L4, 0x01 }
#define ON (GT_ROW_LOCKED | GT_ROW_MEDIUM)
enum { NONE = GT_NO_ACTION };

static const gt_row tape_rows[] = {
    GT_SPC_ROWS,
    GT_COPY_OUT_ROWS,
    GT_COPY_IN_ROWS,
    {GT_REWIND, 6, NONE, ON, gt_tape_rewind, {0, 0x01}},
    {GT_READ_BLOCK_LIMITS, 6, NONE, 0, gt_tape_block_limits, {0}},
    {GT_READ_6, 6, NONE, ON, gt_tape_read, {0, 0x03, 0xFF, 0xFF, 0xFF}},
    {GT_WRITE_6, 6, NONE, ON, gt_tape_write, {0, 0x01, 0xFF, 0xFF, 0xFF}},
    {GT_WRITE_FILEMARKS_6, 6, NONE, ON, gt_tape_write_filemarks, {0, 0x01, 0xFF, 0xFF, 0xFF}},
    {GT_SPACE_6, 6, NONE, ON, gt_tape_space_6, {0, 0x0F, 0xFF, 0xFF, 0xFF}},
    {GT_ERASE_6, 6, NONE, ON | GT_ROW_WRITES, gt_tape_erase, {0, 0x03}},
    {GT_LOAD_UNLOAD, 6, NONE, GT_ROW_LOCKED, gt_tape_load_unload, {0, 0x01, 0, 0, 0x03}},
    {GT_PREVENT_ALLOW_MEDIUM_REMOVAL, 6, NONE, GT_ROW_LOCKED, gt_spc_prevent, {0, 0, 0, 0, 0x01}},
    {GT_LOCATE_10, 10, NONE, ON, gt_tape_locate_10, {0, 0x07, 0, L4, 0, 0xFF}},
    {GT_READ_POSITION, 10, 0x00, ON, gt_tape_position_short, {0, 0x1F}},
    {GT_READ_POSITION, 10, 0x01, ON, gt_tape_position_short, {0, 0x1F}},
    {GT_READ_POSITION, 10, 0x06, ON, gt_tape_position_long, {0, 0x1F}},
    {GT_READ_POSITION, 10, 0x08, ON, gt_tape_position_extended, {0, 0x1F, 0, 0, 0, 0, 0, 0xFF, 0xFF}},
    {GT_REPORT_DENSITY_SUPPORT, 10, NONE, GT_ROW_LOCKED, gt_tape_density, {0, 0x03, 0, 0, 0, 0, 0, 0xFF, 0xFF}},
    {GT_LOG_SELECT, 10, NONE, GT_ROW_LOCKED, gt_tape_log_select, {0, 0x03, 0xFF, 0, 0, 0, 0, 0xFF, 0xFF}},
    {GT_LOG_SENSE, 10, NONE, GT_ROW_LOCKED, gt_tape_log_sense, {0, 0, 0xFF, 0xFF, 0, 0xFF, 0xFF, 0xFF, 0xFF}},
    {GT_SPACE_16, 16, NONE, ON, gt_tape_space_16, {0, 0x0F, 0, 0, L8}},
    {GT_READ_ATTRIBUTE, 16, 0, ON, gt_tape_read_attribute, READ_ATTRIBUTE},
    {GT_READ_ATTRIBUTE, 16, 1, ON, gt_tape_read_attribute, READ_ATTRIBUTE},
    {GT_READ_ATTRIBUTE, 16, 2, ON, gt_tape_read_attribute, READ_ATTRIBUTE},
    {GT_READ_ATTRIBUTE, 16, 3, ON, gt_tape_read_attribute, READ_ATTRIBUTE},
    {GT_READ_ATTRIBUTE, 16, 5, ON, gt_tape_read_attribute, READ_ATTRIBUTE},
    {GT_WRITE_ATTRIBUTE, 16, NONE, ON, gt_tape_write_attribute, {0, 0x01, 0, 0, 0, 0xFF, 0, 0xFF, 0, 0, L4}},
    {GT_LOCATE_16, 16, NONE, ON, gt_tape_locate_16, {0, 0x1B, 0, 0xFF, L8}},
};

static const uint8_t tape_vpd_pages[] = {0xB0, 0xB1, 0xB3};

static const gt_mode_page tape_mode_pages[] = {
    /* Read-write error recovery (SSC-4 8.3.5): an image needs no retries. */
    {12, {0x01, 10}, {0}},
    /* Disconnect-reconnect (SPC-4 7.5.10): no limits. */
    {16, {0x02, 14}, {0}},
    /* Control (SPC-4 7.5.8): D_SENSE can be changed. */
    {12, {0x0A, 10}, {0, 0, 0x04}},
    /* Data compression (SSC-4 8.3.2): none. */
    {16, {0x0F, 14}, {0}},
    /* Device configuration (SSC-4 8.3.3): BIS (block identifiers); EEG, SEW (early warning synchronizes). */
    {16, {0x10, 14, 0, 0, 0, 0, 0, 0, 0x40, 0, 0x18}, {0}},
    /* Medium partition (SSC-4 8.3.4): one, which is all of the medium; formats and partitions are recognized. */
    {10, {0x11, 8, 0, 0, 0, 0x03, 0, 0, 0xFF, 0xFF}, {0}},
    /* Informational exceptions control (SPC-4 7.5.11): none are foreseen; DEXCPT. */
    {12, {0x1C, 10, 0x08}, {0}},
};

static const gt_device_class tape_class = {
    .type = GT_TYPE_TAPE,
    .removable = true,
    .standard = 0x0520, /* SSC-4 */
    .product = "TAPE",
    .rows = tape_rows,
    .row_count = sizeof tape_rows / sizeof *tape_rows,
    .vpd_pages = tape_vpd_pages,
    .vpd_page_count = sizeof tape_vpd_pages,
    .mode_pages = tape_mode_pages,
    .mode_page_count = sizeof tape_mode_pages / sizeof *tape_mode_pages,
    .admit = tape_admit,
    .range = tape_range,
    .vpd = tape_vpd,
    .device_specific = tape_device_specific,
    .block_descriptor = tape_block_descriptor,
    .select = tape_select,
    .reset = tape_reset,
    .destroy = tape_destroy,
};

/* A drive without a serial of its own gets a random one: nothing makes two of them the same drive. */
static int random_serial(char out[17]) {
  uint64_t number;
  if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number) return -EIO;
  snprintf(out, 17, "%016llX", (unsigned long long)number);
  return 0;
}

int gt_tape_open(const gt_tape_options *options, gt_device **out, char *err, size_t err_len) {
  char serial[17] = "";
  if (options->max_block_bytes > MAX_BLOCK_LIMIT)
    return gt_explain(-EINVAL, err, err_len, "a tape block has at most %d bytes, not %u", MAX_BLOCK_LIMIT,
                      options->max_block_bytes);
  if (options->serial && (!options->serial[0] || strlen(options->serial) > 64))
    return gt_explain(-EINVAL, err, err_len, "a serial has 1 to 64 characters");
  int error = options->serial ? 0 : random_serial(serial);
  if (error) return gt_explain(error, err, err_len, "no random number for a serial; give one");
  gt_tape *tape = calloc(1, sizeof *tape);
  if (!tape) return -ENOMEM;
  tape->max_block_bytes = options->max_block_bytes ? options->max_block_bytes : MAX_BLOCK_BYTES;
  /* Pages that nothing was ever written to take no memory. */
  if (options->volatile_cache && !(tape->buffer = calloc(1, sizeof *tape->buffer))) return free(tape), -ENOMEM;
  error = gt_device_init(&tape->base, &tape_class, options->vendor, options->product,
                         options->serial ? options->serial : serial);
  if (error) return free(tape->buffer), free(tape), error;
  *out = &tape->base;
  return 0;
}

/* The image is scanned before the lock is taken: commands go on meanwhile, and say NOT READY. */
int gt_tape_load(gt_device *device, const gt_cartridge_options *options, char *err, size_t err_len) {
  gt_tape *tape = (gt_tape *)device;
  gt_cartridge *cartridge;
  if (device->class->type != GT_TYPE_TAPE)
    return gt_explain(-ENODEV, err, err_len, "only a tape drive takes a cartridge");
  int error = gt_cartridge_open(options, &cartridge, err, err_len);
  if (error) return error;
  pthread_mutex_lock(&device->lock);
  bool taken = tape->cartridge != NULL;
  if (!taken) {
    cartridge->buffer = cartridge->write_protected ? NULL : tape->buffer;
    tape->cartridge = cartridge;
    tape->unloaded = false;
    gt_device_attention(device, GT_UA_MEDIUM_CHANGED, -1);
  }
  pthread_mutex_unlock(&device->lock);
  if (!taken) return 0;
  gt_cartridge_close(cartridge);
  return gt_explain(-EBUSY, err, err_len, "there is a cartridge in the drive; unload it first");
}
