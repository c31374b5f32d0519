/* A connection's life: into the full-feature phase, out of it, its times, its end. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fabric/internal.h"

enum { SPARE_COMMANDS = 8, ASYNC_LOGOUT = 1, ASYNC_DROP = 2 };

uint32_t gt_max_cmdsn(const gt_conn *conn) {
  /* The window never shrinks: a command that enters it raises both numbers. */
  return conn->exp_cmdsn + conn->reactor->target->options.queue_depth - conn->window_busy - 1;
}

static bool make_commands(gt_conn *conn) {
  uint32_t count = conn->reactor->target->options.queue_depth + GT_IMMEDIATE_MAX + SPARE_COMMANDS;
  conn->commands = calloc(count, sizeof *conn->commands);
  if (!conn->commands) return false;
  conn->command_count = count;
  conn->free_commands = NULL;
  for (uint32_t i = count; i-- > 0;)
    gt_command_init(&conn->commands[i], conn, (uint16_t)i);
  return true;
}

static void enter(gt_conn *conn, const gt_full_feature *params) {
  gt_target *target = conn->reactor->target;
  pthread_mutex_lock(&target->lock);
  bool nexus = conn->nexus != NULL;
  pthread_mutex_unlock(&target->lock);
  if (nexus == params->discovery || (nexus && !make_commands(conn))) return gt_conn_doom(conn);
  conn->params = *params;
  conn->exp_cmdsn = params->exp_cmdsn;
  conn->statsn = params->statsn;
  conn->state = GT_CONN_FULL;
}

static void answer_login(gt_conn *conn, gt_control *control, const gt_full_feature *params, bool last) {
  gt_send_control(conn, control);
  gt_conn_flush(conn); /* made now, before digests are spoken */
  if (conn->state != GT_CONN_ANSWERING) return;
  conn->state = last ? GT_CONN_LEAVING : GT_CONN_LOGIN;
  if (params && !last) enter(conn, params);
}

/* The one value that the full-feature phase may declare anew (RFC 7143 13.12). */
static void answer_text(gt_conn *conn, gt_control *control, const gt_full_feature *params, bool last) {
  conn->text_pending = false;
  if (params) conn->params.initiator_max_recv = params->initiator_max_recv;
  control->stamp = GT_STAMP_STATUS;
  gt_send_control(conn, control);
  if (last) gt_session_leave(conn, -1);
}

void gt_session_answer(gt_conn *conn, gt_control *control, const gt_full_feature *params, bool last) {
  if (!control && last && conn->state == GT_CONN_FULL)
    gt_session_leave(conn, -1);
  else if (!control)
    gt_conn_doom(conn);
  else if (conn->state == GT_CONN_ANSWERING)
    answer_login(conn, control, params, last);
  else if (conn->state == GT_CONN_FULL && conn->text_pending)
    answer_text(conn, control, params, last);
  else
    free(control);
  if (conn->state == GT_CONN_FULL || conn->state == GT_CONN_LOGIN) gt_conn_resume(conn);
  gt_conn_flush(conn);
}

static void tell_async(gt_conn *conn, uint8_t event) {
  gt_control *control = gt_control_new(0, GT_STAMP_STATUS);
  if (!control) return;
  /* 11.9: parameter 1 is the connection of event 2; parameter 3 of event 1 is how long to wait for the logout. */
  uint16_t cid = event == ASYNC_DROP ? conn->params.cid : 0;
  gt_pdu_async(control->header, event, cid, event == ASYNC_LOGOUT ? 0 : 2, 0);
  gt_send_control(conn, control);
}

static void abort_all(gt_conn *conn) {
  for (uint32_t i = 0; i < conn->command_count; i++) {
    if (conn->commands[i].state != GT_CMD_FREE) gt_command_abort(&conn->commands[i], NULL);
  }
}

void gt_session_leave(gt_conn *conn, int async_event) {
  if (conn->state != GT_CONN_FULL) {
    if (conn->state == GT_CONN_LOGIN || conn->state == GT_CONN_ANSWERING) gt_conn_doom(conn);
    return;
  }
  if (async_event >= 0) tell_async(conn, (uint8_t)async_event);
  conn->state = GT_CONN_LEAVING;
  conn->moved_ns = conn->reactor->now_ns;
  abort_all(conn);
  gt_reactor_ready(conn);
}

void gt_conn_doom(gt_conn *conn) {
  if (conn->state == GT_CONN_FREE || conn->state == GT_CONN_ENDING) return;
  conn->state = GT_CONN_DOOMED;
  conn->reactor->dooming = true;
}

