/* Records of commands, for people who look for a fault, and taps: bounded queues of such records for units that the
 * bridge itself uses (gt_lu.tap), of the units with tags that were chosen. What servers send is recorded by the plane,
 * before it comes to a unit. */
#ifndef GT_TRACE_H
#define GT_TRACE_H

#include "lu.h"

enum {
  GT_TRACE_FILTERS = 64,   /* that a queue goes by */
  GT_TRACE_RECORDS = 2048, /* that wait to be taken; what comes then is counted and lost */
};

/* A command from its admission, or its submission, to its answer: never a byte of its data. */
typedef struct gt_trace_record {
  uint64_t began_ns, ended_ns; /* CLOCK_MONOTONIC */
  uint32_t nexus, lun, unit;   /* unit UINT32_MAX: none; of a tap: nexus UINT32_MAX, and unit is the tag */
  uint32_t data_len;
  int32_t resid;
  uint8_t dir, outcome, status, cdb_len, sense_len;
  uint8_t cdb[GT_CDB_MAX], sense[GT_SENSE_MAX];
} gt_trace_record;

/* Shared by count. */
int gt_tap_new(gt_tap **out);
gt_tap *gt_tap_ref(gt_tap *tap);
/* (reader) Records the commands of units with these tags from now on; none: nothing, which costs a command one look at
 * a number. -ENOMEM, -EINVAL: too many. */
int gt_tap_set(gt_tap *tap, const uint32_t *tags, size_t count);
/* (reader) *lost: how many there was no room for since the last call. */
size_t gt_tap_take(gt_tap *tap, gt_trace_record *out, size_t max, uint64_t *lost);

#endif
