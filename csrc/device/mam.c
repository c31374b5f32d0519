#include "device/mam.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/crc32c.h"
#include "device/impl.h"

/* SPC-4 table 369, host type attributes; LTFS has the last two. */
const gt_mam_rule gt_mam_rules[] = {
    {0x0800, 8, GT_MAM_ASCII, false},    /* APPLICATION VENDOR */
    {0x0801, 32, GT_MAM_ASCII, false},   /* APPLICATION NAME */
    {0x0802, 8, GT_MAM_ASCII, false},    /* APPLICATION VERSION */
    {0x0803, 160, GT_MAM_TEXT, false},   /* USER MEDIUM TEXT LABEL */
    {0x0804, 12, GT_MAM_ASCII, false},   /* DATE AND TIME LAST WRITTEN */
    {0x0805, 1, GT_MAM_BINARY, false},   /* TEXT LOCALIZATION IDENTIFIER */
    {0x0806, 32, GT_MAM_ASCII, false},   /* BARCODE */
    {0x0807, 80, GT_MAM_TEXT, false},    /* OWNING HOST TEXTUAL NAME */
    {0x0808, 160, GT_MAM_TEXT, false},   /* MEDIA POOL */
    {0x0809, 16, GT_MAM_ASCII, false},   /* PARTITION USER TEXT LABEL */
    {0x080A, 1, GT_MAM_BINARY, false},   /* LOAD/UNLOAD AT PARTITION */
    {0x080B, 16, GT_MAM_ASCII, false},   /* APPLICATION FORMAT VERSION */
    {0x080C, 1023, GT_MAM_BINARY, true}, /* VOLUME COHERENCY INFORMATION */
    {0x0820, 36, GT_MAM_BINARY, false},  /* MEDIUM GLOBALLY UNIQUE IDENTIFIER */
    {0x0821, 36, GT_MAM_BINARY, false},  /* MEDIA POOL GLOBALLY UNIQUE IDENTIFIER */
};
const size_t gt_mam_rule_count = sizeof gt_mam_rules / sizeof *gt_mam_rules;

/* As it stands in the file, in the order of this machine, which is the one that reads it. */
typedef struct image {
  char magic[8];
  uint64_t loads, bytes_written, bytes_read;
  char serial[GT_MAM_SERIAL];
  uint32_t used;
  uint8_t attributes[GT_MAM_BYTES];
  uint32_t crc; /* CRC-32C of all before it */
} image;
static const char MAGIC[8] = {'G', 'T', 'M', 'A', 'M', '0', '0', '1'};

const gt_mam_rule *gt_mam_rule_of(uint16_t id) {
  for (size_t i = 0; i < gt_mam_rule_count; i++)
    if (gt_mam_rules[i].id == id) return &gt_mam_rules[i];
  return NULL;
}

/* Ascending identifiers, and lengths that end where the last attribute does. */
static bool attributes_are_sound(const uint8_t *attributes, uint32_t used) {
  int32_t last = -1;
  for (uint32_t at = 0; at < used;) {
    if (used - at < GT_MAM_HEADER || gt_load_be16(attributes + at) <= last) return false;
    last = gt_load_be16(attributes + at);
    uint32_t length = gt_load_be16(attributes + at + 3);
    if (length > used - at - GT_MAM_HEADER) return false;
    at += GT_MAM_HEADER + length;
  }
  return true;
}

static int take(gt_mam *mam, const image *i, ssize_t got) {
  bool sound = got == (ssize_t)sizeof *i && memcmp(i->magic, MAGIC, sizeof MAGIC) == 0 &&
               i->crc == gt_crc32c(0, i, offsetof(image, crc)) && i->used <= GT_MAM_BYTES;
  if (!sound || !attributes_are_sound(i->attributes, i->used)) return -EBADMSG;
  mam->loads = i->loads;
  mam->bytes_written = i->bytes_written;
  mam->bytes_read = i->bytes_read;
  memcpy(mam->serial, i->serial, GT_MAM_SERIAL);
  memcpy(mam->attributes, i->attributes, i->used);
  mam->used = i->used;
  return 0;
}

