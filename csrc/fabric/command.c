/* SCSI Command (RFC 7143 11.3): from its header to its answer. */
#include <string.h>

#include "core/scsi.h"
#include "core/sense.h"
#include "fabric/internal.h"

enum {
  ASC_INVALID_FIELD_IN_UNIT = 0x0E03, /* INVALID FIELD IN COMMAND INFORMATION UNIT */
  ASC_UNEXPECTED_UNSOLICITED = 0x0C0C,
  ASC_NOT_ENOUGH_UNSOLICITED = 0x0C0D, /* "incorrect amount of data", 11.4.7.2 */
  ASC_PROTOCOL_CRC = 0x4705,
};
/* So long a command with data waits for memory before it is told TASK SET FULL: only commands that wait for data can
 * hold that memory then, and that data may lie behind it in the stream. */
static const uint64_t hunger_ns = 2000000000u;
/* So long a connection waits for memory before it goes ahead of all others. */
static const uint64_t starving_ns = 500000000u;

/* ---- slots ---- */

static gt_command **bucket(gt_conn *conn, uint32_t itt) {
  return &conn->buckets[(itt ^ itt >> 8 ^ itt >> 16 ^ itt >> 24) % GT_ITT_BUCKETS];
}

gt_command *gt_command_find(gt_conn *conn, uint32_t itt) {
  gt_command *command = *bucket(conn, itt);
  while (command && command->itt != itt)
    command = command->same_bucket;
  return command;
}

void gt_command_leave_window(gt_command *command) {
  if (!command->counted) return;
  command->counted = false;
  if (command->immediate)
    command->conn->immediate_busy--;
  else
    command->conn->window_busy--;
}

static void unhash(gt_command *command) {
  gt_command **at = bucket(command->conn, command->itt);
  while (*at && *at != command)
    at = &(*at)->same_bucket;
  if (*at) *at = command->same_bucket;
}

static void push_free(gt_command *command) {
  gt_conn *conn = command->conn;
  if (command->buffer) gt_buffers_give(&conn->reactor->pool, command->buffer);
  conn->held -= command->held;
  command->buffer = NULL;
  command->held = 0;
  command->state = GT_CMD_FREE;
  command->next = conn->free_commands;
  conn->free_commands = command;
}

void gt_command_free(gt_command *command) {
  gt_conn *conn = command->conn;
  gt_tmf *tmf = command->tmf;
  if (command->state == GT_CMD_DATA) conn->data_awaited--;
  if (conn->rx.command == command) {
    conn->rx.command = NULL;
    conn->rx.into = NULL;
  }
  gt_send_remove(conn, &command->r2t);
  gt_command_leave_window(command);
  unhash(command);
  push_free(command);
  conn->commands_busy--;
  conn->reactor->freed = true;
  command->tmf = NULL;
  if (tmf) gt_tmf_told(tmf);
}

/* ---- how it ends ---- */

static bool socket_lives(const gt_conn *conn) { return conn->state == GT_CONN_FULL || conn->state == GT_CONN_LEAVING; }

void gt_command_fail(gt_command *command, uint8_t key, uint16_t asc) {
  gt_io *io = &command->task.io;
  if (command->failed) return;
  if (command->admitted) gt_task_drop(&command->task);
  command->admitted = false;
  command->failed = true;
  io->outcome = GT_DELIVERED;
  io->status = GT_STATUS_CHECK_CONDITION;
  io->sense_len =
      (uint8_t)gt_sense_build(&(gt_sense){.key = key, .asc = asc, .field_bit = -1}, false, io->sense, sizeof io->sense);
}

/* More than one command can carry was asked for and was there: what was cut off must not look GOOD. */
static void judge_cut(gt_command *command) {
  gt_io *io = &command->task.io;
  if (!command->read || command->edtl <= io->data_len || io->resid >= 0 || io->status != GT_STATUS_GOOD) return;
  io->resid = (int32_t)io->data_len;
  command->failed = false;
  gt_command_fail(command, GT_KEY_ILLEGAL_REQUEST, GT_ASC_INVALID_FIELD_IN_CDB);
}

/* 11.4.5: what the command would have moved, against what was expected; of one that never ran nothing was moved. */
static void count_residual(gt_command *command, bool ran) {
  gt_io *io = &command->task.io;
  if (ran) judge_cut(command);
  ran = ran && io->outcome == GT_DELIVERED && !command->failed;
  int64_t moved = ran ? (int64_t)io->data_len - io->resid : 0;
  command->residual = (int64_t)command->edtl - moved;
  command->in_len = 0;
  if (ran && command->read) command->in_len = moved < (int64_t)io->data_len ? (uint32_t)moved : io->data_len;
}

