/* Extents written on a disk, for those who read what another one writes: a bounded set that grows coarser when it is
 * full, and never forgets. */
#include "plane/impl.h"

#include <string.h>

#include "core/bytes.h"

enum {
  WRITE_ATOMIC_16 = 0x9C,
  LIST_HEADER = 8,
  LIST_DESCRIPTOR = 16,
};
static const gt_extent whole = {.lba = 0, .blocks = UINT64_MAX};

static gt_extent span(uint64_t lba, uint64_t blocks) {
  return (gt_extent){.lba = lba, .blocks = blocks > UINT64_MAX - lba ? UINT64_MAX - lba : blocks};
}

/* Where zero means up to the last block (SBC-3 5.45). */
static gt_extent span_or_rest(uint64_t lba, uint64_t blocks) { return span(lba, blocks ? blocks : UINT64_MAX); }

/* What no row here knows may have changed anything. */
static gt_extent extent_of(const uint8_t *cdb) {
  switch (cdb[0]) {
  case GT_WRITE_6: return span(gt_load_be24(cdb + 1) & 0x1FFFFF, cdb[4] ? cdb[4] : 256);
  case GT_WRITE_10:
  case GT_WRITE_AND_VERIFY_10: return span(gt_load_be32(cdb + 2), gt_load_be16(cdb + 7));
  case GT_WRITE_SAME_10: return span_or_rest(gt_load_be32(cdb + 2), gt_load_be16(cdb + 7));
  case GT_WRITE_12:
  case GT_WRITE_AND_VERIFY_12: return span(gt_load_be32(cdb + 2), gt_load_be32(cdb + 6));
  case GT_WRITE_16:
  case GT_ORWRITE_16:
  case GT_WRITE_AND_VERIFY_16: return span(gt_load_be64(cdb + 2), gt_load_be32(cdb + 10));
  case GT_WRITE_SAME_16: return span_or_rest(gt_load_be64(cdb + 2), gt_load_be32(cdb + 10));
  case GT_COMPARE_AND_WRITE: return span(gt_load_be64(cdb + 2), cdb[13]);
  case WRITE_ATOMIC_16: return span(gt_load_be64(cdb + 2), gt_load_be16(cdb + 12));
  default: return whole;
  }
}

static uint64_t end_of(const gt_extent *extent) { return extent->lba + extent->blocks; }

/* The first extent that ends at `lba` or behind it: what touches something at lba is there or nowhere before. */
static size_t first_touching(const gt_writes *writes, uint64_t lba) {
  size_t low = 0, high = writes->count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (end_of(&writes->extents[middle]) < lba)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static void drop(gt_writes *writes, size_t at, size_t count) {
  memmove(&writes->extents[at], &writes->extents[at + count], (writes->count - at - count) * sizeof(gt_extent));
  writes->count -= count;
}

/* Joins the two that lie nearest to each other. */
static void make_room(gt_writes *writes) {
  size_t best = 0;
  uint64_t least = UINT64_MAX;
  for (size_t i = 0; i + 1 < writes->count; i++) {
    uint64_t gap = writes->extents[i + 1].lba - end_of(&writes->extents[i]);
    if (gap >= least) continue;
    least = gap;
    best = i;
  }
  writes->extents[best].blocks = end_of(&writes->extents[best + 1]) - writes->extents[best].lba;
  drop(writes, best + 1, 1);
}

static void add(gt_writes *writes, gt_extent extent) {
  if (!extent.blocks) return;
  size_t from = first_touching(writes, extent.lba), to = from;
  uint64_t end = end_of(&extent);
  for (; to < writes->count && writes->extents[to].lba <= end; to++) {
    const gt_extent *old = &writes->extents[to];
    if (old->lba < extent.lba) extent.lba = old->lba;
    if (end_of(old) > end) end = end_of(old);
  }
  extent.blocks = end - extent.lba;
  if (to > from) {
    drop(writes, from, to - from - 1);
  } else {
    memmove(&writes->extents[from + 1], &writes->extents[from], (writes->count - from) * sizeof extent);
    writes->count++;
  }
  writes->extents[from] = extent;
  if (writes->count > GT_EXTENTS) make_room(writes);
}

/* UNMAP says its extents in its parameter list (SBC-3 5.31). */
static void add_unmapped(gt_writes *writes, const gt_io *io) {
  const uint8_t *list = io->data;
  if (!list || io->dir != GT_DIR_OUT || io->data_len < LIST_HEADER) return;
  uint32_t bytes = gt_load_be16(list + 2);
  if (bytes > io->data_len - LIST_HEADER) bytes = io->data_len - LIST_HEADER;
  for (uint32_t at = 0; bytes - at >= LIST_DESCRIPTOR; at += LIST_DESCRIPTOR)
    add(writes, span(gt_load_be64(list + LIST_HEADER + at), gt_load_be32(list + LIST_HEADER + at + 8)));
}

void gt_writes_note(gt_writes *writes, const gt_io *io) {
  if (!atomic_load_explicit(&writes->watched, memory_order_acquire)) return;
  pthread_mutex_lock(&writes->lock);
  if (io->cdb[0] == GT_UNMAP)
    add_unmapped(writes, io);
  else
    add(writes, extent_of(io->cdb));
  pthread_mutex_unlock(&writes->lock);
}

size_t gt_writes_take(gt_writes *writes, gt_extent *out, size_t max) {
  atomic_store(&writes->watched, true);
  pthread_mutex_lock(&writes->lock);
  size_t taken = writes->count < max ? writes->count : max;
  memcpy(out, writes->extents, taken * sizeof *out);
  drop(writes, 0, taken);
  pthread_mutex_unlock(&writes->lock);
  return taken;
}

size_t gt_plane_take_writes(gt_plane *plane, uint32_t number, gt_extent *out, size_t max) {
  size_t taken = 0;
  pthread_mutex_lock(&plane->lock);
  gt_unit *unit = gt_unit_find(plane, number);
  if (unit) taken = gt_writes_take(&unit->writes, out, max);
  pthread_mutex_unlock(&plane->lock);
  return taken;
}
