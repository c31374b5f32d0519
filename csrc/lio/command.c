/* A command of a ring: from its entry to its answer. */
#include <string.h>

#include "core/scsi.h"
#include "core/sense.h"
#include "lio/internal.h"

enum { ATTRIBUTE_SIMPLE = 1 }; /* a ring says no other */

static gt_lio_record *record_of(gt_lio_ring *ring, uint32_t record) { return &ring->records[record % ring->room]; }

/* ---- answers ---- */

void gt_lio_pop(gt_lio_ring *ring) {
  bool some = false;
  uint32_t tail = ring->shared.tail;
  while (ring->count && !record_of(ring, ring->first)->of_command) {
    const gt_lio_record *front = record_of(ring, ring->first++);
    ring->count--;
    tail = gt_tcmu_next(&ring->shared, front->at, front->length);
    some = true;
  }
  if (!some) return;
  gt_tcmu_release(&ring->shared, tail);
  ring->answered = true;
  gt_lio_touch(ring);
}

/* The answer goes to the first entry; who is there moves to the one that becomes free. */
static void end(gt_lio_ring *ring, uint32_t record, const gt_tcmu_answer *answer) {
  gt_lio_record *mine = record_of(ring, record), *front = record_of(ring, ring->first);
  uint16_t id = mine->id;
  if (mine != front) {
    gt_tcmu_lend(&ring->shared, mine->at, id, front->id);
    mine->id = front->id;
    mine->command = front->command;
    if (mine->command) mine->command->record = record;
  }
  gt_tcmu_answer_at(&ring->shared, front->at, id, answer);
  front->of_command = false;
  gt_lio_pop(ring);
}

static void end_status(gt_lio_ring *ring, uint32_t record, uint8_t status) {
  end(ring, record, &(gt_tcmu_answer){.status = status});
}

static void end_sense(gt_lio_ring *ring, uint32_t record, uint8_t key, uint16_t asc) {
  uint8_t sense[GT_SENSE_MAX];
  size_t length = gt_sense_build(&(gt_sense){.key = key, .asc = asc, .field_bit = -1}, false, sense, sizeof sense);
  end(ring, record,
      &(gt_tcmu_answer){.status = GT_STATUS_CHECK_CONDITION, .sense = sense, .sense_len = (uint8_t)length});
}

/* Nobody knows whether it had an effect. As of one whose answer a transport lost (csrc/plane/unit.c): the initiator may
 * try again, and whether that is right for this command it knows better than anybody here. */
static void end_unknown(gt_lio_ring *ring, uint32_t record) {
  end_sense(ring, record, GT_KEY_ABORTED_COMMAND, GT_ASC_COMMUNICATION_FAILURE);
}

/* ---- data in pieces ---- */

static void gather(const gt_lio_command *command) {
  uint8_t *to = command->buffer;
  for (uint32_t i = 0; i < command->pieces; to += command->piece[i++].length)
    memcpy(to, command->piece[i].data, command->piece[i].length);
}

static void scatter(const gt_lio_command *command, uint32_t length) {
  const uint8_t *from = command->buffer;
  for (uint32_t i = 0; i < command->pieces && length; i++) {
    uint32_t part = command->piece[i].length < length ? command->piece[i].length : length;
    memcpy(command->piece[i].data, from, part);
    from += part;
    length -= part;
  }
}

static void clear(const gt_lio_command *command) {
  for (uint32_t i = 0; i < command->pieces; i++)
    memset(command->piece[i].data, 0, command->piece[i].length);
}

/* ---- the end of a task ---- */

static void give_back(gt_lio_command *command) {
  gt_lio_ring *ring = command->ring;
  if (command->buffer) gt_buffers_give(&ring->lio->pool, command->buffer);
  command->buffer = NULL;
  command->busy = command->waiting = false;
  command->next = ring->free;
  ring->free = command;
  ring->busy--;
  gt_lio_touch(ring);
}