static void answer(gt_command *command, bool ran) {
  gt_conn *conn = command->conn;
  if (command->state == GT_CMD_DATA) conn->data_awaited--;
  command->state = GT_CMD_ENDED;
  if (!socket_lives(conn)) return gt_command_free(command);
  count_residual(command, ran);
  command->failed_at_target = command->task.io.outcome != GT_DELIVERED;
  if (command->failed_at_target) command->task.io.sense_len = 0;
  command->in_sent = command->in_datasn = 0;
  conn->answers_bytes += command->in_len;
  gt_send(conn, &command->answer, GT_SEND_ANSWER);
}

void gt_command_answer(gt_command *command) { answer(command, false); }

/* The initiator is not told of this end, but it may wait for its place in the window. */
static void tell_window(gt_conn *conn) {
  gt_control *control = gt_send_has_room(conn) ? gt_control_new(0, GT_STAMP_BORROWED) : NULL;
  if (!control) return;
  gt_pdu_nop_in(control->header, NULL, GT_PDU_NO_TAG, GT_PDU_NO_TAG, 0);
  gt_send_control(conn, control);
}

static void answered(gt_task *task) {
  gt_command *command = task->owner;
  gt_conn *conn = command->conn;
  command->admitted = false;
  if (task->io.outcome != GT_ABORTED) return answer(command, true);
  bool untold = !command->tmf && conn->state == GT_CONN_FULL;
  gt_command_free(command);
  if (untold) tell_window(conn);
}

void gt_command_init(gt_command *command, gt_conn *conn, uint16_t slot) {
  command->conn = conn;
  command->slot = slot;
  command->task.owner = command;
  command->task.answered = answered;
  push_free(command);
}

/* ---- how it goes on ---- */

static void run(gt_command *command) {
  gt_io *io = &command->task.io;
  command->state = GT_CMD_RUNNING;
  io->data = command->buffer;
  if (command->direct) io->data = (void *)(uintptr_t)command->direct;
  gt_task_start(&command->task);
}

/* A connection may have as much as is left free, or one command: n greedy ones share the pool in n + 1 parts, whatever
 * they do with theirs, and none takes what another one needs to begin. */
static bool may_take(const gt_conn *conn, uint32_t length) {
  const gt_reactor *reactor = conn->reactor;
  if (reactor->first && reactor->first != conn) return false;
  return !conn->held || conn->held + length <= reactor->pool.bytes - reactor->pool.taken;
}

/* Small commands of many find room for ever where a large one never does: who has nothing and has waited long goes
 * first. Who has something waits for its own peer. */
static void go_hungry(gt_conn *conn) {
  gt_reactor *reactor = conn->reactor;
  if (!conn->starving_ns) conn->starving_ns = reactor->now_ns;
  if (!reactor->first && !conn->held && reactor->now_ns - conn->starving_ns > starving_ns) reactor->first = conn;
}

void gt_memory_forgo(gt_conn *conn) {
  conn->starving_ns = 0;
  if (conn->reactor->first != conn) return;
  conn->reactor->first = NULL;
  conn->reactor->freed = true;
}

static bool get_memory(gt_command *command) {
  gt_conn *conn = command->conn;
  uint32_t length = command->task.io.data_len;
  if (command->buffer || command->direct || !length) return true;
  if (may_take(conn, length)) command->buffer = gt_buffers_take(&conn->reactor->pool, length);
  if (!command->buffer) return go_hungry(conn), false;
  gt_memory_forgo(conn);
  command->held = length;
  conn->held += length;
  return true;
}

static void go(gt_command *command) {
  if (!command->write || command->received == command->edtl) return run(command);
  command->state = GT_CMD_DATA;
  command->conn->data_awaited++;
  gt_data_out_ask(command);
}

static void await_memory(gt_command *command) {
  gt_conn *conn = command->conn;
  command->state = GT_CMD_WAITING;
  conn->reactor->stalled = true;
  command->next = NULL;
  *conn->waiting_end = command;
  conn->waiting_end = &command->next;
}

