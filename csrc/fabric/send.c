/* Sending. What is to go out waits as senders (an answer, R2Ts of a command, a control PDU); PDUs are made from them in
 * that order as the socket takes them, many in one sendmsg, data straight from where it lies. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/bytes.h"
#include "core/crc32c.h"
#include "fabric/internal.h"

enum { ANSWER_WITH_SENSE = 2 };

gt_control *gt_control_new(uint32_t data_len, uint8_t stamp) {
  gt_control *control = malloc(sizeof *control + data_len);
  if (!control) return NULL;
  memset(control, 0, sizeof *control);
  control->stamp = stamp;
  control->data_len = data_len;
  return control;
}

void gt_send(gt_conn *conn, gt_sender *sender, uint8_t kind) {
  if (sender->queued) return;
  sender->kind = kind;
  sender->queued = true;
  sender->next = NULL;
  if (conn->send_last)
    conn->send_last->next = sender;
  else
    conn->send_first = sender;
  conn->send_last = sender;
}

void gt_send_remove(gt_conn *conn, gt_sender *sender) {
  gt_sender *before = NULL;
  if (!sender->queued) return;
  for (gt_sender *at = conn->send_first; at != sender; at = at->next)
    before = at;
  if (before)
    before->next = sender->next;
  else
    conn->send_first = sender->next;
  if (conn->send_last == sender) conn->send_last = before;
  sender->queued = false;
}

void gt_send_control(gt_conn *conn, gt_control *control) {
  conn->controls++;
  conn->control_bytes += control->data_len;
  gt_send(conn, &control->sender, GT_SEND_CONTROL);
}

bool gt_send_has_room(const gt_conn *conn) {
  return conn->controls < GT_CONTROL_PDUS && conn->control_bytes < GT_CONTROL_BYTES;
}

static void pop_sender(gt_conn *conn) {
  gt_sender *sender = conn->send_first;
  conn->send_first = sender->next;
  if (!conn->send_first) conn->send_last = NULL;
  sender->queued = false;
}

static gt_out *next_out(gt_conn *conn) {
  gt_out *out = &conn->out[(conn->out_first + conn->out_count) % GT_OUT_PDUS];
  out->data = NULL;
  out->data_len = 0;
  out->command = NULL;
  out->control = NULL;
  return out;
}

/* Digests and padding; the header is final now. */
static void seal(gt_conn *conn, gt_out *out) {
  const gt_full_feature *params = &conn->params;
  bool full = conn->state != GT_CONN_LOGIN && conn->state != GT_CONN_ANSWERING;
  out->header_len = GT_PDU_BHS;
  if (full && params->header_digest) {
    gt_store_le32(out->header + GT_PDU_BHS, gt_crc32c(0, out->header, GT_PDU_BHS));
    out->header_len += GT_PDU_DIGEST;
  }
  out->tail_len = (uint8_t)gt_pdu_padding(out->data_len);
  memset(out->tail, 0, sizeof out->tail);
  if (full && params->data_digest && out->data_len) {
    uint32_t crc = gt_crc32c(0, out->data, out->data_len);
    gt_store_le32(out->tail + out->tail_len, gt_crc32c(crc, out->tail, out->tail_len));
    out->tail_len += GT_PDU_DIGEST;
  }
  conn->out_count++;
  conn->out_bytes += out->header_len + out->data_len + out->tail_len;
  GT_COUNT(conn->reactor, pdus_out, 1);
}

static void stamp_status(gt_conn *conn, gt_out *out) {
  gt_pdu_stamp(out->header, &conn->statsn, conn->exp_cmdsn, gt_max_cmdsn(conn));
  conn->statsn++;
}