/* How much data-in the kernel is to take. Nothing at all cannot be said (0 means "all"): then there is sense, or
 * zeros. */
static uint32_t bring_in(gt_lio_command *command) {
  const gt_io *io = &command->task.io;
  int64_t moved = (int64_t)io->data_len - io->resid;
  bool checked = io->status == GT_STATUS_CHECK_CONDITION;
  if (io->dir != GT_DIR_IN || (io->status != GT_STATUS_GOOD && !checked)) return 0;
  uint32_t length = moved <= 0 ? 0 : moved < io->data_len ? (uint32_t)moved : io->data_len;
  if (command->buffer) scatter(command, length);
  if (!length && !checked) clear(command);
  return checked || length < io->data_len ? length : 0;
}

static void answered(gt_task *task) {
  gt_lio_command *command = task->owner;
  gt_lio_ring *ring = command->ring;
  const gt_io *io = &task->io;
  if (io->outcome != GT_ABORTED) {
    gt_tcmu_answer answer = {.status = io->status, .sense = io->sense, .read = bring_in(command)};
    if (io->status == GT_STATUS_CHECK_CONDITION) answer.sense_len = io->sense_len;
    end(ring, command->record, &answer);
  } else if (command->named || ring->state == GT_LIO_SERVED) {
    /* A ring has to say something also where SAM-5 5.6 would have it silent. */
    end_status(ring, command->record, GT_STATUS_TASK_ABORTED);
  } else if (task->ran) {
    end_unknown(ring, command->record);
  } else {
    end_status(ring, command->record, GT_STATUS_BUSY);
  }
  give_back(command);
}

/* ---- its begin ---- */

static void start(gt_lio_command *command) {
  gt_io *io = &command->task.io;
  gt_lio_ring *ring = command->ring;
  if (command->buffer && io->dir == GT_DIR_OUT) gather(command);
  io->data = command->buffer ? command->buffer : command->pieces ? command->piece[0].data : NULL;
  gt_tcmu_begin(&ring->shared, record_of(ring, command->record)->at);
  gt_task_start(&command->task);
}

static bool get_memory(gt_lio_command *command) {
  if (command->pieces < 2 || command->buffer) return true;
  command->buffer = gt_buffers_take(&command->ring->lio->pool, command->task.io.data_len);
  return command->buffer != NULL;
}

static void await_memory(gt_lio_command *command) {
  gt_lio *lio = command->ring->lio;
  GT_LIO_COUNT(lio, starved);
  command->waiting = true;
  command->next = NULL;
  *lio->waiting_end = command;
  lio->waiting_end = &command->next;
}

void gt_lio_go_on(gt_lio *lio) {
  while (lio->waiting && get_memory(lio->waiting)) {
    gt_lio_command *command = lio->waiting;
    lio->waiting = command->next;
    if (!lio->waiting) lio->waiting_end = &lio->waiting;
    command->waiting = false;
    start(command);
  }
}

static void stop_waiting(gt_lio_command *command) {
  gt_lio *lio = command->ring->lio;
  gt_lio_command **at = &lio->waiting;
  while (*at != command)
    at = &(*at)->next;
  *at = command->next;
  if (!*at) lio->waiting_end = at;
  command->waiting = false;
}

void gt_lio_command_forgo(gt_lio_command *command) {
  stop_waiting(command);
  record_of(command->ring, command->record)->command = NULL;
  gt_task_drop(&command->task);
  give_back(command);
}

void gt_lio_command_abort(gt_lio_command *command) {
  if (!command->waiting) return gt_task_abort(&command->task);
  uint32_t record = command->record;
  gt_lio_command_forgo(command);
  end_status(command->ring, record, GT_STATUS_TASK_ABORTED);
}

