/* INQUIRY (SPC-4 6.6) and the vital product data that every device has. */
#include "device/impl.h"

#include <string.h>

#include "core/bytes.h"

enum { VERSION_SPC4 = 0x06, DESCRIPTOR_SAM5 = 0x00A0, DESCRIPTOR_SPC4 = 0x0460 };

static void standard_inquiry(gt_cmd *cmd, uint16_t allocation) {
  const gt_device *device = cmd->device;
  uint8_t data[96] = {0};
  data[0] = device->class->type;
  data[1] = device->class->removable ? 0x80 : 0;
  data[2] = VERSION_SPC4;
  data[3] = 0x12; /* HISUP, RESPONSE DATA FORMAT 2 */
  data[4] = sizeof data - 5;
  data[7] = 0x02; /* CMDQUE */
  memcpy(data + 8, device->vendor, 8);
  memcpy(data + 16, device->product, 16);
  memcpy(data + 32, device->revision, 4);
  gt_store_be16(data + 58, DESCRIPTOR_SAM5);
  gt_store_be16(data + 60, DESCRIPTOR_SPC4);
  gt_store_be16(data + 62, device->class->standard);
  gt_reply(cmd, data, sizeof data, allocation);
}

/* 83h, designation descriptors (SPC-4 7.8.6): the NAA name and the T10 vendor identification, both of the
 * logical unit, both made from the serial. */
static size_t device_identification(const gt_device *device, uint8_t *out) {
  uint8_t *naa = out + 4;
  naa[0] = 0x01; /* binary */
  naa[1] = 0x03; /* NAA */
  naa[3] = 8;
  memcpy(naa + 4, device->naa, 8);
  uint8_t *t10 = naa + 12;
  size_t serial = strlen(device->serial);
  t10[0] = 0x02; /* ASCII */
  t10[1] = 0x01; /* T10 vendor ID based */
  t10[3] = (uint8_t)(24 + serial);
  memcpy(t10 + 4, device->vendor, 8);
  memcpy(t10 + 12, device->product, 16);
  memcpy(t10 + 28, device->serial, serial);
  return 12 + 4 + 24 + serial;
}

static size_t supported_pages(const gt_device_class *class, uint8_t *out) {
  static const uint8_t common[] = {0x00, 0x80, 0x83};
  memcpy(out + 4, common, sizeof common);
  memcpy(out + 4 + sizeof common, class->vpd_pages, class->vpd_page_count);
  return sizeof common + class->vpd_page_count;
}

static size_t vital_product_data(gt_device *device, uint8_t page, uint8_t *out) {
  switch (page) {
  case 0x00: return supported_pages(device->class, out);
  case 0x80: {
    size_t length = strlen(device->serial);
    memcpy(out + 4, device->serial, length);
    return length;
  }
  case 0x83: return device_identification(device, out);
  default:
    if (!memchr(device->class->vpd_pages, page, device->class->vpd_page_count)) return 0;
    return device->class->vpd(device, page, out);
  }
}

void gt_spc_inquiry(gt_cmd *cmd) {
  uint8_t data[GT_VPD_MAX] = {0};
  uint8_t page = cmd->cdb[2];
  uint16_t allocation = gt_load_be16(cmd->cdb + 3);
  if (!(cmd->cdb[1] & 0x01)) return page ? gt_fail_field(cmd, 2, -1) : standard_inquiry(cmd, allocation);
  size_t length = vital_product_data(cmd->device, page, data);
  if (!length) return gt_fail_field(cmd, 2, -1);
  data[0] = cmd->device->class->type;
  data[1] = page;
  gt_store_be16(data + 2, (uint16_t)length);
  gt_reply(cmd, data, 4 + length, allocation);
}
