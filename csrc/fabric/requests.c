/* What each request does when its header has come (gt_begin) and when its data has (gt_end), for all but commands and
 * their data: NOP, Text, Logout, Login, and what is refused. */
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "fabric/internal.h"

enum { LOGOUT_SESSION = 0, LOGOUT_CONNECTION = 1, LOGOUT_RECOVERY = 2 };
enum { LOGGED_OUT = 0, NO_SUCH_CID = 1, NO_RECOVERY = 2 };

void gt_reject(gt_conn *conn, const uint8_t *bhs, uint8_t reason) {
  gt_control *control = gt_control_new(GT_PDU_BHS, GT_STAMP_STATUS);
  if (!control) return gt_conn_doom(conn);
  gt_pdu_reject(control->header, reason, GT_PDU_BHS);
  memcpy(control->data, bhs, GT_PDU_BHS);
  gt_send_control(conn, control);
  GT_COUNT(conn->reactor, rejects, 1);
}

void gt_protocol_error(gt_conn *conn, const uint8_t *bhs) {
  GT_COUNT(conn->reactor, protocol_errors, 1);
  if (conn->state != GT_CONN_FULL) return gt_conn_doom(conn);
  gt_reject(conn, bhs, GT_REJECT_PROTOCOL);
  gt_session_leave(conn, -1);
}

/* RFC 7143 4.2.2.1: outside of the window, or had before: ignored without a word. Inside of it and too early: on its
 * one connection the initiator has left a number out, which nothing will bring any more. */
static bool in_window(const gt_conn *conn, const gt_pdu_head *head) {
  return (int32_t)(gt_max_cmdsn(conn) - head->cmdsn) >= 0;
}

static bool cmdsn_due(const gt_conn *conn, const gt_pdu_head *head) {
  return head->immediate || (head->cmdsn == conn->exp_cmdsn && in_window(conn, head));
}

static bool cmdsn_lost(const gt_conn *conn, const gt_pdu_head *head) {
  int32_t ahead = (int32_t)(head->cmdsn - conn->exp_cmdsn);
  return !head->immediate && ahead > 0 && in_window(conn, head);
}

void gt_cmdsn_take(gt_conn *conn, const gt_pdu_head *head) {
  if (!head->immediate) conn->exp_cmdsn++;
}

/* ---- NOP (RFC 7143 11.18) ---- */

static void nop_begin(gt_conn *conn, const uint8_t *bhs) {
  const gt_pdu_head *head = &conn->rx.head;
  if (head->itt == GT_PDU_NO_TAG) return; /* the answer to a ping of ours; hearing it was the purpose */
  uint32_t length = head->data_len;
  if (length > conn->params.initiator_max_recv) length = conn->params.initiator_max_recv;
  gt_control *control = gt_control_new(head->data_len, GT_STAMP_STATUS);
  if (!control) return gt_conn_doom(conn);
  gt_pdu_nop_in(control->header, bhs + 8, head->itt, GT_PDU_NO_TAG, length);
  conn->rx.control = control;
  conn->rx.into = head->data_len ? control->data : NULL;
}

static void nop_end(gt_conn *conn) {
  gt_control *control = conn->rx.control;
  conn->rx.control = NULL;
  if (!control) return;
  control->data_len = gt_load_be24(control->header + 5);
  gt_send_control(conn, control);
}

/* ---- Text and Login: the supervisor's ---- */

static void loose_begin(gt_conn *conn) {
  conn->rx.loose = conn->rx.head.data_len ? malloc(conn->rx.head.data_len) : NULL;
  conn->rx.into = conn->rx.loose;
  if (conn->rx.head.data_len && !conn->rx.loose) gt_conn_doom(conn);
}

static void loose_end(gt_conn *conn, const uint8_t *bhs, uint8_t kind) {
  gt_target_emit(conn, kind, bhs, conn->rx.loose, conn->rx.head.data_len);
  conn->rx.loose = NULL;
}

static void text_begin(gt_conn *conn, const uint8_t *bhs) {
  if (conn->rx.head.data_len > GT_TEXT_DATA_MAX || conn->text_pending)
    return gt_reject(conn, bhs, conn->text_pending ? GT_REJECT_LONG_OPERATION : GT_REJECT_INVALID_FIELD);
  loose_begin(conn);
  conn->text_pending = conn->rx.text = true;
}

static void login_end(gt_conn *conn, const uint8_t *bhs) {
  conn->state = GT_CONN_ANSWERING;
  loose_end(conn, bhs, GT_EVENT_LOGIN);
}

