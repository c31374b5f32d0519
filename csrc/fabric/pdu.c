#include "fabric/pdu.h"

#include <string.h>

#include "core/bytes.h"

enum { FINAL = 0x80, READ = 0x40, WRITE = 0x20, OVERFLOW = 0x04, UNDERFLOW = 0x02, STATUS = 0x01 };
enum { AHS_EXTENDED_CDB = 1, AHS_BIDIRECTIONAL = 2, CDB_IN_BHS = 16 };

void gt_pdu_read_head(const uint8_t bhs[GT_PDU_BHS], gt_pdu_head *out) {
  out->opcode = bhs[0] & 0x3F;
  out->immediate = bhs[0] & 0x40;
  out->final = bhs[1] & FINAL;
  out->ahs_len = bhs[4] * 4u;
  out->data_len = gt_load_be24(bhs + 5);
  out->itt = gt_load_be32(bhs + 16);
  out->cmdsn = gt_load_be32(bhs + 24);
  out->exp_statsn = gt_load_be32(bhs + 28);
}

uint32_t gt_pdu_lun(const uint8_t lun[8]) {
  unsigned method = lun[0] >> 6;
  if (gt_load_be16(lun + 2) || gt_load_be32(lun + 4)) return UINT32_MAX;
  if (method == 0 && lun[0] == 0) return lun[1];
  if (method == 1) return (uint32_t)(lun[0] & 0x3F) << 8 | lun[1];
  return UINT32_MAX;
}

/* SPC-4 4.2.5.1: the group code tells the length; groups 6 and 7 are the vendor's: as much as the header carries. */
static uint16_t cdb_length(const uint8_t *cdb, size_t there) {
  static const uint8_t of_group[8] = {6, 10, 10, 0, 16, 12, 16, 16};
  uint16_t length = of_group[cdb[0] >> 5];
  if (cdb[0] == 0x7F) length = (uint16_t)(8 + cdb[7]);
  return length <= there ? length : 0;
}

/* Walks the segments of the AHS; an Extended CDB goes behind the 16 bytes of the header. */
static bool read_ahs(const uint8_t *ahs, uint32_t ahs_len, gt_pdu_command *out, size_t *there) {
  for (uint32_t at = 0; at < ahs_len;) {
    if (ahs_len - at < 4) return false;
    uint32_t length = gt_load_be16(ahs + at), size = 3 + length;
    if (length < 1 || size > ahs_len - at) return false;
    uint8_t type = ahs[at + 2] & 0x3F;
    if (type == AHS_EXTENDED_CDB) {
      /* Byte 3 is reserved (11.2.2.3), the CDB follows. */
      if (*there != CDB_IN_BHS || length - 1 > sizeof out->cdb - CDB_IN_BHS) return false;
      memcpy(out->cdb + CDB_IN_BHS, ahs + at + 4, length - 1);
      *there += length - 1;
    } else if (type != AHS_BIDIRECTIONAL) {
      return false;
    }
    at += size + gt_pdu_padding(size);
  }
  return true;
}

bool gt_pdu_read_command(const uint8_t bhs[GT_PDU_BHS], const uint8_t *ahs, uint32_t ahs_len, gt_pdu_command *out) {
  size_t there = CDB_IN_BHS;
  out->read = bhs[1] & READ;
  out->write = bhs[1] & WRITE;
  out->attribute = bhs[1] & 0x07;
  out->lun = gt_pdu_lun(bhs + 8);
  out->edtl = gt_load_be32(bhs + 20);
  memcpy(out->cdb, bhs + 32, CDB_IN_BHS);
  if (ahs_len && !read_ahs(ahs, ahs_len, out, &there)) return false;
  out->cdb_len = cdb_length(out->cdb, there);
  return true;
}

void gt_pdu_read_data_out(const uint8_t bhs[GT_PDU_BHS], gt_pdu_data_out *out) {
  out->ttt = gt_load_be32(bhs + 20);
  out->datasn = gt_load_be32(bhs + 36);
  out->offset = gt_load_be32(bhs + 40);
}

void gt_pdu_read_task_request(const uint8_t bhs[GT_PDU_BHS], gt_pdu_task_request *out) {
  out->function = bhs[1] & 0x7F;
  out->lun = gt_pdu_lun(bhs + 8);
  out->referenced = gt_load_be32(bhs + 20);
  out->ref_cmdsn = gt_load_be32(bhs + 32);
}

