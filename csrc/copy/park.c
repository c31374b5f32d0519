#include "park.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { AWAKE, IN_FUTEX, IN_POLL };

uint64_t gt_clock_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void wait_futex(_Atomic uint32_t *word, uint64_t until_ns) {
  struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000u), .tv_nsec = (long)(until_ns % 1000000000u)};
  /* FUTEX_WAIT_BITSET takes an absolute time on CLOCK_MONOTONIC. */
  syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, IN_FUTEX, until_ns == UINT64_MAX ? NULL : &until,
          NULL, FUTEX_BITSET_MATCH_ANY);
}

/* Milliseconds for a poll, rounded up so that a wait that is nearly over does not spin. */
static int timeout_ms(uint64_t until_ns) {
  if (until_ns == UINT64_MAX) return -1;
  uint64_t now = gt_clock_ns(), left = until_ns > now ? until_ns - now : 0;
  uint64_t ms = (left + 999999) / 1000000;
  return ms > 3600000 ? 3600000 : (int)ms;
}

int gt_park_sleep(gt_park *park, uint32_t seen, gt_lu *lu, uint64_t until_ns) {
  int done = 0;
  if (lu) {
    atomic_store(&park->lu, lu);
    atomic_store(&park->asleep, IN_POLL);
    done = gt_lu_poll(lu, atomic_load(&park->count) == seen ? timeout_ms(until_ns) : 0);
  } else {
    atomic_store(&park->asleep, IN_FUTEX);
    if (atomic_load(&park->count) == seen) wait_futex(&park->asleep, until_ns);
  }
  atomic_store(&park->asleep, AWAKE);
  return done;
}

void gt_park_signal(gt_park *park) {
  atomic_fetch_add(&park->count, 1);
  uint32_t was = atomic_exchange(&park->asleep, AWAKE);
  if (was == IN_FUTEX) syscall(SYS_futex, &park->asleep, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, NULL);
  if (was == IN_POLL) gt_lu_wake(atomic_load(&park->lu));
}
