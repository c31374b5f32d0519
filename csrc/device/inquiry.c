/* INQUIRY (SPC-4 6.6) and the vital product data that every device has. */
#include "device/impl.h"

#include <string.h>

#include "core/bytes.h"

enum { VERSION_SPC4 = 0x06, DESCRIPTOR_SAM5 = 0x00A0, DESCRIPTOR_SPC4 = 0x0460 };

static void standard_inquiry(gt_cmd *cmd, uint16_t allocation) {
  const gt_device *device = cmd->device;
  uint8_t data[96] = {0};
  data[0] = device->class->type;
  data[1] = device->removable ? 0x80 : 0;
  data[2] = VERSION_SPC4;
  data[3] = 0x12; /* HISUP, RESPONSE DATA FORMAT 2 */
  data[4] = sizeof data - 5;
  data[5] = 0x10; /* TPGS: implicit asymmetric access, of which REPORT TARGET PORT GROUPS tells */
  data[7] = 0x02; /* CMDQUE */
  memcpy(data + 8, device->vendor, 8);
  memcpy(data + 16, device->product, 16);
  memcpy(data + 32, device->revision, 4);
  gt_store_be16(data + 58, DESCRIPTOR_SAM5);
  gt_store_be16(data + 60, DESCRIPTOR_SPC4);
  gt_store_be16(data + 62, device->class->standard);
  gt_reply(cmd, data, sizeof data, allocation);
}

static size_t put_designator(uint8_t *out, uint8_t code_set, uint8_t type, size_t length) {
  out[0] = code_set; /* 1: binary, 2: ASCII */
  out[1] = type;     /* with ASSOCIATION and PIV */
  out[3] = (uint8_t)length;
  return 4 + length;
}

enum { ISCSI = 0x50, OF_PORT = 0x90, OF_TARGET = 0xA0 }; /* protocol identifier; ASSOCIATION with PIV */

/* A SCSI name string (SPC-4 7.8.6.11): UTF-8, ended by at least one zero, padded to a multiple of four bytes. */
static size_t put_name(uint8_t *out, uint8_t association, const char *name, size_t length) {
  enum { UTF8 = 3, SCSI_NAME = 8 };
  memcpy(out + 4, name, length);
  return put_designator(out, ISCSI | UTF8, association | SCSI_NAME, length / 4 * 4 + 4);
}

/* The target port by which a nexus comes and its group (SPC-4 7.8.6.7, 7.8.6.8), its name, and the name of the target,
 * which is that of the port without what follows ",t,". */
static size_t port_identification(const gt_port *port, uint8_t *out) {
  gt_store_be16(out + 6, port->relative);
  size_t at = put_designator(out, ISCSI | 0x01, OF_PORT | 0x04, 4);
  gt_store_be16(out + at + 6, port->group);
  at += put_designator(out + at, ISCSI | 0x01, OF_PORT | 0x05, 4);
  const char *end = strstr(port->name, ",t,");
  if (!end) return at;
  at += put_name(out + at, OF_PORT, port->name, strlen(port->name));
  return at + put_name(out + at, OF_TARGET, port->name, (size_t)(end - port->name));
}

/* 83h, designation descriptors (SPC-4 7.8.6): the NAA name and the T10 vendor identification of the logical unit, both
 * made from the serial; then the way by which it was reached. */
static size_t device_identification(gt_device *device, int nexus, uint8_t *out) {
  size_t serial = strlen(device->serial), at = 4;
  memcpy(out + at + 4, device->naa, 8);
  at += put_designator(out + at, 0x01, 0x03, 8);
  memcpy(out + at + 4, device->vendor, 8);
  memcpy(out + at + 12, device->product, 16);
  memcpy(out + at + 28, device->serial, serial);
  at += put_designator(out + at, 0x02, 0x01, 24 + serial);
  gt_port port = gt_device_port(&device->nexuses[nexus]);
  return at + port_identification(&port, out + at) - 4;
}

static size_t supported_pages(const gt_device_class *class, uint8_t *out) {
  static const uint8_t common[] = {0x00, 0x80, 0x83, 0x85, 0x86};
  memcpy(out + 4, common, sizeof common);
  memcpy(out + 4 + sizeof common, class->vpd_pages, class->vpd_page_count);
  return sizeof common + class->vpd_page_count;
}

/* 86h, extended INQUIRY data (SPC-4 7.8.7): SIMPLE, ORDERED and HEAD OF QUEUE are obeyed; V_SUP, a volatile cache;
 * the longest sense data. */
static size_t extended_inquiry(uint8_t *out) {
  out[5] = 0x07;
  out[6] = 0x01;
  out[13] = GT_SENSE_MAX;
  return 0x3C;
}

/* Page length, or -1: no such page. 85h has no descriptors: the bridge is managed over MQTT, for which there is no
 * service type (SPC-4 7.8.8). */
static int vital_product_data(gt_cmd *cmd, uint8_t page, uint8_t *out) {
  gt_device *device = cmd->device;
  switch (page) {
  case 0x00: return (int)supported_pages(device->class, out);
  case 0x80: memcpy(out + 4, device->serial, strlen(device->serial)); return (int)strlen(device->serial);
  case 0x83: return (int)device_identification(device, cmd->nexus, out);
  case 0x85: return 0;
  case 0x86: return (int)extended_inquiry(out);
  default:
    if (!memchr(device->class->vpd_pages, page, device->class->vpd_page_count)) return -1;
    return (int)device->class->vpd(device, page, out);
  }
}

void gt_spc_inquiry(gt_cmd *cmd) {
  uint8_t data[GT_VPD_MAX] = {0};
  uint8_t page = cmd->cdb[2];
  uint16_t allocation = gt_load_be16(cmd->cdb + 3);
  if (!(cmd->cdb[1] & 0x01)) return page ? gt_fail_field(cmd, 2, -1) : standard_inquiry(cmd, allocation);
  int length = vital_product_data(cmd, page, data);
  if (length < 0) return gt_fail_field(cmd, 2, -1);
  data[0] = cmd->device->class->type;
  data[1] = page;
  gt_store_be16(data + 2, (uint16_t)length);
  gt_reply(cmd, data, 4 + (size_t)length, allocation);
}