static void make_data_in(gt_conn *conn, gt_command *command, gt_out *out) {
  const gt_io *io = &command->task.io;
  uint32_t max = conn->params.initiator_max_recv, burst = conn->params.max_burst;
  uint32_t left = command->in_len - command->in_sent, burst_left = burst - command->in_sent % burst;
  uint32_t length = left < max ? left : max;
  if (length > burst_left) length = burst_left;
  bool last = length == left;
  gt_pdu_data_in(out->header, command->itt, command->in_datasn++, command->in_sent, length,
                 last || length == burst_left);
  out->data = command->buffer + command->in_sent;
  out->data_len = length;
  command->in_sent += length;
  if (!last || io->status || io->sense_len) {
    gt_pdu_stamp(out->header, NULL, conn->exp_cmdsn, gt_max_cmdsn(conn));
    return;
  }
  gt_command_leave_window(command); /* it opens with the answer that tells so */
  gt_pdu_collapse(out->header, io->status, command->residual);
  stamp_status(conn, out);
  out->command = command;
  pop_sender(conn);
}

static void make_response(gt_conn *conn, gt_command *command, gt_out *out) {
  const gt_io *io = &command->task.io;
  if (io->sense_len) {
    gt_store_be16(command->sense, io->sense_len);
    memcpy(command->sense + ANSWER_WITH_SENSE, io->sense, io->sense_len);
    out->data = command->sense;
    out->data_len = ANSWER_WITH_SENSE + io->sense_len;
  }
  uint32_t data_pdus = command->write ? command->r2tsn : command->in_datasn;
  gt_command_leave_window(command); /* it opens with the answer that tells so */
  gt_pdu_response(out->header, command->itt, command->failed_at_target, command->failed_at_target ? 0 : io->status,
                  data_pdus, command->residual, out->data_len);
  stamp_status(conn, out);
  out->command = command;
  pop_sender(conn);
}

static void make_answer(gt_conn *conn, gt_command *command) {
  gt_out *out = next_out(conn);
  if (command->in_sent < command->in_len)
    make_data_in(conn, command, out);
  else
    make_response(conn, command, out);
  seal(conn, out);
}

/* One R2T, as long as the initiator allows one more and data is missing. */
static void make_r2t(gt_conn *conn, gt_command *command) {
  uint32_t most = conn->params.max_outstanding_r2t;
  if (command->failed || command->asked == command->edtl || command->r2ts >= most || command->r2ts >= GT_R2TS_MAX)
    return pop_sender(conn);
  uint32_t length = command->edtl - command->asked;
  if (length > conn->params.max_burst) length = conn->params.max_burst;
  uint32_t ttt = conn->ttt_counter++ << GT_SLOT_BITS | command->slot;
  command->ttts[(command->first_ttt + command->r2ts++) % GT_R2TS_MAX] = ttt;
  gt_out *out = next_out(conn);
  gt_pdu_r2t(out->header, command->lun, command->itt, ttt, command->r2tsn++, command->asked, length);
  gt_pdu_stamp(out->header, &conn->statsn, conn->exp_cmdsn, gt_max_cmdsn(conn));
  command->asked += length;
  conn->data_ns = conn->reactor->now_ns;
  seal(conn, out);
}

static void make_control(gt_conn *conn, gt_control *control) {
  gt_out *out = next_out(conn);
  pop_sender(conn);
  memcpy(out->header, control->header, GT_PDU_BHS);
  if (control->stamp == GT_STAMP_STATUS)
    stamp_status(conn, out);
  else if (control->stamp == GT_STAMP_BORROWED)
    gt_pdu_stamp(out->header, &conn->statsn, conn->exp_cmdsn, gt_max_cmdsn(conn));
  out->data = control->data;
  out->data_len = control->data_len;
  out->control = control;
  seal(conn, out);
}

#define OWNER_OF(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

static void make(gt_conn *conn) {
  while (conn->send_first && conn->out_count < GT_OUT_PDUS) {
    gt_sender *sender = conn->send_first;
    switch (sender->kind) {
    case GT_SEND_ANSWER: make_answer(conn, OWNER_OF(sender, gt_command, answer)); break;
    case GT_SEND_R2T: make_r2t(conn, OWNER_OF(sender, gt_command, r2t)); break;
    default: make_control(conn, OWNER_OF(sender, gt_control, sender)); break;
    }
  }
}

