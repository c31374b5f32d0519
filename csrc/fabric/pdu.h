/* Headers of iSCSI PDUs (RFC 7143 11), pure: from 48 bytes to fields and back. Lengths are what the bytes say; judging
 * them is the connection's. Encoders write all 48 bytes; StatSN, ExpCmdSN and MaxCmdSN are put in when the PDU's turn
 * to be sent has come (gt_pdu_stamp), since that is when they are known. */
#ifndef GT_PDU_H
#define GT_PDU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GT_PDU_BHS = 48, GT_PDU_AHS_MAX = 255 * 4, GT_PDU_DIGEST = 4 };
#define GT_PDU_NO_TAG UINT32_C(0xFFFFFFFF)

enum gt_pdu_opcode {
  GT_PDU_NOP_OUT = 0x00,
  GT_PDU_SCSI_COMMAND = 0x01,
  GT_PDU_TASK_REQUEST = 0x02,
  GT_PDU_LOGIN_REQUEST = 0x03,
  GT_PDU_TEXT_REQUEST = 0x04,
  GT_PDU_DATA_OUT = 0x05,
  GT_PDU_LOGOUT_REQUEST = 0x06,
  GT_PDU_SNACK = 0x10,
  GT_PDU_NOP_IN = 0x20,
  GT_PDU_SCSI_RESPONSE = 0x21,
  GT_PDU_TASK_RESPONSE = 0x22,
  GT_PDU_LOGIN_RESPONSE = 0x23,
  GT_PDU_TEXT_RESPONSE = 0x24,
  GT_PDU_DATA_IN = 0x25,
  GT_PDU_LOGOUT_RESPONSE = 0x26,
  GT_PDU_R2T = 0x31,
  GT_PDU_ASYNC = 0x32,
  GT_PDU_REJECT = 0x3F,
};

/* RFC 7143 11.17.1. */
enum gt_pdu_reject {
  GT_REJECT_DATA_DIGEST = 0x02,
  GT_REJECT_SNACK = 0x03,
  GT_REJECT_PROTOCOL = 0x04,
  GT_REJECT_UNSUPPORTED = 0x05,
  GT_REJECT_IMMEDIATE = 0x06, /* too many immediate commands */
  GT_REJECT_TASK_IN_PROGRESS = 0x07,
  GT_REJECT_INVALID_FIELD = 0x09,
  GT_REJECT_LONG_OPERATION = 0x0A,
};

/* RFC 7143 11.5.1 and 11.6.1. */
enum gt_pdu_function {
  GT_TMF_ABORT_TASK = 1,
  GT_TMF_ABORT_TASK_SET = 2,
  GT_TMF_CLEAR_ACA = 3,
  GT_TMF_CLEAR_TASK_SET = 4,
  GT_TMF_LUN_RESET = 5,
  GT_TMF_WARM_RESET = 6,
  GT_TMF_COLD_RESET = 7,
  GT_TMF_REASSIGN = 8,
};
enum gt_pdu_function_response {
  GT_TMF_COMPLETE = 0,
  GT_TMF_NO_TASK = 1,
  GT_TMF_NO_LUN = 2,
  GT_TMF_NO_REASSIGN = 4,
  GT_TMF_UNSUPPORTED = 5,
  GT_TMF_REJECTED = 255,
};

/* What every request has. */
typedef struct gt_pdu_head {
  uint8_t opcode;
  bool immediate, final;
  uint32_t ahs_len, data_len; /* without digest and padding */
  uint32_t itt, cmdsn, exp_statsn;
} gt_pdu_head;
void gt_pdu_read_head(const uint8_t bhs[GT_PDU_BHS], gt_pdu_head *out);

typedef struct gt_pdu_command {
  bool read, write;
  uint8_t attribute; /* 0 untagged, 1 simple, 2 ordered, 3 head of queue, 4 ACA */
  uint32_t lun;      /* UINT32_MAX: an address that no LUN of this target has */
  uint32_t edtl;
  uint8_t cdb[260];
  uint16_t cdb_len; /* as the operation code says; 0: no such length, or not all of it is there */
} gt_pdu_command;
/* ahs: ahs_len bytes of additional header segments. False: they are malformed. */
bool gt_pdu_read_command(const uint8_t bhs[GT_PDU_BHS], const uint8_t *ahs, uint32_t ahs_len, gt_pdu_command *out);

typedef struct gt_pdu_data_out {
  uint32_t ttt, datasn, offset;
} gt_pdu_data_out;
void gt_pdu_read_data_out(const uint8_t bhs[GT_PDU_BHS], gt_pdu_data_out *out);

typedef struct gt_pdu_task_request {
  uint8_t function;
  uint32_t lun, referenced, ref_cmdsn;
} gt_pdu_task_request;
void gt_pdu_read_task_request(const uint8_t bhs[GT_PDU_BHS], gt_pdu_task_request *out);

/* SAM-5 4.7: peripheral device addressing on bus 0 and flat space addressing, first level; else UINT32_MAX. */
uint32_t gt_pdu_lun(const uint8_t lun[8]);

/* ---- answers ---- */

void gt_pdu_data_in(uint8_t bhs[GT_PDU_BHS], uint32_t itt, uint32_t datasn, uint32_t offset, uint32_t length,
                    bool final);
/* Makes the last Data-In carry the status (11.7.3). */
void gt_pdu_collapse(uint8_t bhs[GT_PDU_BHS], uint8_t status, int64_t residual);
/* residual: positive = underflow, negative = overflow. response: 0 completed at target, 1 target failure. */
void gt_pdu_response(uint8_t bhs[GT_PDU_BHS], uint32_t itt, uint8_t response, uint8_t status, uint32_t exp_datasn,
                     int64_t residual, uint32_t length);
void gt_pdu_r2t(uint8_t bhs[GT_PDU_BHS], const uint8_t lun[8], uint32_t itt, uint32_t ttt, uint32_t r2tsn,
                uint32_t offset, uint32_t length);
void gt_pdu_task_response(uint8_t bhs[GT_PDU_BHS], uint32_t itt, uint8_t response);
void gt_pdu_nop_in(uint8_t bhs[GT_PDU_BHS], const uint8_t lun[8], uint32_t itt, uint32_t ttt, uint32_t length);
void gt_pdu_logout_response(uint8_t bhs[GT_PDU_BHS], uint32_t itt, uint8_t response);
void gt_pdu_async(uint8_t bhs[GT_PDU_BHS], uint8_t event, uint16_t p1, uint16_t p2, uint16_t p3);
void gt_pdu_reject(uint8_t bhs[GT_PDU_BHS], uint8_t reason, uint32_t length);

/* statsn NULL: this PDU has none (Data-In without status); R2T and unsolicited NOP-In carry the next one and do not use
 * it up: the caller knows. */
void gt_pdu_stamp(uint8_t bhs[GT_PDU_BHS], const uint32_t *statsn, uint32_t exp_cmdsn, uint32_t max_cmdsn);

static inline uint32_t gt_pdu_padding(uint32_t length) { return -length & 3; }

#endif
