#include "sg_header.h"

#include <limits.h>
#include <string.h>

/* Of the kernel's <scsi/sg.h>, which is not the C library's. Without it the driver puts each command at the
 * head of the queue, so that tape blocks sent ahead would change places. */
#ifndef SG_FLAG_Q_AT_TAIL
#define SG_FLAG_Q_AT_TAIL 0x10
#endif

/* Host status (SCSI Linux "DID_…") and driver status ("DRIVER_…") that have a meaning here. */
enum {
  DID_OK = 0x00,
  DID_TIME_OUT = 0x03,
  DID_TARGET_FAILURE = 0x10, /* up to DID_MEDIUM_ERROR: the mid layer's comment on an answer of the device */
  DID_MEDIUM_ERROR = 0x13,
  DRIVER_CODE = 0x0f, /* the rest are suggestions */
  DRIVER_TIMEOUT = 0x06,
  DRIVER_SENSE = 0x08,
};

void gt_sg_request(gt_io *io, bool direct_io, sg_io_hdr_t *header) {
  memset(header, 0, sizeof *header);
  header->interface_id = 'S';
  header->cmdp = io->cdb;
  header->cmd_len = io->cdb_len;
  header->sbp = io->sense;
  header->mx_sb_len = GT_SENSE_MAX;
  header->timeout = io->timeout_ms ? io->timeout_ms : UINT_MAX;
  header->flags = SG_FLAG_Q_AT_TAIL | (direct_io ? SG_FLAG_DIRECT_IO : 0);
  header->usr_ptr = io;
  header->dxfer_direction = SG_DXFER_NONE;
  if (io->dir == GT_DIR_NONE || io->data_len == 0) return;
  header->dxfer_direction = io->dir == GT_DIR_IN ? SG_DXFER_FROM_DEV : SG_DXFER_TO_DEV;
  header->dxferp = io->data;
  header->dxfer_len = io->data_len;
}

/* Kernels before 6.0 leave DID_TARGET_FAILURE … DID_MEDIUM_ERROR beside a status that the device did send,
 * RESERVATION CONFLICT above all. Beside GOOD they would be a contradiction, and are a failure. */
static uint8_t outcome(const sg_io_hdr_t *header) {
  unsigned driver = header->driver_status & DRIVER_CODE;
  if (header->host_status == DID_TIME_OUT || driver == DRIVER_TIMEOUT) return GT_TIMED_OUT;
  bool comment = header->host_status >= DID_TARGET_FAILURE && header->host_status <= DID_MEDIUM_ERROR;
  bool host_fine = header->host_status == DID_OK || (comment && header->status != 0);
  bool driver_fine = driver == 0 || driver == DRIVER_SENSE;
  return host_fine && driver_fine ? GT_DELIVERED : GT_TRANSPORT;
}

void gt_sg_answer(const sg_io_hdr_t *header, gt_io *io) {
  io->outcome = outcome(header);
  io->status = header->status;
  io->host_status = header->host_status;
  io->driver_status = header->driver_status & (uint16_t)~DRIVER_SENSE;
  io->sense_len = header->sb_len_wr < GT_SENSE_MAX ? header->sb_len_wr : GT_SENSE_MAX;
  io->resid = header->dxfer_direction == SG_DXFER_NONE ? 0 : header->resid;
}
