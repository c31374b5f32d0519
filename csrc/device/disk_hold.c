/* Who may touch which blocks at the moment. The disk is striped; a command holds the stripes that its blocks lie in,
 * shared with others of its kind, or alone where it reads, decides and writes as one. */
#include "device/disk.h"

enum { STRIPE_SHIFT = 20 };

static uint64_t stripes_of(const gt_disk *disk, const gt_span *span) {
  if (!span->blocks) return 0;
  uint64_t first = span->lba * disk->block_bytes >> STRIPE_SHIFT;
  uint64_t last = ((span->lba + span->blocks) * disk->block_bytes - 1) >> STRIPE_SHIFT;
  if (last - first >= GT_DISK_STRIPES - 1) return UINT64_MAX;
  uint64_t mask = 0;
  for (uint64_t stripe = first; stripe <= last; stripe++)
    mask |= 1ull << stripe % GT_DISK_STRIPES;
  return mask;
}

/* Always in the order of their numbers, so that nobody waits in a circle. */
uint64_t gt_disk_hold(gt_disk *disk, const gt_span *span, bool alone) {
  uint64_t mask = stripes_of(disk, span);
  for (uint64_t left = mask; left; left &= left - 1) {
    pthread_rwlock_t *stripe = &disk->stripes[__builtin_ctzll(left)];
    if (alone)
      pthread_rwlock_wrlock(stripe);
    else
      pthread_rwlock_rdlock(stripe);
  }
  return mask;
}

void gt_disk_let_go(gt_disk *disk, uint64_t held) {
  for (; held; held &= held - 1)
    pthread_rwlock_unlock(&disk->stripes[__builtin_ctzll(held)]);
}

int gt_disk_stripes_make(gt_disk *disk) {
  pthread_rwlockattr_t attributes;
  pthread_rwlockattr_init(&attributes);
  /* COMPARE AND WRITE must not starve behind a stream of writes. */
  pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
  int error = 0;
  for (int i = 0; i < GT_DISK_STRIPES && !error; i++) {
    error = pthread_rwlock_init(&disk->stripes[i], &attributes);
    if (!error) continue;
    while (i-- > 0)
      pthread_rwlock_destroy(&disk->stripes[i]);
    break;
  }
  pthread_rwlockattr_destroy(&attributes);
  return -error;
}

void gt_disk_stripes_free(gt_disk *disk) {
  for (int i = 0; i < GT_DISK_STRIPES; i++)
    pthread_rwlock_destroy(&disk->stripes[i]);
}
