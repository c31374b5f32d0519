/* One command of an iSCSI session, from the library's task to its answer: sending, reading the answer,
 * aborting, and giving the buffer back only when nothing points at it any more. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "core/scsi.h"
#include "iscsi_session.h"

void gt_iscsi_release(gt_iscsi_slot *slot) {
  free(slot->task.datain.data); /* sense, or data that nobody asked for; malloc'ed by the library */
  slot->task.datain.data = NULL;
  slot->io = NULL;
  slot->deadline_ns = UINT64_MAX;
  if (slot->tmf_out) {
    slot->state = GT_SLOT_ZOMBIE;
    return;
  }
  slot->state = GT_SLOT_FREE;
  slot->next_free = slot->session->free_slots;
  slot->session->free_slots = slot;
}

static void end(gt_iscsi_slot *slot) {
  gt_iscsi *session = slot->session;
  if (slot->state == GT_SLOT_ABORTED || slot->state == GT_SLOT_LINGERING) session->settling--;
  session->busy--;
  gt_io_list_push(&session->finished, slot->io);
  gt_iscsi_release(slot);
}

static void end_as(gt_iscsi_slot *slot, uint8_t outcome) {
  slot->io->outcome = outcome;
  end(slot);
}

static void set_deadline(gt_iscsi_slot *slot, uint64_t at_ns) {
  slot->deadline_ns = at_ns;
  if (at_ns < slot->session->next_deadline_ns) slot->session->next_deadline_ns = at_ns;
}

static void set_grace(gt_iscsi_slot *slot) { set_deadline(slot, gt_now_ns() + (uint64_t)GT_ISCSI_GRACE_MS * 1000000u); }

static bool output_drained(const gt_iscsi *session) {
  return iscsi_out_queue_length(session->context) == 0 && !(iscsi_which_events(session->context) & POLLOUT);
}

/* RFC 7143 11.4.7.2: the sense data segment starts with its length, two bytes. */
static void take_sense(gt_io *io, const struct scsi_data *segment) {
  if (!segment->data || segment->size < 2) return;
  size_t there = (size_t)segment->size - 2;
  size_t length = (size_t)segment->data[0] << 8 | segment->data[1];
  if (length > there) length = there;
  if (length > GT_SENSE_MAX) length = GT_SENSE_MAX;
  memcpy(io->sense, segment->data + 2, length);
  io->sense_len = (uint8_t)length;
}

/* RFC 7143 11.4.5 */
static int32_t residual(const struct scsi_task *task) {
  if (task->residual_status == SCSI_RESIDUAL_NO_RESIDUAL) return 0;
  int32_t size = task->residual > INT32_MAX ? INT32_MAX : (int32_t)task->residual;
  return task->residual_status == SCSI_RESIDUAL_UNDERFLOW ? size : -size;
}

/* The library believes a target that says GOOD, and a SCSI Response that says "target failure" (RFC 7143
 * 11.4.3, response 01h) has a status field of zero; neither does it count the bytes of Data-In PDUs. So the
 * end of a buffer that is to be filled with payload is marked before, and must not bear the mark after. */
static void guard(gt_iscsi_slot *slot) {
  const gt_io *io = slot->io;
  uint8_t opcode = io->cdb[0];
  bool payload = opcode == GT_READ_6 || opcode == GT_READ_10 || opcode == GT_READ_12 || opcode == GT_READ_16;
  slot->guarded = payload && io->dir == GT_DIR_IN && io->data_len >= GT_ISCSI_CANARY;
  if (!slot->guarded) return;
  for (size_t i = 0; i < GT_ISCSI_CANARY; i++) {
    uint64_t x = slot->session->random = slot->session->random * 6364136223846793005u + 1442695040888963407u;
    slot->canary[i] = (uint8_t)(x >> 56);
  }
  uint8_t *tail = (uint8_t *)io->data + io->data_len - GT_ISCSI_CANARY;
  memcpy(slot->covered, tail, GT_ISCSI_CANARY);
  memcpy(tail, slot->canary, GT_ISCSI_CANARY);
}

/* False: nothing was written to the end of the buffer. Then it is as it was. */
static bool filled(const gt_iscsi_slot *slot) {
  if (!slot->guarded) return true;
  uint8_t *tail = (uint8_t *)slot->io->data + slot->io->data_len - GT_ISCSI_CANARY;
  if (memcmp(tail, slot->canary, GT_ISCSI_CANARY) != 0) return true;
  memcpy(tail, slot->covered, GT_ISCSI_CANARY);
  return false;
}

static void take_answer(gt_iscsi_slot *slot, int status) {
  gt_io *io = slot->io;
  io->outcome = GT_DELIVERED;
  io->status = (uint8_t)status;
  io->resid = residual(&slot->task);
  if (status == SCSI_STATUS_CHECK_CONDITION) take_sense(io, &slot->task.datain);
  if (!filled(slot) && status == SCSI_STATUS_GOOD && io->resid == 0) {
    io->outcome = GT_TRANSPORT;
    io->resid = io->data_len > INT32_MAX ? INT32_MAX : (int32_t)io->data_len;
  }
  bool early = io->dir == GT_DIR_OUT && (status != SCSI_STATUS_GOOD || io->resid != 0);
  if (!early || output_drained(slot->session)) {
    end(slot);
    return;
  }
  if (slot->state != GT_SLOT_ABORTED) slot->session->settling++;
  slot->state = GT_SLOT_LINGERING;
  set_grace(slot);
}

