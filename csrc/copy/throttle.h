/* Bandwidth limit: a token bucket that may be overdrawn by one piece. Pure: time is a parameter. */
#ifndef GT_THROTTLE_H
#define GT_THROTTLE_H

#include <stdatomic.h>
#include <stdint.h>

typedef struct gt_throttle {
  _Atomic uint64_t rate; /* bytes per second; 0: no limit. May be set by any thread */
  uint64_t last_ns;
  double tokens; /* bytes that may go now; negative: overdrawn */
} gt_throttle;

void gt_throttle_init(gt_throttle *throttle, uint64_t rate, uint64_t now_ns);
/* When the next piece may go: 0 now, else a time. */
uint64_t gt_throttle_until(gt_throttle *throttle, uint64_t now_ns);
void gt_throttle_take(gt_throttle *throttle, uint64_t bytes);

#endif
