#include "throttle.h"

/* A tenth of a second of saved-up tokens: enough to ride over scheduling, too little to be a burst. */
static const double BURST_S = 0.1;

void gt_throttle_init(gt_throttle *throttle, uint64_t rate, uint64_t now_ns) {
  atomic_init(&throttle->rate, rate);
  throttle->last_ns = now_ns;
  throttle->tokens = 0;
}

uint64_t gt_throttle_until(gt_throttle *throttle, uint64_t now_ns) {
  double rate = (double)atomic_load_explicit(&throttle->rate, memory_order_relaxed);
  double elapsed_s = (double)(now_ns - throttle->last_ns) / 1e9;
  throttle->last_ns = now_ns;
  if (rate == 0) {
    throttle->tokens = 0;
    return 0;
  }
  throttle->tokens += rate * elapsed_s;
  if (throttle->tokens > rate * BURST_S) throttle->tokens = rate * BURST_S;
  if (throttle->tokens >= 0) return 0;
  double wait_s = -throttle->tokens / rate;
  return now_ns + 1 + (uint64_t)((wait_s < 3600 ? wait_s : 3600) * 1e9);
}

void gt_throttle_take(gt_throttle *throttle, uint64_t bytes) {
  if (atomic_load_explicit(&throttle->rate, memory_order_relaxed)) throttle->tokens -= (double)bytes;
}