static int recall(gt_mam *mam) {
  int fd = open(mam->path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  image *i = malloc(sizeof *i);
  int error = i ? take(mam, i, read(fd, i, sizeof *i)) : -ENOMEM;
  free(i);
  close(fd);
  return error;
}

static int write_image(const gt_mam *mam, const image *i) {
  int fd = open(mam->fresh_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return -errno;
  ssize_t put = write(fd, i, sizeof *i);
  int error = put == (ssize_t)sizeof *i ? 0 : put < 0 ? -errno : -ENOSPC;
  if (!error && fsync(fd)) error = -errno;
  close(fd);
  if (!error && rename(mam->fresh_path, mam->path)) error = -errno;
  return error ? error : gt_sync_directory_of(mam->path);
}

int gt_mam_store(gt_mam *mam) {
  if (!mam->kept || mam->unreadable) return -EROFS;
  image *i = calloc(1, sizeof *i);
  if (!i) return -ENOMEM;
  memcpy(i->magic, MAGIC, sizeof MAGIC);
  i->loads = mam->loads;
  i->bytes_written = mam->bytes_written;
  i->bytes_read = mam->bytes_read;
  memcpy(i->serial, mam->serial, GT_MAM_SERIAL);
  memcpy(i->attributes, mam->attributes, mam->used);
  i->used = mam->used;
  i->crc = gt_crc32c(0, i, offsetof(image, crc));
  int error = write_image(mam, i);
  free(i);
  return error;
}

static void begin(gt_mam *mam) {
  uint64_t number;
  if (getrandom(&number, sizeof number, 0) == (ssize_t)sizeof number)
    snprintf(mam->serial, sizeof mam->serial, "GT%016llX", (unsigned long long)number);
}

/* A cartridge whose counts cannot be stored is as good as any other: only writing an attribute says so. */
gt_mam *gt_mam_open(const char *image_path, bool write_protected) {
  gt_mam *mam = calloc(1, sizeof *mam);
  if (!mam) return NULL;
  if (asprintf(&mam->path, "%s.mam", image_path) < 0) mam->path = NULL;
  if (!mam->path || asprintf(&mam->fresh_path, "%s.mam.new", image_path) < 0) {
    free(mam->path);
    free(mam);
    return NULL;
  }
  mam->kept = !write_protected;
  int error = recall(mam);
  mam->unreadable = error && error != -ENOENT;
  if (error == -ENOENT && mam->kept) begin(mam);
  if (mam->kept) mam->loads++, gt_mam_store(mam);
  return mam;
}

void gt_mam_close(gt_mam *mam) {
  if (mam->load_written || mam->load_read) gt_mam_store(mam);
  free(mam->path);
  free(mam->fresh_path);
  free(mam);
}

static uint32_t bytes_at(const gt_mam *mam, uint32_t at) {
  return GT_MAM_HEADER + gt_load_be16(mam->attributes + at + 3);
}

/* Where the attribute stands, or would have to. */
static uint32_t place_of(const gt_mam *mam, uint16_t id) {
  uint32_t at = 0;
  while (at < mam->used && gt_load_be16(mam->attributes + at) < id)
    at += bytes_at(mam, at);
  return at;
}

const uint8_t *gt_mam_find(const gt_mam *mam, uint16_t id) {
  uint32_t at = place_of(mam, id);
  return at < mam->used && gt_load_be16(mam->attributes + at) == id ? mam->attributes + at : NULL;
}

bool gt_mam_put(gt_mam *mam, uint16_t id, uint8_t format, const uint8_t *value, uint16_t length) {
  uint32_t at = place_of(mam, id), old = gt_mam_find(mam, id) ? bytes_at(mam, at) : 0;
  uint32_t fresh = length ? GT_MAM_HEADER + (uint32_t)length : 0;
  if (fresh > GT_MAM_BYTES - (mam->used - old)) return false;
  uint8_t *here = mam->attributes + at;
  memmove(here + fresh, here + old, mam->used - at - old);
  mam->used = mam->used - old + fresh;
  if (!fresh) return true;
  gt_store_be16(here, id);
  here[2] = format;
  gt_store_be16(here + 3, length);
  memcpy(here + GT_MAM_HEADER, value, length);
  return true;
}
