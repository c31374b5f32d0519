/* SCSI Data-Out and R2T (RFC 7143 11.7, 11.8): data of a command comes in sequences (the unsolicited one, then one for
 * each R2T), each in order, each ended by the F bit. What breaks that ends the command, once the sequences that are on
 * their way have passed. */
#include "core/scsi.h"
#include "fabric/internal.h"

enum { ASC_INCORRECT_AMOUNT = 0x0C0D, ASC_PROTOCOL_CRC = 0x4705 };

static bool awaits(const gt_command *command, uint32_t ttt) {
  if (command->state != GT_CMD_DATA) return false;
  if (ttt == GT_PDU_NO_TAG) return command->unsolicited;
  return command->r2ts && command->ttts[command->first_ttt] == ttt;
}

/* Data of commands that were aborted or never taken may still be on its way: it is nobody's, and passes. */
static gt_command *whose(gt_conn *conn, const gt_pdu_data_out *pdu) {
  uint32_t slot = pdu->ttt & ((1u << GT_SLOT_BITS) - 1), itt = conn->rx.head.itt;
  gt_command *command = NULL;
  if (pdu->ttt == GT_PDU_NO_TAG)
    command = gt_command_find(conn, itt);
  else if (slot < conn->command_count)
    command = &conn->commands[slot];
  return command && command->itt == itt && awaits(command, pdu->ttt) ? command : NULL;
}

bool gt_data_out_begin(gt_conn *conn, const uint8_t *bhs) {
  gt_pdu_data_out pdu;
  gt_pdu_read_data_out(bhs, &pdu);
  gt_command *command = whose(conn, &pdu);
  if (!command) return true;
  uint32_t length = conn->rx.head.data_len;
  /* 7.9: a number left out means that a PDU was lost. */
  if (pdu.datasn != command->datasn) gt_command_fail(command, GT_KEY_ABORTED_COMMAND, ASC_PROTOCOL_CRC);
  if (pdu.offset != command->received || length > command->sequence_end - command->received)
    gt_command_fail(command, GT_KEY_ABORTED_COMMAND, ASC_INCORRECT_AMOUNT);
  conn->data_ns = conn->reactor->now_ns;
  conn->rx.command = command;
  conn->rx.into = length && !command->failed ? command->buffer + command->received : NULL;
  return true;
}

static void end_unsolicited(gt_command *command) {
  uint32_t first = command->conn->params.first_burst;
  command->unsolicited = false;
  /* 11.4.7.2: all of the first burst, or none of it beyond immediate data. */
  if (command->edtl > first && command->received != first)
    gt_command_fail(command, GT_KEY_ABORTED_COMMAND, ASC_INCORRECT_AMOUNT);
  command->asked = command->received;
}

static void next_sequence(gt_command *command) {
  uint32_t burst = command->conn->params.max_burst, left = command->edtl - command->received;
  command->datasn = 0;
  command->sequence_end = command->received + (left < burst ? left : burst);
}

static void end_solicited(gt_command *command) {
  if (command->received != command->sequence_end)
    gt_command_fail(command, GT_KEY_ABORTED_COMMAND, ASC_INCORRECT_AMOUNT);
  command->first_ttt = (uint8_t)((command->first_ttt + 1) % GT_R2TS_MAX);
  command->r2ts--;
  next_sequence(command);
}

/* One R2T more may be outstanding now. */
static void ask_on(gt_command *command) {
  if (command->failed || command->asked == command->edtl) return;
  gt_send(command->conn, &command->r2t, GT_SEND_R2T);
}

void gt_data_out_end(gt_conn *conn, const uint8_t *bhs, bool sound) {
  gt_command *command = conn->rx.command;
  bool solicited = !command->unsolicited, final = conn->rx.head.final;
  conn->rx.command = NULL;
  if (!sound) {
    gt_reject(conn, bhs, GT_REJECT_DATA_DIGEST);
    gt_command_fail(command, GT_KEY_ABORTED_COMMAND, ASC_PROTOCOL_CRC);
  }
  command->datasn++;
  if (!command->failed) command->received += conn->rx.head.data_len;
  /* The sequence is full, but the initiator says that more of it comes. */
  if (!final && command->received == command->sequence_end)
    gt_command_fail(command, GT_KEY_ABORTED_COMMAND, ASC_INCORRECT_AMOUNT);
  if (!final) return;
  if (!solicited)
    end_unsolicited(command);
  else
    end_solicited(command);
  if (command->failed || command->received == command->edtl || !solicited) return gt_command_settle(command);
  ask_on(command);
}

void gt_data_out_ask(gt_command *command) {
  next_sequence(command);
  command->conn->data_ns = command->conn->reactor->now_ns;
  gt_send(command->conn, &command->r2t, GT_SEND_R2T);
}
