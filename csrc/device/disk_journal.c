/* WRITE ATOMIC (SBC-4 5.46): after a power loss the blocks hold all of the data or nothing of it. The data goes into a
 * journal beside the file first; only then in place; then the journal is emptied. Whoever opens the disk finishes what
 * the journal still holds. */
#include "device/disk_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/crc32c.h"
#include "device/disk_cache.h"

enum { HEADER_BYTES = 4096, FUA = 0x08 };
static const char MAGIC[8] = {'G', 'T', 'A', 'T', 'O', 'M', '0', '1'};

struct gt_disk_journal {
  pthread_mutex_t lock;
  int fd; /* -1: not opened yet */
  char *path;
};

static int write_all(int fd, const void *data, uint64_t bytes, uint64_t offset) {
  for (uint64_t done = 0; done < bytes;) {
    ssize_t put = pwrite(fd, (const uint8_t *)data + done, bytes - done, (off_t)(offset + done));
    if (put > 0)
      done += (uint64_t)put;
    else if (put == 0 || errno != EINTR)
      return put ? -errno : -ENOSPC;
  }
  return 0;
}

static int open_journal(gt_disk_journal *journal) {
  if (journal->fd >= 0) return 0;
  journal->fd = open(journal->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  return journal->fd < 0 ? -errno : gt_sync_directory_of(journal->path);
}

/* Its header at the end of the header's block: magic, offset, bytes, CRC of the data, CRC of these. */
static void make_header(uint8_t out[HEADER_BYTES], const void *data, uint64_t bytes, uint64_t offset) {
  memset(out, 0, HEADER_BYTES);
  memcpy(out, MAGIC, sizeof MAGIC);
  gt_store_be64(out + 8, offset);
  gt_store_be64(out + 16, bytes);
  gt_store_be32(out + 24, gt_crc32c(0, data, bytes));
  gt_store_be32(out + 28, gt_crc32c(0, out, 28));
}

static int empty(gt_disk_journal *journal) {
  if (ftruncate(journal->fd, 0) || fdatasync(journal->fd)) return -errno;
  return 0;
}

/* Room for all of the blocks, so that the file system does not run out of it in the middle of them. */
static int make_room(const gt_disk *disk, uint64_t bytes, uint64_t offset) {
  if (disk->block_special) return 0;
  while (fallocate(disk->fd, FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)bytes))
    if (errno != EINTR) return errno == EOPNOTSUPP ? 0 : -errno;
  return 0;
}

static int write_through_journal(gt_disk *disk, const void *data, uint64_t bytes, uint64_t offset, uint64_t *done) {
  gt_disk_journal *journal = disk->journal;
  uint8_t header[HEADER_BYTES];
  *done = 0;
  int error = make_room(disk, bytes, offset);
  if (!error) error = open_journal(journal);
  if (error) return error;
  make_header(header, data, bytes, offset);
  error = write_all(journal->fd, data, bytes, HEADER_BYTES);
  if (!error) error = write_all(journal->fd, header, sizeof header, 0);
  if (!error && fdatasync(journal->fd)) error = -errno;
  if (!error) error = gt_disk_file_write(disk, data, bytes, offset, done);
  if (!error && fdatasync(disk->fd)) {
    atomic_store(&disk->sync_failed, true);
    error = -EIO;
  }
  /* The journal must not outlive the command: what is written later would be undone by it. */
  int left = empty(journal);
  return error ? error : left;
}

void gt_disk_write_atomic(gt_cmd *cmd) {
  gt_disk *disk = gt_disk_of(cmd);
  gt_span span;
  uint64_t done;
  if (gt_load_be16(cmd->cdb + 10)) return gt_fail_field(cmd, 10, -1); /* ATOMIC BOUNDARY: none are offered */
  if (!gt_disk_checked_span(cmd, GT_ATOMIC_BYTES / disk->block_bytes, &span) || !span.blocks) return;
  uint64_t bytes = span.blocks * disk->block_bytes, offset = span.lba * disk->block_bytes;
  const uint8_t *data = gt_disk_data_out(cmd, bytes);
  if (!data) return;
  if (cmd->moved < bytes) return gt_fail_field(cmd, 12, -1); /* half of it would not be atomic */
  uint64_t held = gt_disk_hold(disk, &span, true);
  if (gt_disk_still_ready(cmd)) {
    pthread_mutex_lock(&disk->journal->lock);
    int error = disk->cache ? gt_disk_cache_destage(disk, span.lba, span.blocks) : 0;
    if (!error) error = write_through_journal(disk, data, bytes, offset, &done);
    pthread_mutex_unlock(&disk->journal->lock);
    if (error) gt_disk_write_failed(cmd, error, span.lba);
  }
  gt_disk_let_go(disk, held);
}

/* A header that is whole vouches for data that is: it was written after, and both were synchronized as one. So a data
 * CRC that is wrong means that the command had not begun to write in place. */
static int finish(gt_disk *disk, gt_disk_journal *journal) {
  uint8_t header[HEADER_BYTES];
  uint64_t done;
  if (pread(journal->fd, header, sizeof header, 0) != (ssize_t)sizeof header) return 0;
  uint64_t offset = gt_load_be64(header + 8), bytes = gt_load_be64(header + 16),
           size = disk->blocks * disk->block_bytes;
  if (memcmp(header, MAGIC, sizeof MAGIC) != 0 || gt_load_be32(header + 28) != gt_crc32c(0, header, 28)) return 0;
  if (bytes > GT_ATOMIC_BYTES || offset > size || bytes > size - offset) return -EBADMSG;
  uint8_t *data = malloc(bytes ? bytes : 1);
  if (!data) return -ENOMEM;
  int error = 0;
  if (pread(journal->fd, data, bytes, HEADER_BYTES) == (ssize_t)bytes &&
      gt_load_be32(header + 24) == gt_crc32c(0, data, bytes)) {
    error = gt_disk_file_write(disk, data, bytes, offset, &done);
    if (!error && fdatasync(disk->fd)) error = -errno;
  }
  free(data);
  return error;
}

int gt_disk_journal_make(gt_disk *disk, const char *path) {
  gt_disk_journal *journal = disk->journal = calloc(1, sizeof *journal);
  if (!journal) return -ENOMEM;
  journal->fd = -1;
  pthread_mutex_init(&journal->lock, NULL);
  if (asprintf(&journal->path, "%s.atomic", path) < 0) return journal->path = NULL, -ENOMEM;
  struct stat status;
  if (stat(journal->path, &status)) return errno == ENOENT ? 0 : -errno;
  if (disk->read_only) return status.st_size ? -EROFS : 0; /* what it holds cannot be finished */
  int error = open_journal(journal);
  if (!error) error = finish(disk, journal);
  return error ? error : empty(journal);
}

int gt_disk_journal_wipe(gt_disk *disk) {
  if (!disk->journal) return 0;
  pthread_mutex_lock(&disk->journal->lock);
  int error = disk->journal->fd < 0 ? 0 : empty(disk->journal);
  pthread_mutex_unlock(&disk->journal->lock);
  return error;
}

void gt_disk_journal_free(gt_disk *disk) {
  gt_disk_journal *journal = disk->journal;
  if (!journal) return;
  if (journal->fd >= 0) {
    close(journal->fd);
    unlink(journal->path); /* it is empty */
  }
  pthread_mutex_destroy(&journal->lock);
  free(journal->path);
  free(journal);
  disk->journal = NULL;
}
