/* `gantry-fsmap settle`: after somebody wrote a file's blocks behind the file system's back, makes the
 * kernel forget the pages it may hold of it, and sets its modification time. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsmap.h"

enum { WINDOW_PAGES = 65536, DROP_TRIES = 20 };

typedef struct gt_settle_room {
  char path[PATH_MAX + 1];
  char time[32];
  unsigned char resident[WINDOW_PAGES];
} gt_settle_room;

/* Pages of the file that are in memory: 0, a positive number, or a negative errno. */
static int64_t resident_pages(gt_settle_room *room, int fd, uint64_t size) {
  uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), window = page * WINDOW_PAGES;
  int64_t found = 0;
  for (uint64_t offset = 0; offset < size; offset += window) {
    size_t length = (size_t)(size - offset < window ? size - offset : window);
    void *map = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, (off_t)offset);
    if (map == MAP_FAILED) return -errno;
    int error = mincore(map, length, room->resident) == 0 ? 0 : errno;
    munmap(map, length);
    if (error) return -error;
    for (size_t i = 0; i < (length + page - 1) / page; i++)
      found += room->resident[i] & 1;
  }
  return found;
}

/* Drops the file's pages. Dirty ones must not be there (they would be written over what was restored), so
 * they are written before the restore, by the agent's fsync; a page that stays is an error, because the old
 * content would be read from it. */
static int drop(gt_settle_room *room, int fd, uint64_t size) {
  int64_t left = 0;
  for (int i = 0; i < DROP_TRIES; i++) {
    int error = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    if (error) return -error;
    left = resident_pages(room, fd, size);
    if (left <= 0) return (int)left;
    usleep(10000); /* pages on their way through the LRU lists of other processors are dropped next time */
  }
  return -EBUSY;
}

static int set_time(const char *path, const char *text) {
  if (strcmp(text, "-") == 0) return 0;
  char *end;
  errno = 0;
  long long ns = strtoll(text, &end, 10);
  if (errno || end == text || *end) return -EINVAL;
  long long seconds = ns / 1000000000, rest = ns % 1000000000;
  if (rest < 0) rest += 1000000000, seconds--;
  struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {seconds, (long)rest}};
  return utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : -errno;
}

static int settle(gt_settle_room *room, uint64_t index) {
  struct stat stat;
  if (lstat(room->path, &stat) != 0) return gt_put_error(index, errno, "cannot stat it");
  int error = 0;
  if (S_ISREG(stat.st_mode)) {
    int fd = open(room->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return gt_put_error(index, errno, "cannot open it");
    error = drop(room, fd, (uint64_t)stat.st_size);
    close(fd);
    if (error) return gt_put_error(index, -error, "its pages cannot be dropped from memory");
  }
  error = set_time(room->path, room->time);
  if (error) return gt_put_error(index, -error, "cannot set its modification time");
  gt_node_end end = {index, 0};
  return gt_put(GT_RECORD_END, &end, sizeof end, "", 0);
}

int gt_settle_main(int argc, char **argv) {
  (void)argv;
  gt_settle_room room;
  if (argc != 0) return 2;
  uint64_t count = 0;
  int more, error = 0;
  while (!error && (more = gt_next_string(room.path, sizeof room.path)) > 0) {
    if (gt_next_string(room.time, sizeof room.time) != 1) error = -EINVAL;
    if (!error) error = settle(&room, count++);
  }
  if (!error) error = more < 0 ? more : gt_put_done(count);
  if (error) fprintf(stderr, "gantry-fsmap: settle: %s\n", strerror(-error));
  return error ? 1 : 0;
}
