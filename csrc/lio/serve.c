/* What the kernel wrote into a ring: entries taken in order, task management, the end of a ring. */
#include "lio/internal.h"

static void name(gt_lio_ring *ring, uint16_t id, bool on) {
  uint64_t bit = UINT64_C(1) << id % 64;
  if (on)
    ring->named[id / 64] |= bit;
  else
    ring->named[id / 64] &= ~bit;
}

/* Whom task management further on speaks of must not begin first. Looks at every new entry, so that a ring that is
 * wrong anywhere is served nowhere. */
static int foresee(gt_lio_ring *ring, uint32_t head) {
  gt_tcmu_entry entry;
  for (uint32_t at = ring->shared.seen; at != head; at = gt_tcmu_next(&ring->shared, at, entry.length)) {
    int error = gt_tcmu_look(&ring->shared, at, head, &entry);
    if (error) return error;
    if (entry.op != GT_TCMU_TMR) continue;
    for (uint32_t i = 0; i < entry.named; i++)
      name(ring, gt_tcmu_name_of(&ring->shared, &entry, i), true);
  }
  return 0;
}

static void reset_done(void *context) {
  gt_lio_ring *ring = context;
  ring->resets--;
  gt_lio_touch(ring);
}

/* The kernel waits for the answers of those it names; for the function itself there is none. What it does to other
 * initiators of the unit the plane does. */
static void manage(gt_lio_ring *ring, const gt_tcmu_entry *entry) {
  gt_plane_nexus *nexus = ring->nexus->plane;
  for (uint32_t i = 0; i < entry->named; i++) {
    uint16_t id = gt_tcmu_name_of(&ring->shared, entry, i);
    name(ring, id, false);
    for (uint32_t k = 0; k < ring->depth; k++) {
      gt_lio_command *command = &ring->commands[k];
      if (!command->busy || command->id != id || command->named) continue;
      GT_LIO_COUNT(ring->lio, aborted);
      command->named = true;
      gt_lio_command_abort(command);
      break;
    }
  }
  int error = -1;
  ring->resets++;
  switch (entry->function) {
  case GT_TCMU_LUN_RESET:
  case GT_TCMU_WARM_RESET:
  case GT_TCMU_COLD_RESET: error = gt_nexus_reset_unit(nexus, ring->lun, reset_done, ring); break;
  case GT_TCMU_CLEAR_TASK_SET: error = gt_nexus_clear_unit(nexus, ring->lun, reset_done, ring); break;
  default: break;
  }
  if (error) ring->resets--;
}

static void take(gt_lio_ring *ring, const gt_tcmu_entry *entry) {
  uint32_t record = ring->first + ring->count++;
  bool of_command = entry->op == GT_TCMU_COMMAND;
  ring->records[record % ring->room] =
      (gt_lio_record){.at = entry->at, .length = entry->length, .id = entry->id, .of_command = of_command};
  ring->shared.seen = gt_tcmu_next(&ring->shared, entry->at, entry->length);
  if (of_command) return gt_lio_command_take(ring, entry, record);
  if (entry->op == GT_TCMU_TMR) manage(ring, entry);
  gt_lio_pop(ring);
}

void gt_lio_serve(gt_lio_ring *ring) {
  uint32_t head;
  gt_tcmu_entry entry;
  if (ring->state != GT_LIO_SERVED) return;
  ring->stalled = false;
  if (gt_tcmu_head(&ring->shared, &head) || foresee(ring, head)) return gt_lio_fail(ring, GT_LIO_BROKEN);
  while (ring->shared.seen != head && ring->state == GT_LIO_SERVED) {
    ring->stalled = ring->count == ring->room;
    if (ring->stalled) return;
    if (gt_tcmu_look(&ring->shared, ring->shared.seen, head, &entry)) return gt_lio_fail(ring, GT_LIO_BROKEN);
    take(ring, &entry);
  }
}

static void end_tasks(gt_lio_ring *ring) {
  for (uint32_t i = 0; i < ring->depth; i++) {
    gt_lio_command *command = &ring->commands[i];
    if (!command->busy) continue;
    if (command->waiting)
      gt_lio_command_forgo(command);
    else
      gt_task_abort(&command->task);
  }
}

void gt_lio_fail(gt_lio_ring *ring, uint8_t event) {
  if (ring->state != GT_LIO_SERVED) return;
  ring->state = GT_LIO_FAILED;
  if (event == GT_LIO_BROKEN) GT_LIO_COUNT(ring->lio, broken);
  ring->failed->event.kind = event;
  gt_lio_tell(ring->lio, ring->failed);
  ring->failed = NULL;
  end_tasks(ring);
}

void gt_lio_leave(gt_lio_ring *ring) {
  if (ring->state == GT_LIO_LEAVING) return;
  bool served = ring->state == GT_LIO_SERVED;
  ring->state = GT_LIO_LEAVING;
  ring->lio->ending++;
  if (served) end_tasks(ring);
}