/* ---- Logout (11.14) ---- */

static void logout(gt_conn *conn, const uint8_t *bhs) {
  uint8_t reason = bhs[1] & 0x7F, response = LOGGED_OUT;
  if (reason > LOGOUT_RECOVERY) return gt_reject(conn, bhs, GT_REJECT_INVALID_FIELD);
  if (reason == LOGOUT_RECOVERY) response = NO_RECOVERY;
  if (reason == LOGOUT_CONNECTION && gt_load_be16(bhs + 20) != conn->params.cid) response = NO_SUCH_CID;
  gt_control *control = gt_control_new(0, GT_STAMP_STATUS);
  if (!control) return gt_conn_doom(conn);
  gt_pdu_logout_response(control->header, conn->rx.head.itt, response);
  control->last = response == LOGGED_OUT;
  gt_send_control(conn, control);
  if (control->last) gt_session_leave(conn, -1);
}

/* ---- all ---- */

/* Without data, or with data that nobody wants. Opcodes that only targets send, and those that no one knows. */
static void refuse(gt_conn *conn, const uint8_t *bhs) {
  switch (conn->rx.head.opcode) {
  case GT_PDU_SNACK: return gt_reject(conn, bhs, GT_REJECT_SNACK); /* ErrorRecoveryLevel 0 */
  case GT_PDU_LOGIN_REQUEST: return gt_protocol_error(conn, bhs);
  default: return gt_reject(conn, bhs, GT_REJECT_UNSUPPORTED);
  }
}

static bool numbered(uint8_t opcode) {
  return opcode <= GT_PDU_LOGOUT_REQUEST && opcode != GT_PDU_DATA_OUT && opcode != GT_PDU_LOGIN_REQUEST;
}

static bool scsi(uint8_t opcode) {
  return opcode == GT_PDU_SCSI_COMMAND || opcode == GT_PDU_TASK_REQUEST || opcode == GT_PDU_DATA_OUT;
}

static void begin_other(gt_conn *conn, const uint8_t *bhs) {
  switch (conn->rx.head.opcode) {
  case GT_PDU_NOP_OUT: return nop_begin(conn, bhs);
  case GT_PDU_TEXT_REQUEST: return text_begin(conn, bhs);
  case GT_PDU_TASK_REQUEST: return gt_tmf_request(conn, bhs);
  case GT_PDU_LOGOUT_REQUEST: return logout(conn, bhs);
  default: return refuse(conn, bhs);
  }
}

bool gt_begin(gt_conn *conn, const uint8_t *bhs, const uint8_t *ahs) {
  const gt_pdu_head *head = &conn->rx.head;
  if (conn->state == GT_CONN_LOGIN) return loose_begin(conn), true;
  if (!gt_send_has_room(conn)) return false;
  if (numbered(head->opcode) && !cmdsn_due(conn, head)) {
    if (cmdsn_lost(conn, head)) gt_protocol_error(conn, bhs);
    return true;
  }
  if (conn->params.discovery && scsi(head->opcode)) return gt_protocol_error(conn, bhs), true;
  if (head->opcode == GT_PDU_SCSI_COMMAND) return gt_command_begin(conn, bhs, ahs);
  if (head->opcode == GT_PDU_DATA_OUT) return gt_data_out_begin(conn, bhs);
  if (numbered(head->opcode)) gt_cmdsn_take(conn, head);
  begin_other(conn, bhs);
  return true;
}

/* What was received is not what was sent, and the PDU is none that a command can answer for: with ErrorRecoveryLevel 0
 * the session ends (RFC 7143 7.8). */
static void unsound(gt_conn *conn, const uint8_t *bhs) {
  gt_reject(conn, bhs, GT_REJECT_DATA_DIGEST);
  gt_session_leave(conn, -1);
}

void gt_end(gt_conn *conn, const uint8_t *bhs, bool sound) {
  gt_rx *rx = &conn->rx;
  if (conn->state == GT_CONN_LOGIN) return login_end(conn, bhs);
  if (conn->state != GT_CONN_FULL) return;
  if (rx->command && rx->head.opcode == GT_PDU_SCSI_COMMAND) return gt_command_end(conn, bhs, sound);
  if (rx->command) return gt_data_out_end(conn, bhs, sound);
  if (!sound) return unsound(conn, bhs);
  if (rx->head.opcode == GT_PDU_NOP_OUT) return nop_end(conn);
  if (rx->text) loose_end(conn, bhs, GT_EVENT_TEXT);
}
