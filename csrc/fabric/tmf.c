/* Task management (RFC 7143 11.5, 11.6; SAM-5 7). A function is answered when the last command that it ends has ended.
 * Data-out that is still on its way for such commands is nobody's and passes (data_out.c), so that none of it has to be
 * waited for. */
#include <errno.h>

#include "fabric/internal.h"

static void respond(gt_conn *conn, uint32_t itt, uint8_t response) {
  gt_control *control = gt_control_new(0, GT_STAMP_STATUS);
  if (!control) return gt_conn_doom(conn);
  gt_pdu_task_response(control->header, itt, response);
  gt_send_control(conn, control);
}

void gt_tmf_told(gt_tmf *tmf) {
  gt_conn *conn = tmf->conn;
  if (--tmf->pending) return;
  tmf->used = false;
  if (conn->state != GT_CONN_FULL) return;
  respond(conn, tmf->itt, tmf->response);
  if (!tmf->cold) return;
  /* 11.5.1: TARGET COLD RESET ends the sessions of the target, this one behind its answer. */
  gt_target_emit(conn, GT_EVENT_COLD_RESET, NULL, NULL, 0);
  gt_session_leave(conn, -1);
}

static void unit_done(void *context) {
  gt_tmf *tmf = context;
  gt_conn *conn = tmf->conn;
  gt_tmf_told(tmf);
  if (conn->state == GT_CONN_FULL) gt_reactor_ready(conn);
}

static gt_tmf *begin(gt_conn *conn, uint32_t itt) {
  for (unsigned i = 0; i < GT_TMFS_MAX; i++) {
    gt_tmf *tmf = &conn->tmfs[i];
    if (tmf->used) continue;
    *tmf = (gt_tmf){.conn = conn, .used = true, .itt = itt, .pending = 1};
    return tmf;
  }
  return NULL;
}

static void abort_task(gt_tmf *tmf, const gt_pdu_task_request *request) {
  gt_command *command = gt_command_find(tmf->conn, request->referenced);
  /* A command whose answer is on its way is in the task set no more. */
  if (!command || command->task.lun != request->lun || command->state == GT_CMD_ENDED)
    tmf->response = GT_TMF_NO_TASK;
  else
    gt_command_abort(command, tmf);
}

/* `by_plane`: the plane ends those that it has, as part of what it was asked for. */
static void abort_set(gt_tmf *tmf, uint32_t lun, bool by_plane) {
  gt_conn *conn = tmf->conn;
  for (uint32_t i = 0; i < conn->command_count; i++) {
    gt_command *command = &conn->commands[i];
    if (command->state == GT_CMD_FREE || command->task.lun != lun) continue;
    if (!by_plane || command->state != GT_CMD_RUNNING) {
      gt_command_abort(command, tmf);
    } else if (!command->tmf) {
      command->tmf = tmf;
      tmf->pending++;
    }
  }
}

static bool on_unit(gt_tmf *tmf, uint32_t lun, bool clear) {
  gt_plane_nexus *nexus = tmf->conn->nexus;
  tmf->pending++;
  int error = clear ? gt_nexus_clear_unit(nexus, lun, unit_done, tmf) : gt_nexus_reset_unit(nexus, lun, unit_done, tmf);
  if (!error) return true;
  tmf->pending--;
  return false;
}

static void whole_unit(gt_tmf *tmf, uint32_t lun, bool clear) {
  abort_set(tmf, lun, true);
  if (lun >= GT_LUNS_MAX || !on_unit(tmf, lun, clear)) tmf->response = GT_TMF_NO_LUN;
}

static void whole_target(gt_tmf *tmf, bool cold) {
  tmf->cold = cold;
  for (uint32_t lun = 0; lun < GT_LUNS_MAX; lun++) {
    abort_set(tmf, lun, true);
    on_unit(tmf, lun, false);
  }
}

void gt_tmf_request(gt_conn *conn, const uint8_t *bhs) {
  gt_pdu_task_request request;
  gt_pdu_read_task_request(bhs, &request);
  gt_tmf *tmf = begin(conn, conn->rx.head.itt);
  if (!tmf) return respond(conn, conn->rx.head.itt, GT_TMF_REJECTED);
  switch (request.function) {
  case GT_TMF_ABORT_TASK: abort_task(tmf, &request); break;
  case GT_TMF_ABORT_TASK_SET: abort_set(tmf, request.lun, false); break;
  case GT_TMF_CLEAR_TASK_SET: whole_unit(tmf, request.lun, true); break;
  case GT_TMF_LUN_RESET: whole_unit(tmf, request.lun, false); break;
  case GT_TMF_WARM_RESET: whole_target(tmf, false); break;
  case GT_TMF_COLD_RESET: whole_target(tmf, true); break;
  case GT_TMF_REASSIGN: tmf->response = GT_TMF_NO_REASSIGN; break;
  default: tmf->response = GT_TMF_UNSUPPORTED; break; /* CLEAR ACA too: no unit establishes one (NORMACA is zero) */
  }
  gt_tmf_told(tmf);
}
