/* LOG SENSE of a tape drive (SSC-4 8.2). What a drive in software has nothing of is told as zero. */
#include "device/tape.h"

#include <string.h>

#include "core/bytes.h"

enum { ALERTS = 64, ROOM = 4 + ALERTS * 5 };

/* TapeAlert (SSC-4 8.2.3): 64 flags, which telling of them deactivates. */
static size_t tape_alert(gt_tape *tape, uint8_t *out) {
  size_t at = 0;
  for (uint16_t flag = 1; flag <= ALERTS; flag++)
    at += gt_log_parameter(out + at, flag, 1, tape->alerts >> (ALERTS - flag) & 1);
  tape->alerts = 0;
  return at;
}

/* MiB; what does not fit into 32 bits is as much as does. */
static size_t mebibytes(uint8_t *out, uint16_t code, uint64_t bytes) {
  uint64_t value = bytes >> 20;
  return gt_log_parameter(out, code, 4, value > UINT32_MAX ? UINT32_MAX : value);
}

/* Tape capacity (31h), MiB: remaining and maximum of the one partition; zero: unlimited or no medium. */
static size_t capacity(const gt_tape *tape, uint8_t *out) {
  const gt_cartridge *cartridge = tape->unloaded ? NULL : tape->cartridge;
  uint64_t most = cartridge ? cartridge->capacity : 0;
  uint64_t left = cartridge && most > cartridge->end.data ? most - cartridge->end.data : 0;
  size_t at = mebibytes(out, 1, left);
  at += mebibytes(out + at, 2, 0);
  at += mebibytes(out + at, 3, most);
  return at + mebibytes(out + at, 4, 0);
}

/* Sequential-access device (0Ch): bytes that came from and went to initiators and the medium are not counted apart;
 * native capacity from the beginning to the end of data, and to early warning, in MB (8000h, 8001h). */
static size_t sequential(const gt_tape *tape, uint8_t *out) {
  const gt_cartridge *cartridge = tape->unloaded ? NULL : tape->cartridge;
  size_t at = gt_log_parameter(out, 0x0000, 8, tape->bytes_written);
  at += gt_log_parameter(out + at, 0x0001, 8, tape->bytes_written);
  at += gt_log_parameter(out + at, 0x0002, 8, tape->bytes_read);
  at += gt_log_parameter(out + at, 0x0003, 8, tape->bytes_read);
  at += gt_log_parameter(out + at, 0x0100, 4, 0); /* cleaning is not required */
  return at + gt_log_parameter(out + at, 0x8000, 4, cartridge ? cartridge->end.data / 1000000 : 0);
}

/* Volume statistics (17h): the page is valid or not, and what is known of the volume in the drive. */
static size_t volume(const gt_tape *tape, uint8_t *out) {
  const gt_cartridge *cartridge = tape->unloaded ? NULL : tape->cartridge;
  size_t at = gt_log_parameter(out, 0x0000, 1, cartridge != NULL); /* PAGE VALID */
  if (!cartridge) return at;
  const gt_mam *mam = cartridge->mam;
  at += gt_log_parameter(out + at, 0x0001, 4, mam->loads);                    /* thread count */
  at += gt_log_parameter(out + at, 0x000E, 4, mam->load_written / 1000000);   /* last mount, MB written */
  at += gt_log_parameter(out + at, 0x000F, 4, mam->load_read / 1000000);      /* and read */
  at += gt_log_parameter(out + at, 0x0010, 4, mam->bytes_written / 1000000);  /* lifetime, MB written */
  at += gt_log_parameter(out + at, 0x0011, 4, mam->bytes_read / 1000000);     /* and read */
  at += gt_log_parameter(out + at, 0x0016, 4, cartridge->capacity / 1000000); /* native capacity, MB */
  at += gt_log_parameter(out + at, 0x0017, 4, cartridge->end.data / 1000000); /* used native capacity, MB */
  at += gt_log_parameter(out + at, 0x0080, 1, cartridge->write_protected);
  return at + gt_log_parameter(out + at, 0x0081, 1, cartridge->worm);
}

/* Error counters 02h and 03h: corrected, bytes processed, uncorrected. */
static size_t error_counters(uint8_t *out, uint64_t bytes, uint32_t errors) {
  size_t at = gt_log_parameter(out, 0x0003, 4, 0);
  at += gt_log_parameter(out + at, 0x0005, 8, bytes);
  return at + gt_log_parameter(out + at, 0x0006, 4, errors);
}

static const uint8_t pages[] = {0x00, 0x02, 0x03, 0x06, 0x0C, 0x0D, 0x17, 0x2E, 0x2F, 0x31};

static size_t supported(uint8_t *out) {
  memcpy(out, pages, sizeof pages);
  return sizeof pages;
}

/* Temperature and informational exceptions: FFh, there is no thermometer. */
static size_t temperature(uint8_t *out) { return gt_log_parameter(out, 0x0000, 2, 0x00FF); }
static size_t informational(uint8_t *out) { return gt_log_parameter(out, 0x0000, 4, 0x0000FF00); }

void gt_tape_log_sense(gt_cmd *cmd) {
  gt_tape *tape = gt_tape_of(cmd);
  uint8_t data[ROOM] = {0}, *out = data + 4;
  size_t length;
  switch (gt_log_page(cmd)) {
  case -1: return;
  case 0x00: length = supported(out); break;
  case 0x02: length = error_counters(out, tape->bytes_written, tape->write_errors); break;
  case 0x03: length = error_counters(out, tape->bytes_read, tape->read_errors); break;
  case 0x06: length = gt_log_parameter(out, 0x0000, 4, 0); break;
  case 0x0C: length = sequential(tape, out); break;
  case 0x0D: length = temperature(out); break;
  case 0x17: length = volume(tape, out); break;
  case 0x2E: length = tape_alert(tape, out); break;
  case 0x2F: length = informational(out); break;
  case 0x31: length = capacity(tape, out); break;
  default: return gt_fail_field(cmd, 2, 5);
  }
  gt_log_reply(cmd, data, length);
}

/* Counters of the volume are the medium's, and stay. The other nexuses are told (SPC-4 6.6). */
void gt_tape_log_select(gt_cmd *cmd) {
  gt_tape *tape = gt_tape_of(cmd);
  uint8_t page;
  if (!gt_log_resets(cmd, pages, sizeof pages, &page)) return;
  if (!page || page == 0x02) tape->write_errors = 0;
  if (!page || page == 0x03) tape->read_errors = 0;
  if (!page || page == 0x02 || page == 0x0C) tape->bytes_written = 0;
  if (!page || page == 0x03 || page == 0x0C) tape->bytes_read = 0;
  if (!page || page == 0x2E) tape->alerts = 0;
  gt_device_attention(cmd->device, GT_UA_LOG_CHANGED, cmd->nexus);
}