void gt_command_proceed(gt_command *command) {
  if (command->state == GT_CMD_DATA) {
    command->conn->data_awaited--;
    command->state = GT_CMD_WAITING;
  }
  /* One that has its memory must not stand behind those that wait for just that. */
  bool has = command->buffer || command->direct;
  if (!has && (command->conn->waiting || !get_memory(command))) return await_memory(command);
  go(command);
}

void gt_command_go_on(gt_conn *conn) {
  while (conn->waiting && get_memory(conn->waiting)) {
    gt_command *command = conn->waiting;
    conn->waiting = command->next;
    if (!conn->waiting) conn->waiting_end = &conn->waiting;
    go(command);
  }
}

void gt_command_settle(gt_command *command) {
  if (command->unsolicited || command->r2ts) {
    if (command->state != GT_CMD_DATA) command->conn->data_awaited++;
    command->state = GT_CMD_DATA;
    return;
  }
  if (command->failed) return gt_command_answer(command);
  gt_command_proceed(command);
}

static void stop_waiting(gt_command *command) {
  gt_conn *conn = command->conn;
  gt_command **at = &conn->waiting;
  while (*at && *at != command)
    at = &(*at)->next;
  if (!*at) return;
  *at = command->next;
  if (!*at) conn->waiting_end = at;
}

void gt_command_abort(gt_command *command, gt_tmf *tmf) {
  if (command->state == GT_CMD_RUNNING) {
    if (tmf && !command->tmf) {
      command->tmf = tmf;
      tmf->pending++;
    }
    return gt_task_abort(&command->task);
  }
  if (command->state != GT_CMD_DATA && command->state != GT_CMD_WAITING) return;
  if (command->state == GT_CMD_WAITING) stop_waiting(command);
  if (command->admitted) gt_task_drop(&command->task);
  command->admitted = false;
  gt_command_free(command);
}

bool gt_command_last_data(const gt_conn *conn) {
  const gt_command *command = conn->rx.command;
  const gt_pdu_head *head = &conn->rx.head;
  if (!command || !conn->rx.into || !command->task.at_once || !command->admitted || !head->final) return false;
  return head->data_len == command->edtl - command->received;
}

/* ---- how it begins ---- */

static void fill(gt_command *command, const gt_pdu_head *head, const uint8_t *bhs, const gt_pdu_command *pdu) {
  gt_io *io = &command->task.io;
  memcpy(command->lun, bhs + 8, 8);
  command->itt = head->itt;
  command->edtl = pdu->edtl;
  command->read = pdu->read;
  command->write = pdu->write;
  command->immediate = head->immediate;
  command->failed = command->unsolicited = command->admitted = command->counted = command->failed_at_target = false;
  command->received = command->sequence_end = command->datasn = command->asked = command->r2tsn = 0;
  command->r2ts = command->first_ttt = 0;
  command->direct = NULL;
  command->tmf = NULL;
  io->cdb_len = (uint8_t)(pdu->cdb_len <= GT_CDB_MAX ? pdu->cdb_len : 0);
  memcpy(io->cdb, pdu->cdb, io->cdb_len);
  io->dir = pdu->read ? GT_DIR_IN : pdu->write ? GT_DIR_OUT : GT_DIR_NONE;
  io->data = NULL;
  io->absent = 0;
  io->data_len = io->dir == GT_DIR_NONE ? 0 : pdu->edtl < GT_TRANSFER_MAX ? pdu->edtl : GT_TRANSFER_MAX;
  io->resid = (int32_t)io->data_len;
  io->outcome = GT_DELIVERED;
  io->status = io->sense_len = 0;
  command->task.lun = pdu->lun;
  command->task.attribute = pdu->attribute;
  command->task.at_once = false;
}