static void on_answer(struct iscsi_context *context, int status, void *data, void *private_data) {
  (void)context, (void)data;
  gt_iscsi_slot *slot = private_data;
  if (slot->session->dying || !slot->io || slot->state == GT_SLOT_LINGERING) return;
  switch (status) {
  case SCSI_STATUS_GOOD:
  case SCSI_STATUS_CHECK_CONDITION:
  case SCSI_STATUS_CONDITION_MET:
  case SCSI_STATUS_BUSY:
  case SCSI_STATUS_RESERVATION_CONFLICT:
  case SCSI_STATUS_TASK_SET_FULL:
  case SCSI_STATUS_ACA_ACTIVE:
  case SCSI_STATUS_TASK_ABORTED: take_answer(slot, status); return;
  case SCSI_STATUS_CANCELLED:
    if (slot->state == GT_SLOT_ABORTED) {
      end_as(slot, slot->ends_as);
      return;
    }
    break;
  default: /* rejected, not understood, or half sent for want of memory */ break;
  }
  slot->io->host_status = (uint16_t)status;
  slot->session->lost = true;
}

void gt_iscsi_lose(gt_iscsi *session, uint8_t outcome) {
  session->dying = true;
  if (session->context) iscsi_destroy_context(session->context);
  session->context = NULL;
  for (gt_iscsi_slot *slot = session->slots; slot < session->slots + GT_ISCSI_SLOTS; slot++) {
    slot->tmf_out = false;
    if (!slot->io) continue;
    bool aborting = slot->state == GT_SLOT_ABORTING || slot->state == GT_SLOT_ABORTED;
    if (slot->state == GT_SLOT_LINGERING)
      end(slot); /* it has its answer */
    else
      end_as(slot, aborting && outcome == GT_TRANSPORT ? slot->ends_as : outcome);
  }
  for (gt_io *io; (io = gt_io_list_pop(&session->waiting));) {
    io->outcome = outcome;
    session->busy--;
    gt_io_list_push(&session->finished, io);
  }
}

int gt_iscsi_start(gt_iscsi *session, gt_io *io, uint64_t deadline_ns) {
  gt_iscsi_slot *slot = session->free_slots;
  struct scsi_task *task = &slot->task;
  memset(task, 0, sizeof *task);
  memcpy(task->cdb, io->cdb, io->cdb_len);
  task->cdb_size = io->cdb_len;
  task->expxferlen = io->dir == GT_DIR_NONE ? 0 : (int)io->data_len;
  slot->io = io;
  guard(slot);
  slot->iov = (struct scsi_iovec){.iov_base = io->data, .iov_len = (size_t)task->expxferlen};
  /* Also where nothing is expected: a target reports what the command would have moved by its R and W bits (RFC 7143
   * 11.4.5.1). */
  if (io->dir == GT_DIR_IN) {
    task->xfer_dir = SCSI_XFER_READ;
    scsi_task_set_iov_in(task, &slot->iov, 1);
  } else if (io->dir == GT_DIR_OUT) {
    task->xfer_dir = SCSI_XFER_WRITE;
    scsi_task_set_iov_out(task, &slot->iov, 1);
  }
  if (iscsi_scsi_command_async(session->context, (int)session->lun, task, on_answer, NULL, slot)) {
    slot->io = NULL;
    return -EIO;
  }
  session->free_slots = slot->next_free;
  slot->state = GT_SLOT_SENT;
  io->priv[0] = (uint64_t)(uintptr_t)slot;
  set_deadline(slot, deadline_ns);
  return 0;
}

/* RFC 7143 11.6.1: 0 function complete, 1 task does not exist (its answer came before, or never will). */
static void on_tmf(struct iscsi_context *context, int status, void *data, void *private_data) {
  (void)context;
  gt_iscsi_slot *slot = private_data;
  if (slot->session->dying) return;
  slot->tmf_out = false;
  if (slot->state == GT_SLOT_ZOMBIE) {
    gt_iscsi_release(slot);
    return;
  }
  if (slot->state != GT_SLOT_ABORTING) return;
  if (status != SCSI_STATUS_GOOD || !data || *(uint32_t *)data > ISCSI_TMR_TASK_DOES_NOT_EXIST) {
    slot->session->lost = true;
    return;
  }
  slot->state = GT_SLOT_ABORTED;
  slot->session->settling++;
}

void gt_iscsi_begin_abort(gt_iscsi_slot *slot, uint8_t ends_as) {
  gt_iscsi *session = slot->session;
  slot->state = GT_SLOT_ABORTING;
  slot->ends_as = ends_as;
  set_grace(slot);
  if (iscsi_task_mgmt_async(session->context, (int)session->lun, ISCSI_TM_ABORT_TASK, slot->task.itt, slot->task.cmdsn,
                            on_tmf, slot))
    session->lost = true;
  else
    slot->tmf_out = true;
}

void gt_iscsi_settle(gt_iscsi *session) {
  if (!session->settling || !output_drained(session)) return;
  for (gt_iscsi_slot *slot = session->slots; slot < session->slots + GT_ISCSI_SLOTS; slot++) {
    if (slot->state == GT_SLOT_LINGERING)
      end(slot);
    else if (slot->state == GT_SLOT_ABORTED && iscsi_scsi_cancel_task(session->context, &slot->task))
      session->lost = true; /* the library does not know it: do not guess */
  }
}
