#include "device/disk_sanitize.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/crc32c.h"
#include "device/disk_cache.h"

enum { OVERWRITE = 1, BLOCK_ERASE = 2, IMMED = 0x80, AUSE = 0x20, INVERT = 0x80, COUNT = 0x1F };
enum { PATTERN_MAX = 4096, WRITE_PIECE = 1 << 20, ERASE_PIECE = 64 << 20 };

/* As it stands in the file; numbers in the order of this machine, which is the one that reads it. */
typedef struct record {
  char magic[8];
  uint8_t action, passes, invert, ause, failed, reserved[3];
  uint32_t pattern_bytes;
  uint8_t pattern[PATTERN_MAX];
  uint32_t crc; /* CRC-32C of all before it */
} record;
static const char MAGIC[8] = {'G', 'T', 'S', 'A', 'N', 'I', 'T', '1'};

struct gt_sanitize {
  gt_disk *disk;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  pthread_t thread;
  bool begun; /* there is a thread to join */
  atomic_bool stopping;
  atomic_uint state, progress;
  record now; /* the thread's while it runs */
  uint8_t *piece;
  char *path, *fresh_path; /* of the record, and of a record that is not in its place yet */
};

static uint32_t record_crc(const record *r) { return gt_crc32c(0, r, offsetof(record, crc)); }