static void forget_received(gt_rx *rx) {
  free(rx->control);
  free(rx->loose);
  free(rx->left);
  rx->control = NULL;
  rx->loose = rx->left = NULL;
}

void gt_conn_bury(gt_conn *conn) {
  close(conn->fd);
  conn->fd = -1;
  conn->state = GT_CONN_ENDING;
  conn->reactor->ending++;
  conn->paused = false;
  gt_send_forget(conn);
  abort_all(conn);
  gt_memory_forgo(conn);
  for (uint32_t i = 0; i < conn->command_count; i++) {
    if (conn->commands[i].state == GT_CMD_ENDED) gt_command_free(&conn->commands[i]);
  }
  forget_received(&conn->rx);
  pthread_mutex_lock(&conn->reactor->target->lock);
  conn->gone = true;
  bool told = conn->told;
  if (conn->nexus) gt_nexus_close(conn->nexus);
  pthread_mutex_unlock(&conn->reactor->target->lock);
  if (told) gt_target_emit(conn, GT_EVENT_GONE, NULL, NULL, 0);
}

bool gt_conn_settle(gt_conn *conn) {
  gt_target *target = conn->reactor->target;
  if (conn->nexus) {
    gt_nexus_run(conn->nexus);
    if (!gt_nexus_closed(conn->nexus) || conn->commands_busy) return false;
    gt_nexus_free(conn->nexus);
  }
  free(conn->commands);
  conn->commands = NULL;
  conn->command_count = 0;
  conn->state = GT_CONN_FREE;
  conn->reactor->ending--;
  atomic_fetch_sub(&conn->reactor->connections, 1);
  pthread_mutex_lock(&target->lock);
  conn->nexus = NULL;
  conn->nexus_number = UINT32_MAX;
  conn->id = 0;
  pthread_mutex_unlock(&target->lock);
  return true;
}

/* ---- times ---- */

static bool over(const gt_conn *conn, uint64_t since_ns, uint32_t ms) {
  return conn->reactor->now_ns > since_ns && conn->reactor->now_ns - since_ns > (uint64_t)ms * 1000000u;
}

static bool stuck(const gt_conn *conn, const gt_target_options *options) {
  bool begun = conn->rx.phase == GT_RX_DATA || conn->rx.have;
  if (conn->state == GT_CONN_LOGIN || conn->state == GT_CONN_ANSWERING)
    return over(conn, conn->born_ns, options->login_timeout_ms);
  if (conn->out_count && over(conn, conn->moved_ns, options->stall_timeout_ms)) return true;
  if (conn->state != GT_CONN_FULL || conn->paused) return conn->state == GT_CONN_LEAVING && !conn->out_count;
  if (begun && over(conn, conn->heard_ns, options->stall_timeout_ms)) return true;
  if (conn->data_awaited && over(conn, conn->data_ns, options->data_timeout_ms)) return true;
  return conn->pinged_ns && over(conn, conn->pinged_ns, options->ping_timeout_ms);
}

static void ping(gt_conn *conn) {
  gt_control *control = gt_send_has_room(conn) ? gt_control_new(0, GT_STAMP_BORROWED) : NULL;
  if (!control) return;
  uint32_t ttt = conn->ttt_counter++ << GT_SLOT_BITS | ((1u << GT_SLOT_BITS) - 2);
  gt_pdu_nop_in(control->header, NULL, GT_PDU_NO_TAG, ttt, 0);
  gt_send_control(conn, control);
  conn->pinged_ns = conn->reactor->now_ns;
  gt_conn_flush(conn);
}

void gt_conn_tick(gt_conn *conn) {
  const gt_target_options *options = &conn->reactor->target->options;
  if (conn->state == GT_CONN_FREE || conn->state >= GT_CONN_DOOMED) return;
  if (!conn->waiting && !conn->hungry) gt_memory_forgo(conn); /* what it waited for was aborted */
  if (stuck(conn, options)) {
    GT_COUNT(conn->reactor, timeouts, 1);
    return gt_conn_doom(conn);
  }
  if (conn->state != GT_CONN_FULL) return;
  gt_conn_wait_no_more(conn);
  /* What was put off is not the peer's silence. */
  if (conn->paused) conn->data_ns = conn->heard_ns = conn->reactor->now_ns;
  if (conn->paused || conn->waiting) conn->reactor->freed = conn->reactor->stalled = true;
  if (!conn->pinged_ns && over(conn, conn->heard_ns, options->ping_after_ms)) ping(conn);
}