/* Total of its data, or -EBADMSG; pieces that lie side by side are one. More than fit are counted, not kept. */
static int64_t lay_out(gt_lio_command *command, const gt_tcmu_entry *entry) {
  int64_t total = 0;
  command->pieces = 0;
  for (uint32_t i = 0; i < entry->pieces; i++) {
    gt_tcmu_piece piece, *last = command->pieces ? &command->piece[command->pieces - 1] : NULL;
    int error = gt_tcmu_piece_of(&command->ring->shared, entry, i, &piece);
    if (error) return error;
    total += piece.length;
    if (!piece.length) continue;
    if (last && total <= GT_LIO_TRANSFER_MAX && last->data + last->length == piece.data)
      last->length += piece.length;
    else if (command->pieces < GT_LIO_PIECES_MAX)
      command->piece[command->pieces++] = piece;
    else
      total = (int64_t)GT_LIO_TRANSFER_MAX + 1;
    if (total > GT_LIO_TRANSFER_MAX) return total;
  }
  return total;
}

static void fill(gt_lio_command *command, const gt_tcmu_entry *entry, uint32_t length) {
  gt_io *io = &command->task.io;
  memset(io, 0, sizeof *io);
  memcpy(io->cdb, entry->cdb, entry->cdb_len);
  io->cdb_len = entry->cdb_len;
  io->dir = !length ? GT_DIR_NONE : gt_lio_takes_data(entry->cdb) ? GT_DIR_OUT : GT_DIR_IN;
  io->data_len = length;
  io->resid = (int32_t)length;
  command->task.lun = command->ring->lun;
  command->task.attribute = ATTRIBUTE_SIMPLE;
  command->task.at_once = false;
  command->task.owner = command;
  command->task.answered = answered;
}

static void run(gt_lio_ring *ring, gt_lio_command *command) {
  gt_io *io = &command->task.io;
  /* Judged before data are touched; an answer of the judge's goes out as any other. */
  if (gt_task_admit(ring->nexus->plane, &command->task) == GT_ADMIT_ANSWERED) return answered(&command->task);
  if (io->data_len) command->pieces > 1 ? GT_LIO_COUNT(ring->lio, gathered) : GT_LIO_COUNT(ring->lio, in_place);
  /* Who waits is not overtaken. */
  if (command->pieces > 1 && (ring->lio->waiting || !get_memory(command))) return await_memory(command);
  start(command);
}

static bool is_named(const gt_lio_ring *ring, uint16_t id) { return ring->named[id / 64] >> id % 64 & 1; }

void gt_lio_command_take(gt_lio_ring *ring, const gt_tcmu_entry *entry, uint32_t record) {
  gt_lio_command *command = ring->free;
  GT_LIO_COUNT(ring->lio, commands);
  if (is_named(ring, entry->id)) {
    GT_LIO_COUNT(ring->lio, aborted);
    return end_status(ring, record, GT_STATUS_TASK_ABORTED);
  }
  if (entry->marks) {
    GT_LIO_COUNT(ring->lio, inherited);
    bool whole = !(entry->marks & (GT_TCMU_LENT | GT_TCMU_ANSWERED));
    if (!whole || !gt_lio_may_repeat(entry->cdb, ring->sequential)) return end_unknown(ring, record);
  }
  if (!command) {
    GT_LIO_COUNT(ring->lio, full);
    return end_status(ring, record, GT_STATUS_TASK_SET_FULL);
  }
  int64_t length = lay_out(command, entry);
  if (length < 0) return gt_lio_fail(ring, GT_LIO_BROKEN);
  if (length > GT_LIO_TRANSFER_MAX) return end_sense(ring, record, GT_KEY_ILLEGAL_REQUEST, GT_ASC_INVALID_FIELD_IN_CDB);
  ring->free = command->next;
  ring->busy++;
  command->busy = true;
  command->named = false;
  command->record = record;
  command->id = entry->id;
  record_of(ring, record)->command = command;
  fill(command, entry, (uint32_t)length);
  run(ring, command);
}
