/* CRC-32C of tape blocks, collected until they are worth an event. One for each side: scatter tells those of the
 * blocks that it wrote, gather those that it read where that is asked for. */
#ifndef GT_CRCS_H
#define GT_CRCS_H

#include "events.h"

typedef struct gt_crcs {
  uint8_t *bytes; /* little-endian */
  uint32_t count;
  uint64_t object; /* of the first */
} gt_crcs;

int gt_crcs_init(gt_crcs *crcs); /* 0 or -ENOMEM */
void gt_crcs_free(gt_crcs *crcs);
/* Objects come in a row; before a jump they are told. False: no memory for the event. */
bool gt_crcs_add(gt_crcs *crcs, gt_events *events, uint64_t object, uint32_t crc32c);
bool gt_crcs_tell(gt_crcs *crcs, gt_events *events);

#endif