static uint32_t smaller(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* What may come unasked: 11.3.4, 13.11 (ImmediateData), 13.10 (InitialR2T), 13.14 (FirstBurstLength). */
static void judge_data(gt_command *command, const gt_pdu_head *head) {
  const gt_full_feature *params = &command->conn->params;
  uint32_t most = smaller(params->first_burst, command->edtl);
  if (!command->write) return;
  command->unsolicited = !head->final && head->data_len < command->edtl;
  command->sequence_end = most;
  if ((head->data_len && !params->immediate_data) || (command->unsolicited && params->initial_r2t))
    gt_command_fail(command, GT_KEY_ABORTED_COMMAND, ASC_UNEXPECTED_UNSOLICITED);
  else if (head->data_len > most || (command->unsolicited && head->data_len == most))
    gt_command_fail(command, GT_KEY_ABORTED_COMMAND, ASC_NOT_ENOUGH_UNSOLICITED);
}

static void judge(gt_command *command, const gt_pdu_head *head) {
  gt_conn *conn = command->conn;
  if (command->read && command->write)
    gt_command_fail(command, GT_KEY_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_UNIT);
  else if (!command->task.io.cdb_len || (command->write && command->edtl > GT_TRANSFER_MAX))
    gt_command_fail(command, GT_KEY_ILLEGAL_REQUEST, GT_ASC_INVALID_FIELD_IN_CDB);
  else if (gt_task_admit(conn->nexus, &command->task) == GT_ADMIT_GO)
    command->admitted = true;
  else
    command->failed = true;
  judge_data(command, head);
}

/* Room for data that is on its way already. False: there is none now. */
static bool place(gt_command *command, const gt_pdu_head *head) {
  gt_conn *conn = command->conn;
  if (command->failed || !command->write || !(head->data_len || command->unsolicited)) return true;
  if (conn->rx.inside && head->data_len == command->edtl && command->task.at_once && !conn->waiting) {
    command->direct = conn->rx.inside;
    return true;
  }
  if (get_memory(command)) return conn->hungry_ns = 0, true;
  if (!conn->hungry_ns) conn->hungry_ns = conn->reactor->now_ns;
  if (conn->reactor->now_ns - conn->hungry_ns < hunger_ns) return false;
  conn->hungry_ns = 0;
  gt_command_fail(command, GT_KEY_NO_SENSE, GT_ASC_NONE);
  command->task.io.status = GT_STATUS_TASK_SET_FULL;
  command->task.io.sense_len = 0;
  return true;
}

static void enter(gt_command *command, const gt_pdu_head *head) {
  gt_conn *conn = command->conn;
  gt_command **at = bucket(conn, command->itt);
  command->same_bucket = *at;
  *at = command;
  command->counted = true;
  conn->commands_busy++;
  if (command->immediate)
    conn->immediate_busy++;
  else
    conn->window_busy++;
  gt_cmdsn_take(conn, head);
  conn->rx.command = command;
  conn->rx.into = head->data_len && !command->failed ? command->buffer : NULL;
  if (command->unsolicited) conn->data_ns = conn->reactor->now_ns;
}

/* True: it is none that can be taken, and has been dealt with. */
static bool refused(gt_conn *conn, const uint8_t *bhs, const gt_pdu_command *pdu) {
  const gt_pdu_head *head = &conn->rx.head;
  uint8_t reason;
  if (head->itt == GT_PDU_NO_TAG || (head->data_len && !pdu->write)) return gt_protocol_error(conn, bhs), true;
  if (gt_command_find(conn, head->itt))
    reason = GT_REJECT_TASK_IN_PROGRESS;
  else if (head->immediate && conn->immediate_busy >= GT_IMMEDIATE_MAX)
    reason = GT_REJECT_IMMEDIATE;
  else
    return false;
  gt_cmdsn_take(conn, head);
  gt_reject(conn, bhs, reason);
  return true;
}

bool gt_command_begin(gt_conn *conn, const uint8_t *bhs, const uint8_t *ahs) {
  const gt_pdu_head *head = &conn->rx.head;
  gt_pdu_command pdu;
  if (!gt_pdu_read_command(bhs, ahs, head->ahs_len, &pdu)) return gt_protocol_error(conn, bhs), true;
  if (refused(conn, bhs, &pdu)) return true;
  gt_command *command = conn->free_commands;
  if (!command) return false;
  fill(command, head, bhs, &pdu);
  judge(command, head);
  if (!place(command, head)) {
    gt_task_drop(&command->task);
    conn->hungry = true;
    return false;
  }
  conn->free_commands = command->next;
  command->state = GT_CMD_WAITING;
  enter(command, head);
  return true;
}

void gt_command_end(gt_conn *conn, const uint8_t *bhs, bool sound) {
  gt_command *command = conn->rx.command;
  if (!sound) {
    /* 7.8: the PDU is dropped with a Reject, and the command ends with the condition that 11.4.7.2 names. */
    gt_reject(conn, bhs, GT_REJECT_DATA_DIGEST);
    gt_command_fail(command, GT_KEY_ABORTED_COMMAND, ASC_PROTOCOL_CRC);
  }
  conn->rx.command = NULL;
  command->received = conn->rx.head.data_len;
  if (!command->unsolicited) command->asked = command->received;
  gt_command_settle(command);
}
