/* Unit attentions of a path (SAM-5 5.14): each I_T nexus is told of everything once, the most urgent first. */
#include "plane/impl.h"

#include <errno.h>
#include <string.h>

/* Resets go before the rest in this order (SAM-5 5.14); the rest is told as it came. */
static int rank(uint16_t asc) {
  switch (asc) {
  case 0x2900:
  case 0x2901:
  case 0x2904: return 0; /* power on, device internal reset */
  case 0x2902: return 1; /* SCSI bus reset */
  case 0x2903: return 2; /* logical unit reset, target reset */
  case 0x2907: return 3; /* I_T nexus loss */
  case 0x2F01: return 4; /* commands cleared by power loss */
  default: return 5;
  }
}

/* SAM-5 5.3.3: what goes before RESERVATION CONFLICT. */
static bool is_reset(uint16_t asc) { return rank(asc) < 4; }

void gt_attention_add(gt_path *path, uint16_t asc) {
  unsigned count = atomic_load_explicit(&path->pending, memory_order_relaxed), at = 0;
  for (unsigned i = 0; i < count; i++)
    if (path->attentions[i] == asc) return;
  while (at < count && rank(path->attentions[at]) <= rank(asc))
    at++;
  if (count == GT_ATTENTIONS_MAX) {
    /* What falls out was the least urgent; the last place says that something is missing. */
    for (unsigned i = count - 1; i > at; i--)
      path->attentions[i] = path->attentions[i - 1];
    if (at < count) path->attentions[at] = asc;
    path->attentions[count - 1] = GT_ASC_COMMANDS_CLEARED;
    return;
  }
  memmove(&path->attentions[at + 1], &path->attentions[at], (count - at) * sizeof path->attentions[0]);
  path->attentions[at] = asc;
  atomic_store_explicit(&path->pending, count + 1, memory_order_release);
}

static void remove_at(gt_path *path, unsigned at) {
  unsigned left = atomic_load_explicit(&path->pending, memory_order_relaxed) - 1;
  memmove(&path->attentions[at], &path->attentions[at + 1], (left - at) * sizeof path->attentions[0]);
  atomic_store_explicit(&path->pending, left, memory_order_release);
}

void gt_attention_spread(gt_unit *unit, uint16_t asc, const gt_path *except) {
  pthread_mutex_lock(&unit->plane->lock);
  for (gt_path *path = unit->paths; path; path = path->unit_next)
    if (path != except) gt_attention_add(path, asc);
  pthread_mutex_unlock(&unit->plane->lock);
}

/* The emulated device has attentions of its own for its nexus: they stand in one line with the plane's. */
static void take_over(gt_path *path, int place) {
  pthread_mutex_t *lock = &path->nexus->plane->lock;
  for (uint16_t asc; (asc = gt_device_take_attention(path->unit->device, place));) {
    pthread_mutex_lock(lock);
    gt_attention_add(path, asc);
    pthread_mutex_unlock(lock);
  }
}

uint16_t gt_path_attention(gt_path *path, bool resets_only) {
  pthread_mutex_t *lock = &path->nexus->plane->lock;
  int place = atomic_load_explicit(&path->place, memory_order_acquire);
  if (place >= 0) take_over(path, place);
  if (!atomic_load_explicit(&path->pending, memory_order_acquire)) return 0;
  pthread_mutex_lock(lock);
  uint16_t asc = 0;
  bool any = atomic_load_explicit(&path->pending, memory_order_relaxed);
  if (any && (!resets_only || is_reset(path->attentions[0]))) {
    asc = path->attentions[0];
    remove_at(path, 0);
  }
  pthread_mutex_unlock(lock);
  return asc;
}

/* REPORT LUNS has told what REPORTED LUNS DATA HAS CHANGED wanted to tell (SAM-5 5.14). */
void gt_attention_luns_reported(gt_plane_nexus *nexus) {
  pthread_mutex_lock(&nexus->plane->lock);
  for (unsigned lun = 0; lun < GT_LUNS_MAX; lun++) {
    gt_path *path = atomic_load_explicit(&nexus->paths[lun], memory_order_relaxed);
    for (unsigned i = 0; path && i < atomic_load_explicit(&path->pending, memory_order_relaxed);)
      if (path->attentions[i] == GT_ASC_LUNS_CHANGED)
        remove_at(path, i);
      else
        i++;
  }
  pthread_mutex_unlock(&nexus->plane->lock);
}

int gt_plane_attention(gt_plane *plane, uint32_t number, uint32_t lun, uint8_t asc, uint8_t ascq) {
  pthread_mutex_lock(&plane->lock);
  gt_plane_nexus *nexus = gt_nexus_find(plane, number);
  gt_path *path = nexus && lun < GT_LUNS_MAX ? atomic_load(&nexus->paths[lun]) : NULL;
  if (path) gt_attention_add(path, (uint16_t)(asc << 8 | ascq));
  pthread_mutex_unlock(&plane->lock);
  return path ? 0 : -ENOENT;
}
