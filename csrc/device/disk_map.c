/* The file of a disk in memory, mapped, so that data is received to where it stays: one copy instead of two. No load or
 * store of this program touches the mapping. The kernel does, in a system call: where the file was cut short, or there
 * is no room for a page, that says EFAULT, nobody gets a signal, and the caller writes by the file, which says why. */
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>

#include "device/disk.h"

/* Elsewhere a page that is mapped is first read, and written back at a time of the kernel's own choosing. */
static bool in_memory(const gt_disk *disk) {
  struct statfs about;
  return !disk->block_special && !fstatfs(disk->fd, &about) && about.f_type == TMPFS_MAGIC;
}

void gt_disk_map_make(gt_disk *disk) {
  uint64_t bytes = disk->blocks * disk->block_bytes;
  if (disk->cache || disk->read_only || bytes > SIZE_MAX / 2 || !in_memory(disk)) return;
  void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, disk->fd, 0);
  if (map == MAP_FAILED) return;
  madvise(map, bytes, MADV_DONTFORK);
  madvise(map, bytes, MADV_DONTDUMP);
  disk->map = map;
  disk->map_bytes = bytes;
}

void gt_disk_map_free(gt_disk *disk) {
  if (disk->map) munmap(disk->map, disk->map_bytes);
  disk->map = NULL;
}

void gt_disk_map_take(const gt_disk *disk, gt_io *io, uint64_t bytes, uint64_t offset, uint64_t *done) {
  *done = 0;
  if (!disk->map || offset > disk->map_bytes || bytes > disk->map_bytes - offset) return;
  while (*done < bytes) {
    ssize_t n = io->take(io, disk->map + offset + *done, bytes - *done);
    if (n <= 0) return;
    *done += (uint64_t)n;
  }
}
