/* MODE SENSE and MODE SELECT, 6 and 10 (SPC-4 6.9 to 6.12, 7.5). Pages have page_0 format; nothing is
 * saved. Both run under the device's lock. */
#include "device/impl.h"

#include <string.h>

#include "core/bytes.h"

enum { ALL_PAGES = 0x3F, PAGE_CONTROL = 0x0A, NO_SUBPAGE = 0x00, ALL_SUBPAGES = 0xFF };
enum { CURRENT = 0, CHANGEABLE = 1, DEFAULT = 2, SAVED = 3 };
enum { MODE_DATA_MAX = 8 + 8 + GT_MODE_PAGES_MAX * GT_MODE_PAGE_MAX };

static int page_index(const gt_device *device, uint8_t code) {
  for (size_t i = 0; i < device->class->mode_page_count; i++)
    if (device->class->mode_pages[i].defaults[0] == code) return (int)i;
  return -1;
}

const uint8_t *gt_mode_current(const gt_device *device, uint8_t code) {
  int index = page_index(device, code);
  return index < 0 ? NULL : device->mode[index];
}

static void take_effect(gt_device *device) {
  const uint8_t *control = gt_mode_current(device, PAGE_CONTROL);
  atomic_store(&device->descriptor_sense, control && control[2] & 0x04);
  if (device->class->mode_changed) device->class->mode_changed(device);
}

void gt_mode_reset(gt_device *device) {
  for (size_t i = 0; i < device->class->mode_page_count; i++)
    memcpy(device->mode[i], device->class->mode_pages[i].defaults, device->class->mode_pages[i].length);
  take_effect(device);
}

static size_t put_page(const gt_device *device, size_t index, uint8_t control, uint8_t *out) {
  const gt_mode_page *page = &device->class->mode_pages[index];
  memcpy(out, control == DEFAULT ? page->defaults : device->mode[index], page->length);
  if (control == CHANGEABLE) memcpy(out + 2, page->changeable + 2, page->length - 2u);
  return page->length;
}

/* MODE SENSE. */
void gt_mode_sense(gt_cmd *cmd) {
  gt_device *device = cmd->device;
  uint8_t data[MODE_DATA_MAX] = {0};
  bool long_form = cmd->cdb[0] == GT_MODE_SENSE_10, no_descriptor = cmd->cdb[1] & 0x08;
  uint8_t control = cmd->cdb[2] >> 6, code = cmd->cdb[2] & 0x3F, subpage = cmd->cdb[3];
  if (control == SAVED) return gt_fail(cmd, GT_KEY_ILLEGAL_REQUEST, GT_ASC_SAVING_NOT_SUPPORTED);
  /* Page code 00h is what drivers ask for when they want the header and the block descriptor only. */
  if (subpage != NO_SUBPAGE && !(subpage == ALL_SUBPAGES && code == ALL_PAGES)) return gt_fail_field(cmd, 3, -1);
  if (code != ALL_PAGES && code != 0x00 && page_index(device, code) < 0) return gt_fail_field(cmd, 2, 5);
  size_t header = long_form ? 8 : 4, descriptor = no_descriptor ? 0 : 8, at = header + descriptor;
  if (descriptor) device->class->block_descriptor(device, data + header);
  for (size_t i = 0; i < device->class->mode_page_count; i++)
    if (code == ALL_PAGES || device->class->mode_pages[i].defaults[0] == code)
      at += put_page(device, i, control, data + at);
  if (long_form) {
    gt_store_be16(data, (uint16_t)(at - 2));
    data[3] = device->class->device_specific(device);
    data[7] = (uint8_t)descriptor;
  } else {
    data[0] = (uint8_t)(at - 1);
    data[2] = device->class->device_specific(device);
    data[3] = (uint8_t)descriptor;
  }
  gt_reply(cmd, data, at, long_form ? gt_load_be16(cmd->cdb + 7) : cmd->cdb[4]);
}

/* One page of a MODE SELECT list at `at`: judged, and with `apply` taken over. False: answered. */
static bool select_page(gt_cmd *cmd, const uint8_t *list, size_t at, bool apply) {
  gt_device *device = cmd->device;
  int index = list[at] & 0x40 ? -1 : page_index(device, list[at] & 0x3F);
  if (index < 0) return gt_fail_parameter(cmd, (unsigned)at, 5), false;
  const gt_mode_page *page = &device->class->mode_pages[index];
  if (list[at + 1] != page->length - 2) return gt_fail_parameter(cmd, (unsigned)at + 1, -1), false;
  for (size_t i = 2; i < page->length; i++) {
    if ((list[at + i] ^ device->mode[index][i]) & (uint8_t)~page->changeable[i])
      return gt_fail_parameter(cmd, (unsigned)(at + i), -1), false;
  }
  if (apply) memcpy(device->mode[index] + 2, list + at + 2, page->length - 2u);
  return true;
}

/* All pages of the list. A first pass judges every one, so that a refused list changes nothing. */
static bool select_pages(gt_cmd *cmd, const uint8_t *list, size_t at, size_t length, bool apply) {
  while (at < length) {
    if (length - at < 2 || length - at < (size_t)list[at + 1] + 2)
      return gt_fail(cmd, GT_KEY_ILLEGAL_REQUEST, GT_ASC_PARAMETER_LIST_LENGTH), false;
    if (!select_page(cmd, list, at, apply)) return false;
    at += (size_t)list[at + 1] + 2;
  }
  return true;
}

void gt_mode_select(gt_cmd *cmd) {
  gt_device *device = cmd->device;
  bool long_form = cmd->cdb[0] == GT_MODE_SELECT_10;
  size_t length = long_form ? gt_load_be16(cmd->cdb + 7) : cmd->cdb[4], header = long_form ? 8 : 4;
  if (cmd->cdb[1] & 0x01) return gt_fail_field(cmd, 1, 0); /* SP: nothing is saved */
  if (!length) return;
  const uint8_t *list = gt_parameters(cmd, length);
  if (!list) return;
  if (length < header) return gt_fail(cmd, GT_KEY_ILLEGAL_REQUEST, GT_ASC_PARAMETER_LIST_LENGTH);
  size_t descriptor = long_form ? gt_load_be16(list + 6) : list[3];
  if (descriptor != 0 && descriptor != 8) return gt_fail_parameter(cmd, long_form ? 6 : 3, -1);
  if (length - header < descriptor) return gt_fail(cmd, GT_KEY_ILLEGAL_REQUEST, GT_ASC_PARAMETER_LIST_LENGTH);
  /* PF zero means vendor-specific pages (SPC-4 6.9): a list without pages may have it. */
  if (!(cmd->cdb[1] & 0x10) && length > header + descriptor) return gt_fail_field(cmd, 1, 4);
  uint8_t specific = long_form ? list[3] : list[2];
  const uint8_t *block = descriptor ? list + header : NULL;
  if (!device->class->select(device, specific, block, false)) return gt_fail_parameter(cmd, (unsigned)header, -1);
  if (!select_pages(cmd, list, header + descriptor, length, false)) return;
  device->class->select(device, specific, block, true);
  select_pages(cmd, list, header + descriptor, length, true);
  take_effect(device);
  gt_device_attention(device, GT_UA_MODE_CHANGED, cmd->nexus);
}