/* On stable storage, whole or not at all. */
static int store(gt_sanitize *s, record *r) {
  memcpy(r->magic, MAGIC, sizeof MAGIC);
  r->crc = record_crc(r);
  int fd = open(s->fresh_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return -errno;
  int error = write(fd, r, sizeof *r) == (ssize_t)sizeof *r ? 0 : -EIO;
  if (!error && fsync(fd)) error = -errno;
  close(fd);
  if (!error && rename(s->fresh_path, s->path)) error = -errno;
  return error ? error : gt_sync_directory_of(s->path);
}

static int forget(gt_sanitize *s) {
  if (unlink(s->path) && errno != ENOENT) return -errno;
  return gt_sync_directory_of(s->path);
}

/* 0: there is one; -ENOENT: none; -EBADMSG: something else lies there. */
static int recall(gt_sanitize *s) {
  int fd = open(s->path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  ssize_t got = read(fd, &s->now, sizeof s->now);
  close(fd);
  const record *r = &s->now;
  bool sound = got == (ssize_t)sizeof *r && memcmp(r->magic, MAGIC, sizeof MAGIC) == 0 && r->crc == record_crc(r) &&
               r->pattern_bytes <= PATTERN_MAX && (r->action == BLOCK_ERASE || (r->action == OVERWRITE && r->passes));
  return sound ? 0 : -EBADMSG;
}

/* A disk with a pace takes as long for this as for anything else; who closes it does not wait for that. */
static void pace(gt_sanitize *s, uint64_t bytes) {
  enum { LOOK_NS = 20000000 };
  uint64_t rate = atomic_load(&s->disk->base.bytes_per_s);
  if (!rate) return;
  uint64_t due_ns = gt_now_ns() + (uint64_t)((double)bytes * 1e9 / (double)rate);
  for (uint64_t now_ns; (now_ns = gt_now_ns()) < due_ns && !atomic_load(&s->stopping);) {
    uint64_t wait_ns = due_ns - now_ns < LOOK_NS ? due_ns - now_ns : LOOK_NS;
    nanosleep(&(struct timespec){.tv_nsec = (long)wait_ns}, NULL);
  }
}

/* The pattern from the beginning of each block; its inverse in every second pass, if so asked. */
static void fill_piece(gt_sanitize *s, unsigned pass) {
  const record *r = &s->now;
  uint8_t flip = r->invert && pass % 2 ? 0xFF : 0;
  uint32_t block = s->disk->block_bytes;
  for (uint32_t i = 0; i < WRITE_PIECE; i++)
    s->piece[i] = r->pattern[i % block % r->pattern_bytes] ^ flip;
}

static void advance(gt_sanitize *s, unsigned pass, uint64_t done, uint64_t bytes) {
  unsigned passes = s->now.action == OVERWRITE ? s->now.passes : 1;
  double part = (pass + (double)done / (double)bytes) / passes;
  atomic_store(&s->progress, part < 1 ? (unsigned)(part * 65536) : 65535);
}

static int wipe(gt_sanitize *s, unsigned pass) {
  gt_disk *disk = s->disk;
  bool erase = s->now.action == BLOCK_ERASE;
  uint64_t bytes = disk->blocks * disk->block_bytes, most = erase ? ERASE_PIECE : WRITE_PIECE, moved;
  if (!erase) fill_piece(s, pass);
  for (uint64_t done = 0; done < bytes;) {
    if (atomic_load(&s->stopping)) return -ECANCELED;
    uint64_t piece = bytes - done < most ? bytes - done : most;
    gt_span span = {done / disk->block_bytes, piece / disk->block_bytes};
    int error =
        erase ? gt_disk_make_hole(disk, &span, &moved) : gt_disk_file_write(disk, s->piece, piece, done, &moved);
    if (error) return error;
    done += piece;
    advance(s, pass, done, bytes);
    pace(s, piece);
  }
  return fdatasync(disk->fd) ? -errno : 0;
}

static int wipe_all(gt_sanitize *s) {
  unsigned passes = s->now.action == OVERWRITE ? s->now.passes : 1;
  for (unsigned pass = 0; pass < passes; pass++) {
    int error = wipe(s, pass);
    if (error) return error;
  }
  return gt_disk_journal_wipe(s->disk);
}

static void *run(void *argument) {
  gt_sanitize *s = argument;
  int error = wipe_all(s);
  if (error == -ECANCELED) return NULL;
  if (!error) error = forget(s);
  if (error) {
    s->now.failed = true;
    store(s, &s->now); /* where not even that can be kept, the old record does it all again */
  }
  pthread_mutex_lock(&s->lock);
  atomic_store(&s->state, error ? GT_SANITIZE_FAILED : GT_SANE);
  pthread_cond_broadcast(&s->changed);
  pthread_mutex_unlock(&s->lock);
  return NULL;
}

static int begin(gt_sanitize *s) {
  if (s->begun) pthread_join(s->thread, NULL);
  s->begun = false;
  atomic_store(&s->progress, 0);
  atomic_store(&s->state, GT_SANITIZING);
  int error = pthread_create(&s->thread, NULL, run, s);
  if (error) return atomic_store(&s->state, GT_SANITIZE_FAILED), -error;
  s->begun = true;
  return 0;
}

bool gt_sanitize_condition(const gt_disk *disk, gt_sense *out) {
  const gt_sanitize *s = disk->sanitize;
  unsigned state = s ? atomic_load_explicit(&s->state, memory_order_acquire) : GT_SANE;
  if (state == GT_SANE) return false;
  if (state == GT_SANITIZING)
    *out = (gt_sense){.key = GT_KEY_NOT_READY,
                      .asc = GT_ASC_SANITIZE_IN_PROGRESS,
                      .has_progress = true,
                      .progress = (uint16_t)atomic_load(&s->progress)};
  else
    *out = (gt_sense){.key = GT_KEY_MEDIUM_ERROR, .asc = GT_ASC_SANITIZE_FAILED};
  return true;
}

/* Records it and begins, when every command that is writing has ended. Lock held. */
static int record_and_begin(gt_sanitize *s, record *wanted) {
  gt_disk *disk = s->disk;
  gt_span all = {0, disk->blocks};
  uint64_t held = gt_disk_hold(disk, &all, true);
  int error = disk->cache ? gt_disk_cache_destage(disk, 0, disk->blocks) : 0;
  if (!error) error = store(s, wanted);
  if (!error) {
    s->now = *wanted;
    error = begin(s);
  }
  gt_disk_let_go(disk, held);
  return error;
}

/* What is begun goes on when the command is aborted (SBC-3 4.11.2): only the waiting ends. */
static void wait_for_end(gt_sanitize *s, const gt_io *io) {
  enum { LOOK_NS = 20000000 };
  while (atomic_load(&s->state) == GT_SANITIZING) {
    if (io->abandoned && __atomic_load_n(io->abandoned, __ATOMIC_ACQUIRE)) return;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += LOOK_NS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&s->changed, &s->lock, &until);
  }
}

static void sanitize(gt_cmd *cmd, record *wanted) {
  gt_sanitize *s = gt_disk_of(cmd)->sanitize;
  gt_sense sense;
  wanted->ause = cmd->cdb[1] & AUSE ? 1 : 0;
  pthread_mutex_lock(&s->lock);
  if (atomic_load(&s->state) == GT_SANITIZING) { /* another nexus was faster */
    gt_sanitize_condition(s->disk, &sense);
    gt_check(cmd, &sense);
  } else if (record_and_begin(s, wanted)) {
    gt_fail(cmd, GT_KEY_HARDWARE_ERROR, GT_ASC_INTERNAL_TARGET_FAILURE);
  } else if (!(cmd->cdb[1] & IMMED)) {
    wait_for_end(s, cmd->io);
    if (gt_sanitize_condition(s->disk, &sense)) gt_check(cmd, &sense);
  }
  pthread_mutex_unlock(&s->lock);
}

/* SBC-3 5.24.2.2: a header of four bytes and the pattern, of at most a block. */
void gt_sanitize_overwrite(gt_cmd *cmd) {
  uint32_t block = gt_disk_of(cmd)->block_bytes;
  uint16_t length = gt_load_be16(cmd->cdb + 7);
  if (length < 5 || length > block + 4) return gt_fail_field(cmd, 7, -1);
  const uint8_t *list = gt_parameters(cmd, length);
  if (!list) return;
  uint16_t pattern = gt_load_be16(list + 2);
  if (!(list[0] & COUNT) || !pattern || pattern > length - 4u) return gt_fail_field(cmd, 7, -1);
  record wanted = {.action = OVERWRITE, .passes = list[0] & COUNT, .invert = list[0] & INVERT ? 1 : 0};
  wanted.pattern_bytes = pattern;
  memcpy(wanted.pattern, list + 4, pattern);
  sanitize(cmd, &wanted);
}

/* SBC-3 5.24.2.3. Afterwards every block reads as zeros. */
void gt_sanitize_block_erase(gt_cmd *cmd) {
  if (gt_load_be16(cmd->cdb + 7)) return gt_fail_field(cmd, 7, -1);
  record wanted = {.action = BLOCK_ERASE};
  sanitize(cmd, &wanted);
}

/* SBC-3 5.24.2.5: only out of a failure that allowed it (AUSE); otherwise nothing but another SANITIZE helps. */
void gt_sanitize_exit_failure(gt_cmd *cmd) {
  gt_sanitize *s = gt_disk_of(cmd)->sanitize;
  if (gt_load_be16(cmd->cdb + 7)) return gt_fail_field(cmd, 7, -1);
  pthread_mutex_lock(&s->lock);
  if (atomic_load(&s->state) == GT_SANITIZE_FAILED) {
    if (!s->now.ause)
      gt_fail_field(cmd, 1, 4);
    else if (forget(s))
      gt_fail(cmd, GT_KEY_HARDWARE_ERROR, GT_ASC_INTERNAL_TARGET_FAILURE);
    else
      atomic_store(&s->state, GT_SANE);
  }
  pthread_mutex_unlock(&s->lock);
}

static char *beside(const char *path, const char *suffix) {
  char *made;
  return asprintf(&made, "%s%s", path, suffix) < 0 ? NULL : made;
}

static int make(gt_disk *disk, const char *path) {
  gt_sanitize *s = disk->sanitize = calloc(1, sizeof *s);
  if (!s) return -ENOMEM;
  s->disk = disk;
  pthread_mutex_init(&s->lock, NULL);
  pthread_cond_init(&s->changed, NULL);
  s->piece = malloc(WRITE_PIECE);
  s->path = beside(path, ".sanitize");
  s->fresh_path = beside(path, ".sanitize.new");
  return s->piece && s->path && s->fresh_path ? 0 : -ENOMEM;
}

int gt_sanitize_make(gt_disk *disk, const char *path, const char **why) {
  int error = make(disk, path);
  *why = strerror(-error);
  if (error) return error;
  gt_sanitize *s = disk->sanitize;
  error = recall(s);
  if (error == -ENOENT) return 0;
  *why = "the .sanitize file beside it is none of this program's; see what it is, and remove it";
  if (error) return error;
  /* A disk that may not be written cannot go on; what it holds is no data any more. */
  if (s->now.failed || disk->read_only) return atomic_store(&s->state, GT_SANITIZE_FAILED), 0;
  error = begin(s);
  *why = strerror(-error);
  return error;
}

void gt_sanitize_free(gt_disk *disk) {
  gt_sanitize *s = disk->sanitize;
  if (!s) return;
  atomic_store(&s->stopping, true);
  if (s->begun) pthread_join(s->thread, NULL);
  pthread_cond_destroy(&s->changed);
  pthread_mutex_destroy(&s->lock);
  free(s->piece);
  free(s->path);
  free(s->fresh_path);
  free(s);
  disk->sanitize = NULL;
}
