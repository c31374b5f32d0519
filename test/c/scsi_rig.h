/* What the device tests share: a temporary directory, commands by a line of hexadecimal, and the words in
 * which they expect an answer. */
#ifndef SCSI_RIG_H
#define SCSI_RIG_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "core/bytes.h"
#include "core/scsi.h"
#include "core/sense.h"
#include "device/device.h"
#include "transport/lu.h"

static char rig_directory[64];

static inline const char *rig_path(const char *name) {
  static __thread char paths[4][256];
  static __thread int turn;
  char *path = paths[turn++ % 4];
  snprintf(path, sizeof paths[0], "%.60s/%.180s", rig_directory, name);
  return path;
}

static inline void rig_begin(void) {
  const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
  snprintf(rig_directory, sizeof rig_directory, "%s/gantry-test-XXXXXX", base);
  if (!mkdtemp(rig_directory)) abort();
}

static inline int rig_end(void) {
  DIR *directory = opendir(rig_directory);
  for (struct dirent *entry; directory && (entry = readdir(directory));)
    if (entry->d_name[0] != '.') unlink(rig_path(entry->d_name));
  if (directory) closedir(directory);
  CHECK_EQ(rmdir(rig_directory), 0);
  return check_end();
}

/* A nexus on a device, and the answer of its last command. */
typedef struct rig {
  gt_device *device;
  int nexus;
  gt_io io;
  gt_sense sense;
} rig;

/* Runs one command. cdb: as hexadecimal, "12 00 00 00 60 00". */
static inline uint8_t rig_run(rig *r, const char *cdb, gt_dir dir, void *data, uint32_t length) {
  r->io = (gt_io){.dir = (uint8_t)dir, .data = data, .data_len = length, .timeout_ms = 30000};
  char *end;
  for (const char *p = cdb; *p; p = end) {
    unsigned long byte = strtoul(p, &end, 16);
    if (end == p) break;
    r->io.cdb[r->io.cdb_len++] = (uint8_t)byte;
  }
  gt_device_execute(r->device, r->nexus, &r->io);
  gt_sense_parse(r->io.sense, r->io.sense_len, &r->sense);
  return r->io.status;
}

static inline uint8_t rig_none(rig *r, const char *cdb) { return rig_run(r, cdb, GT_DIR_NONE, NULL, 0); }

/* The same with the CDB printed: rig_f(r, dir, data, length, "28 00 %08x 00 00 %04x 00", …); pairs of digits
 * may stand together. */
static inline uint8_t rig_f(rig *r, gt_dir dir, void *data, uint32_t length, const char *format, ...) {
  char digits[128], spaced[256];
  size_t at = 0;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(digits, sizeof digits, format, arguments);
  va_end(arguments);
  for (const char *p = digits; *p;) {
    if (*p == ' ') {
      p++;
      continue;
    }
    at += (size_t)snprintf(spaced + at, sizeof spaced - at, "%.2s ", p);
    p += 2;
  }
  return rig_run(r, spaced, dir, data, length);
}

/* GOOD, or CHECK CONDITION with this key and code; says what came instead. */
static inline bool rig_is(const rig *r, uint8_t key, uint16_t asc) {
  bool same = r->io.status == GT_STATUS_CHECK_CONDITION && r->sense.key == key && r->sense.asc == asc;
  if (!same)
    fprintf(stderr, "  CDB %02x: status %02x key %x asc %04x\n", r->io.cdb[0], r->io.status, r->sense.key,
            r->sense.asc);
  return same;
}

static inline bool rig_good(const rig *r) {
  if (r->io.status || r->io.outcome)
    fprintf(stderr, "  CDB %02x: outcome %u status %02x key %x asc %04x\n", r->io.cdb[0], r->io.outcome, r->io.status,
            r->sense.key, r->sense.asc);
  return r->io.status == GT_STATUS_GOOD && r->io.outcome == GT_DELIVERED;
}

#define GOOD(r) CHECK(rig_good(r))
#define FAILS(r, key, asc) CHECK(rig_is(r, key, asc))

/* Attaches, and takes the unit attention of the new nexus away. */
static inline rig rig_attach(gt_device *device) {
  rig r = {.device = device, .nexus = gt_device_attach(device)};
  rig_none(&r, "00 00 00 00 00 00");
  return r;
}

static inline void fill(uint8_t *data, size_t length, uint32_t seed) {
  for (size_t i = 0; i < length; i++) {
    seed = seed * 1664525u + 1013904223u;
    data[i] = (uint8_t)(seed >> 24);
  }
}

static inline uint64_t rig_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#endif