static size_t push(struct iovec *iov, size_t count, const uint8_t *data, size_t length, size_t *skip) {
  if (*skip >= length) return *skip -= length, count;
  iov[count] = (struct iovec){(void *)(uintptr_t)(data + *skip), length - *skip};
  *skip = 0;
  return count + 1;
}

static size_t gather(gt_conn *conn, struct iovec *iov) {
  size_t count = 0, skip = conn->out_sent;
  for (uint32_t i = 0; i < conn->out_count; i++) {
    const gt_out *out = &conn->out[(conn->out_first + i) % GT_OUT_PDUS];
    count = push(iov, count, out->header, out->header_len, &skip);
    if (out->data_len) count = push(iov, count, out->data, out->data_len, &skip);
    if (out->tail_len) count = push(iov, count, out->tail, out->tail_len, &skip);
  }
  return count;
}

static void sent_control(gt_conn *conn, gt_control *control) {
  conn->controls--;
  conn->control_bytes -= control->data_len;
  conn->reactor->freed = true;
  if (control->last) gt_conn_doom(conn);
  free(control);
}

/* The socket took so many bytes: what is wholly sent is given back. */
static void consume(gt_conn *conn, size_t bytes) {
  conn->out_bytes -= bytes;
  bytes += conn->out_sent;
  while (conn->out_count) {
    gt_out *out = &conn->out[conn->out_first];
    size_t size = (size_t)out->header_len + out->data_len + out->tail_len;
    if (bytes < size) break;
    bytes -= size;
    conn->out_first = (conn->out_first + 1) % GT_OUT_PDUS;
    conn->out_count--;
    if (out->command) gt_command_free(out->command);
    if (out->control) sent_control(conn, out->control);
  }
  conn->out_sent = bytes;
}

/* False: the socket takes nothing more for now, or ever. */
static bool send_some(gt_conn *conn) {
  struct iovec iov[3 * GT_OUT_PDUS];
  struct msghdr message = {.msg_iov = iov};
  message.msg_iovlen = gather(conn, iov);
  size_t want = conn->out_bytes;
  ssize_t sent = sendmsg(conn->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) {
    if (errno == EINTR) return true;
    conn->writable = false;
    if (errno != EAGAIN && errno != EWOULDBLOCK) gt_conn_doom(conn);
    return false;
  }
  conn->moved_ns = conn->reactor->now_ns;
  GT_COUNT(conn->reactor, bytes_out, (uint64_t)sent);
  conn->writable = (size_t)sent == want;
  consume(conn, (size_t)sent);
  return conn->writable;
}

static bool socket_lives(const gt_conn *conn) {
  return conn->state != GT_CONN_FREE && conn->state != GT_CONN_DOOMED && conn->state != GT_CONN_ENDING;
}

void gt_conn_flush(gt_conn *conn) {
  if (!socket_lives(conn)) return;
  conn->answers_bytes = 0;
  if (!conn->out_count) conn->moved_ns = conn->reactor->now_ns;
  do {
    make(conn);
    if (!conn->out_count) break;
  } while (conn->writable && send_some(conn) && socket_lives(conn));
  if (conn->state == GT_CONN_LEAVING && !conn->out_count && !conn->send_first) gt_conn_doom(conn);
}

void gt_send_forget(gt_conn *conn) {
  for (; conn->out_count; conn->out_count--) {
    gt_out *out = &conn->out[conn->out_first];
    conn->out_first = (conn->out_first + 1) % GT_OUT_PDUS;
    if (out->command) gt_command_free(out->command);
    free(out->control);
  }
  while (conn->send_first) {
    gt_sender *sender = conn->send_first;
    pop_sender(conn);
    if (sender->kind == GT_SEND_CONTROL) free(OWNER_OF(sender, gt_control, sender));
  }
  conn->out_sent = conn->out_bytes = 0;
  conn->controls = conn->control_bytes = 0;
}
