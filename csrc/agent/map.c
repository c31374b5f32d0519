/* `gantry-fsmap map`: what each path is, and where a regular file's bytes lie on the device that holds its
 * file system. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fsmap.h"

enum { BATCH = 512, LINK_MAX_BYTES = 4096 };

/* Room for one FIEMAP answer and its record; on the stack of gt_map_main, about 45 KiB. */
typedef struct gt_map_room {
  union {
    struct fiemap map;
    char bytes[sizeof(struct fiemap) + BATCH * sizeof(struct fiemap_extent)];
  } fiemap;
  gt_node_extent extents[BATCH];
  char path[PATH_MAX + 1];
  char link[LINK_MAX_BYTES];
} gt_map_room;

static int64_t nanoseconds(struct statx_timestamp t) { return t.tv_sec * INT64_C(1000000000) + t.tv_nsec; }

static bool same_state(const struct statx *a, const struct statx *b) {
  return a->stx_size == b->stx_size && nanoseconds(a->stx_mtime) == nanoseconds(b->stx_mtime) &&
         nanoseconds(a->stx_ctime) == nanoseconds(b->stx_ctime) && a->stx_ino == b->stx_ino;
}

static void describe(gt_node *node, uint64_t index, const struct statx *stat) {
  *node = (gt_node){.index = index,
                    .dev_major = stat->stx_dev_major,
                    .dev_minor = stat->stx_dev_minor,
                    .ino = stat->stx_ino,
                    .size = stat->stx_size,
                    .mtime_ns = nanoseconds(stat->stx_mtime),
                    .ctime_ns = nanoseconds(stat->stx_ctime),
                    .mode = stat->stx_mode,
                    .uid = stat->stx_uid,
                    .gid = stat->stx_gid,
                    .nlink = stat->stx_nlink};
}

/* File systems need not know these ioctls; a file system that the agent accepts does. */
static void describe_open(gt_node *node, int fd) {
  struct statfs fs;
  if (fstatfs(fd, &fs) == 0) {
    node->fs_type = (uint32_t)fs.f_type;
    node->fs_block = (uint32_t)fs.f_bsize;
  }
  int flags = 0;
  if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) node->attr_flags = (uint32_t)flags;
  struct fsxattr attr;
  if (ioctl(fd, FS_IOC_FSGETXATTR, &attr) == 0) node->xflags = attr.fsx_xflags;
}

/* One batch from *start on. Returns the number of extents and moves *start past them, or a negative errno;
 * *last says that there are no more. */
static int ask(gt_map_room *room, int fd, uint64_t *start, bool sync, bool *last) {
  struct fiemap *map = &room->fiemap.map;
  memset(map, 0, sizeof *map);
  map->fm_start = *start;
  map->fm_length = FIEMAP_MAX_OFFSET - *start;
  /* Without the flag, data that was not yet written has no place and would be reported as DELALLOC. */
  map->fm_flags = sync ? FIEMAP_FLAG_SYNC : 0;
  map->fm_extent_count = BATCH;
  if (ioctl(fd, FS_IOC_FIEMAP, map) != 0) return -errno;
  uint32_t count = map->fm_mapped_extents;
  if (count > BATCH) return -EPROTO;
  *last = count == 0;
  for (uint32_t i = 0; i < count; i++) {
    const struct fiemap_extent *e = &map->fm_extents[i];
    room->extents[i] = (gt_node_extent){e->fe_logical, e->fe_physical, e->fe_length, e->fe_flags, 0};
    if (e->fe_flags & FIEMAP_EXTENT_LAST) *last = true;
    /* The next question must start further on, or a changing file could keep us here for ever. */
    if (e->fe_length == 0 || e->fe_logical + e->fe_length <= *start) return -EPROTO;
    *start = e->fe_logical + e->fe_length;
  }
  return (int)count;
}

static int put_extents(gt_map_room *room, int fd) {
  uint64_t start = 0;
  bool last = false;
  for (bool first = true; !last; first = false) {
    int count = ask(room, fd, &start, first, &last);
    if (count < 0) return count;
    if (count == 0) break;
    int error = gt_put(GT_RECORD_EXTENTS, room->extents, (size_t)count * sizeof *room->extents, "", 0);
    if (error) return error;
  }
  return 0;
}

/* O_NOATIME needs ownership or CAP_FOWNER; without it nothing is read either, so no time changes.
 * O_NONBLOCK: should a FIFO have taken the file's place, the open must not wait for a writer. */
static int open_quietly(const char *path) {
  int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
  int fd = open(path, flags | O_NOATIME);
  return fd >= 0 || errno != EPERM ? fd : open(path, flags);
}

static int map_file(gt_map_room *room, uint64_t index, bool stat_only) {
  struct statx before, after;
  gt_node node;
  int fd = open_quietly(room->path);
  if (fd < 0) return gt_put_error(index, errno, "cannot open it");
  int error = 0;
  const char *step = NULL;
  if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &before) != 0) {
    error = -errno, step = "cannot stat it";
  } else {
    describe(&node, index, &before);
    describe_open(&node, fd);
    /* A write to the medium is always after this flush, or changes mtime: so the pair of statx sees it. */
    error = gt_put(GT_RECORD_NODE, &node, sizeof node, "", 0);
    if (!error && !stat_only && S_ISREG(before.stx_mode)) error = put_extents(room, fd), step = "FIEMAP failed";
    if (!error && statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &after) != 0) error = -errno, step = "cannot stat it";
  }
  close(fd);
  if (error == -EPIPE) return error;
  if (error) return gt_put_error(index, -error, step ? step : "cannot map it");
  gt_node_end end = {index, same_state(&before, &after) ? 0 : 1};
  return gt_put(GT_RECORD_END, &end, sizeof end, "", 0);
}

/* Everything that is not a regular file is only described; it is not opened. */
static int map_other(gt_map_room *room, uint64_t index, const struct statx *stat) {
  gt_node node;
  describe(&node, index, stat);
  ssize_t length = 0;
  if (S_ISLNK(stat->stx_mode)) {
    length = readlink(room->path, room->link, sizeof room->link);
    if (length < 0) return gt_put_error(index, errno, "cannot read the symbolic link");
    if ((size_t)length == sizeof room->link) return gt_put_error(index, ENAMETOOLONG, "cannot read the symbolic link");
  }
  node.link_bytes = (uint32_t)length;
  int error = gt_put(GT_RECORD_NODE, &node, sizeof node, room->link, (size_t)length);
  gt_node_end end = {index, 0};
  return error ? error : gt_put(GT_RECORD_END, &end, sizeof end, "", 0);
}

static int map_path(gt_map_room *room, uint64_t index, bool stat_only) {
  struct statx stat;
  if (statx(AT_FDCWD, room->path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &stat) != 0)
    return gt_put_error(index, errno, "cannot stat it");
  if (S_ISREG(stat.stx_mode)) return map_file(room, index, stat_only);
  return map_other(room, index, &stat);
}

int gt_map_main(int argc, char **argv) {
  gt_map_room room;
  bool stat_only = argc == 1 && strcmp(argv[0], "--stat-only") == 0;
  if (argc > 1 || (argc == 1 && !stat_only)) return 2;
  uint64_t count = 0;
  int more, error = 0;
  while (!error && (more = gt_next_string(room.path, sizeof room.path)) > 0)
    error = map_path(&room, count++, stat_only);
  if (!error) error = more < 0 ? more : gt_put_done(count);
  if (error) fprintf(stderr, "gantry-fsmap: map: %s\n", strerror(-error));
  return error ? 1 : 0;
}
