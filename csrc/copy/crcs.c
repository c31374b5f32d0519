#include "crcs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../core/bytes.h"

enum { CRCS_MAX = 4096 };

int gt_crcs_init(gt_crcs *crcs) {
  crcs->bytes = malloc(4 * CRCS_MAX);
  return crcs->bytes ? 0 : -ENOMEM;
}

void gt_crcs_free(gt_crcs *crcs) { free(crcs->bytes); }

bool gt_crcs_tell(gt_crcs *crcs, gt_events *events) {
  if (!crcs->count) return true;
  gt_event event = {
      .type = GT_EV_BLOCK_CRCS, .object = crcs->object, .count = crcs->count, .data_len = 4 * crcs->count};
  event.data = malloc(event.data_len);
  if (!event.data) return false;
  memcpy(event.data, crcs->bytes, event.data_len);
  crcs->count = 0;
  gt_events_post(events, &event);
  return true;
}

bool gt_crcs_add(gt_crcs *crcs, gt_events *events, uint64_t object, uint32_t crc32c) {
  bool jump = crcs->count && object != crcs->object + crcs->count;
  if ((jump || crcs->count == CRCS_MAX) && !gt_crcs_tell(crcs, events)) return false;
  if (!crcs->count) crcs->object = object;
  gt_store_le32(crcs->bytes + 4 * crcs->count++, crc32c);
  return true;
}