static void begin(uint8_t bhs[GT_PDU_BHS], uint8_t opcode, uint8_t flags, uint32_t itt, uint32_t length) {
  memset(bhs, 0, GT_PDU_BHS);
  bhs[0] = opcode;
  bhs[1] = flags;
  gt_store_be24(bhs + 5, length);
  gt_store_be32(bhs + 16, itt);
}

static void put_residual(uint8_t bhs[GT_PDU_BHS], int64_t residual) {
  if (!residual) return;
  bhs[1] |= residual > 0 ? UNDERFLOW : OVERFLOW;
  uint64_t count = residual > 0 ? (uint64_t)residual : (uint64_t)-residual;
  gt_store_be32(bhs + 44, count > UINT32_MAX ? UINT32_MAX : (uint32_t)count);
}

void gt_pdu_data_in(uint8_t bhs[GT_PDU_BHS], uint32_t itt, uint32_t datasn, uint32_t offset, uint32_t length,
                    bool final) {
  begin(bhs, GT_PDU_DATA_IN, final ? FINAL : 0, itt, length);
  gt_store_be32(bhs + 20, GT_PDU_NO_TAG);
  gt_store_be32(bhs + 36, datasn);
  gt_store_be32(bhs + 40, offset);
}

void gt_pdu_collapse(uint8_t bhs[GT_PDU_BHS], uint8_t status, int64_t residual) {
  bhs[1] |= STATUS;
  bhs[3] = status;
  put_residual(bhs, residual);
}

void gt_pdu_response(uint8_t bhs[GT_PDU_BHS], uint32_t itt, uint8_t response, uint8_t status, uint32_t exp_datasn,
                     int64_t residual, uint32_t length) {
  begin(bhs, GT_PDU_SCSI_RESPONSE, FINAL, itt, length);
  bhs[2] = response;
  bhs[3] = status;
  gt_store_be32(bhs + 36, exp_datasn);
  put_residual(bhs, residual);
}

void gt_pdu_r2t(uint8_t bhs[GT_PDU_BHS], const uint8_t lun[8], uint32_t itt, uint32_t ttt, uint32_t r2tsn,
                uint32_t offset, uint32_t length) {
  begin(bhs, GT_PDU_R2T, FINAL, itt, 0);
  memcpy(bhs + 8, lun, 8);
  gt_store_be32(bhs + 20, ttt);
  gt_store_be32(bhs + 36, r2tsn);
  gt_store_be32(bhs + 40, offset);
  gt_store_be32(bhs + 44, length);
}

void gt_pdu_task_response(uint8_t bhs[GT_PDU_BHS], uint32_t itt, uint8_t response) {
  begin(bhs, GT_PDU_TASK_RESPONSE, FINAL, itt, 0);
  bhs[2] = response;
}

void gt_pdu_nop_in(uint8_t bhs[GT_PDU_BHS], const uint8_t lun[8], uint32_t itt, uint32_t ttt, uint32_t length) {
  begin(bhs, GT_PDU_NOP_IN, FINAL, itt, length);
  if (lun) memcpy(bhs + 8, lun, 8);
  gt_store_be32(bhs + 20, ttt);
}

void gt_pdu_logout_response(uint8_t bhs[GT_PDU_BHS], uint32_t itt, uint8_t response) {
  begin(bhs, GT_PDU_LOGOUT_RESPONSE, FINAL, itt, 0);
  bhs[2] = response;
  gt_store_be16(bhs + 40, 2); /* Time2Wait, Time2Retain: ErrorRecoveryLevel 0 keeps no state */
}

void gt_pdu_async(uint8_t bhs[GT_PDU_BHS], uint8_t event, uint16_t p1, uint16_t p2, uint16_t p3) {
  begin(bhs, GT_PDU_ASYNC, FINAL, GT_PDU_NO_TAG, 0);
  bhs[36] = event;
  gt_store_be16(bhs + 38, p1);
  gt_store_be16(bhs + 40, p2);
  gt_store_be16(bhs + 42, p3);
}

void gt_pdu_reject(uint8_t bhs[GT_PDU_BHS], uint8_t reason, uint32_t length) {
  begin(bhs, GT_PDU_REJECT, FINAL, GT_PDU_NO_TAG, length);
  bhs[2] = reason;
}

void gt_pdu_stamp(uint8_t bhs[GT_PDU_BHS], const uint32_t *statsn, uint32_t exp_cmdsn, uint32_t max_cmdsn) {
  if (statsn) gt_store_be32(bhs + 24, *statsn);
  gt_store_be32(bhs + 28, exp_cmdsn);
  gt_store_be32(bhs + 32, max_cmdsn);
}
