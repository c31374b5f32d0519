/* What the targets of the emulated devices share: one command with buffers of exactly its size, and what every answer
 * must be, whatever was asked. */
#ifndef FUZZ_DEVICE_H
#define FUZZ_DEVICE_H

#include "core/bytes.h"
#include "core/scsi.h"
#include "core/sense.h"
#include "device/device.h"
#include "fuzz.h"

/* Under MemorySanitizer: nothing leaves the device that nobody has written. */
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#define fuzz_forget(data, size) __msan_poison(data, size)
#define fuzz_recall(data, size) __msan_unpoison(data, size)
#define fuzz_initialized(data, size) __msan_check_mem_is_initialized(data, size)
#else
#define fuzz_forget(data, size) ((void)(data), (void)(size))
#define fuzz_recall(data, size) ((void)(data), (void)(size))
#define fuzz_initialized(data, size) ((void)(data), (void)(size))
#endif

typedef struct fuzz_lun {
  gt_device *device;
  int nexus;
  gt_io io;
  gt_sense sense;
} fuzz_lun;

/* Runs io.cdb. The data is copied into memory of its own, so that the sanitizer sees a byte too many. */
static inline void fuzz_run(fuzz_lun *l, uint8_t *data, uint32_t length) {
  gt_io *io = &l->io;
  uint8_t *exact = length ? malloc(length) : NULL;
  if (length) memcpy(exact, data, length);
  fuzz_forget(exact, io->dir == GT_DIR_IN ? length : 0);
  io->data = exact;
  io->data_len = length;
  io->timeout_ms = 1000;
  memset(io->sense, 0xEE, sizeof io->sense);
  gt_device_execute(l->device, l->nexus, io);
  MUST(io->outcome == GT_DELIVERED && io->sense_len <= sizeof io->sense);
  MUST((io->status == GT_STATUS_CHECK_CONDITION) == (io->sense_len > 0));
  MUST(io->status == GT_STATUS_GOOD || gt_sense_parse(io->sense, io->sense_len, &l->sense));
  if (io->status == GT_STATUS_GOOD) l->sense = (gt_sense){0};
  fuzz_initialized(io->sense, io->sense_len);
  for (size_t i = io->sense_len; i < sizeof io->sense; i++)
    MUST(io->sense[i] == 0xEE);
  MUST(io->resid <= (int32_t)length);
  if (io->dir != GT_DIR_IN && length) MUST(memcmp(exact, data, length) == 0);
  if (io->dir == GT_DIR_IN) {
    /* What was not moved is as it was. */
    size_t moved = io->resid >= 0 ? length - (size_t)io->resid : length;
    fuzz_initialized(exact, moved);
    if (length > moved) fuzz_recall(exact + moved, length - moved);
    if (length > moved) MUST(memcmp(exact + moved, data + moved, length - moved) == 0);
    if (length) memcpy(data, exact, length);
  }
  free(exact);
}

static inline uint8_t fuzz_cdb(fuzz_lun *l, const uint8_t *cdb, uint8_t cdb_len, gt_dir dir, uint8_t *data,
                               uint32_t length) {
  l->io = (gt_io){.cdb_len = cdb_len, .dir = (uint8_t)dir};
  memcpy(l->io.cdb, cdb, cdb_len);
  fuzz_run(l, data, length);
  return l->io.status;
}

/* Takes what is pending of unit attentions away. */
static inline void fuzz_settle(fuzz_lun *l) {
  static const uint8_t request_sense[6] = {0x03, 0, 0, 0, 252};
  uint8_t data[252] = {0};
  for (int i = 0; i < 4; i++) {
    fuzz_cdb(l, request_sense, 6, GT_DIR_IN, data, sizeof data);
    MUST(l->io.status == GT_STATUS_GOOD);
  }
}

static inline void fuzz_attach(fuzz_lun *l, gt_device *device) {
  *l = (fuzz_lun){.device = device, .nexus = gt_device_attach(device)};
  MUST(l->nexus >= 0);
  fuzz_settle(l);
}

static inline bool fuzz_is(const fuzz_lun *l, uint8_t key) {
  return l->io.status == GT_STATUS_CHECK_CONDITION && l->sense.key == key;
}

/* Does the CDB set a bit that its mask (bytes from 1 on) has not? */
static inline bool fuzz_reserved(const uint8_t *cdb, const uint8_t *mask, unsigned length) {
  for (unsigned i = 1; i < length; i++)
    if (cdb[i] & ~mask[i]) return true;
  return false;
}

/* Length that the group of an operation code has (SPC-4 4.2.5); 0: none. */
static inline uint8_t fuzz_cdb_len(uint8_t opcode) {
  static const uint8_t lengths[8] = {6, 10, 10, 0, 16, 12, 0, 0};
  return lengths[opcode >> 5];
}

#endif
