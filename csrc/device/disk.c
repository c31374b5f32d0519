/* The emulated disk: opening and closing, mode parameters, and its opcode table. */
#include "device/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/bytes.h"
#include "device/disk_cache.h"
#include "device/disk_journal.h"
#include "device/disk_sanitize.h"

enum { DEFAULT_TRANSFER_BYTES = 8 << 20, PHYSICAL_BYTES = 4096, PHYSICAL_MAX = 1 << 20 };

static bool disk_offers(const gt_device *device, const gt_row *row) {
  const gt_disk *disk = (const gt_disk *)device;
  if (row->flags & GT_ROW_THIN && !disk->thin) return false;
  if (row->flags & GT_ROW_FILE && disk->block_special) return false;
  return !(row->flags & GT_ROW_REMOVABLE) || device->removable;
}

/* Why the disk is not ready, with the key NO SENSE where it is (SBC-3 table 14, SPC-4 5.11). */
static void disk_condition(gt_device *device, gt_sense *out) {
  const gt_disk *disk = (const gt_disk *)device;
  if (gt_sanitize_condition(disk, out)) return;
  if (atomic_load_explicit(&disk->ejected, memory_order_relaxed))
    *out = (gt_sense){.key = GT_KEY_NOT_READY, .asc = GT_ASC_MEDIUM_NOT_PRESENT};
  else if (atomic_load_explicit(&disk->stopped, memory_order_relaxed))
    *out = (gt_sense){.key = GT_KEY_NOT_READY, .asc = GT_ASC_INITIALIZING_COMMAND_REQUIRED};
}

bool gt_disk_still_ready(gt_cmd *cmd) {
  gt_sense sense;
  if (!gt_sanitize_condition(gt_disk_of(cmd), &sense)) return true;
  gt_check(cmd, &sense);
  return false;
}

/* While SANITIZE runs, or has failed, there is nothing but what tells of it (SBC-3 4.11.3), and SANITIZE itself. */
static bool disk_admit(gt_cmd *cmd) {
  const gt_disk *disk = gt_disk_of(cmd);
  gt_sense sense = {.key = GT_KEY_NO_SENSE};
  disk_condition(cmd->device, &sense);
  bool failed = sense.asc == GT_ASC_SANITIZE_FAILED, wiped = failed || sense.asc == GT_ASC_SANITIZE_IN_PROGRESS;
  bool wanted = cmd->row->flags & GT_ROW_ALWAYS || (failed && cmd->cdb[0] == GT_SANITIZE);
  if (wiped ? !wanted : cmd->row->flags & GT_ROW_MEDIUM && sense.key != GT_KEY_NO_SENSE) {
    gt_check(cmd, &sense);
    return false;
  }
  if (!(cmd->row->flags & GT_ROW_WRITES)) return true;
  bool by_software = atomic_load_explicit(&disk->protected, memory_order_relaxed);
  if (!disk->read_only && !by_software) return true;
  gt_fail(cmd, GT_KEY_DATA_PROTECT, disk->read_only ? GT_ASC_WRITE_PROTECTED : GT_ASC_SOFTWARE_WRITE_PROTECTED);
  return false;
}

/* UNMAP has its LBAs in the parameter list, and is touched by no range. */
static bool disk_range(const gt_cmd *cmd, uint64_t *first, uint64_t *last) {
  if (!(cmd->row->flags & GT_ROW_LBA)) return false;
  gt_span span = gt_disk_span(cmd->cdb);
  uint64_t more = span.blocks ? span.blocks - 1 : 0;
  *first = span.lba;
  *last = more <= UINT64_MAX - span.lba ? span.lba + more : UINT64_MAX;
  return true;
}

static uint8_t disk_device_specific(gt_device *device) {
  const gt_disk *disk = (const gt_disk *)device;
  return (uint8_t)((disk->read_only || atomic_load(&disk->protected) ? 0x80 : 0) | 0x10); /* WP, DPOFUA */
}

/* Short LBA mode parameter block descriptor, SBC-3 6.4.2.2. */
static void disk_block_descriptor(gt_device *device, uint8_t out[8]) {
  const gt_disk *disk = (const gt_disk *)device;
  gt_store_be32(out, disk->blocks > UINT32_MAX ? UINT32_MAX : (uint32_t)disk->blocks);
  gt_store_be32(out + 4, disk->block_bytes); /* the reserved byte 4 is its top byte, zero */
}

/* The capacity and the block length cannot be changed; saying what they are is no change. */
static bool disk_select(gt_device *device, uint8_t specific, const uint8_t *descriptor, bool apply) {
  (void)specific, (void)apply;
  if (!descriptor) return true;
  uint8_t mine[8];
  disk_block_descriptor(device, mine);
  uint32_t blocks = gt_load_be32(descriptor);
  return (blocks == 0 || blocks == gt_load_be32(mine)) && memcmp(descriptor + 4, mine + 4, 4) == 0;
}

static void disk_mode_changed(gt_device *device) {
  gt_disk *disk = (gt_disk *)device;
  atomic_store(&disk->write_through, !(gt_mode_current(device, 0x08)[2] & 0x04)); /* WCE */
  atomic_store(&disk->protected, gt_mode_current(device, 0x0A)[4] & 0x08);        /* SWP */
}

static void disk_destroy(gt_device *device) {
  gt_disk *disk = (gt_disk *)device;
  gt_sanitize_free(disk);
  gt_disk_cache_free(disk);
  gt_disk_journal_free(disk);
  gt_disk_map_free(disk);
  close(disk->fd);
  gt_disk_stripes_free(disk);
  gt_device_fini(device);
  free(disk);
}

#define L4 0xFF, 0xFF, 0xFF, 0xFF
#define L8 L4, L4
#define RW (GT_ROW_MEDIUM | GT_ROW_LBA)
#define WW (GT_ROW_MEDIUM | GT_ROW_LBA | GT_ROW_WRITES)
#define WT (WW | GT_ROW_TAKES)
#define SANITIZE (GT_ROW_MEDIUM | GT_ROW_WRITES | GT_ROW_FILE)
enum { NONE = GT_NO_ACTION };

/* POPULATE TOKEN and WRITE USING TOKEN (SBC-3 5.14, 5.45): list identifier, length of the list, group number. */
#define TOKEN_OUT(action) GT_BY_BRIDGE(GT_THIRD_PARTY_COPY_OUT, 16, action, GT_USAGE(0, 0x1F, 0, 0, 0, 0, L8, 0x1F))

static const gt_row disk_rows[] = {
    GT_SPC_ROWS,
    GT_COPY_OUT_ROWS,
    TOKEN_OUT(0x10),
    TOKEN_OUT(0x11),
    GT_COPY_IN_ROWS,
    GT_COPY_IN(0x07, GT_A4), /* RECEIVE ROD TOKEN INFORMATION */
    {GT_READ_6, 6, NONE, RW, gt_disk_read, {0, 0x1F, 0xFF, 0xFF, 0xFF}},
    {GT_WRITE_6, 6, NONE, WT, gt_disk_write, {0, 0x1F, 0xFF, 0xFF, 0xFF}},
    {GT_START_STOP_UNIT, 6, NONE, GT_ROW_LOCKED, gt_disk_start_stop, {0, 0x01, 0, 0x0F, 0xF7}},
    {GT_PREVENT_ALLOW_MEDIUM_REMOVAL, 6, NONE, GT_ROW_LOCKED | GT_ROW_REMOVABLE, gt_spc_prevent, {0, 0, 0, 0, 0x01}},
    {GT_LOG_SENSE, 10, NONE, GT_ROW_ALWAYS, gt_disk_log_sense, {0, 0, 0xFF, 0xFF, 0, 0xFF, 0xFF, 0xFF, 0xFF}},
    {GT_READ_DEFECT_DATA_10, 10, NONE, GT_ROW_MEDIUM, gt_disk_read_defects_10, {0, 0, 0x1F, 0, 0, 0, 0, 0xFF, 0xFF}},
    {GT_SANITIZE, 10, 1, SANITIZE, gt_sanitize_overwrite, {0, 0xBF, 0, 0, 0, 0, 0, 0xFF, 0xFF}},
    {GT_SANITIZE, 10, 2, SANITIZE, gt_sanitize_block_erase, {0, 0xBF, 0, 0, 0, 0, 0, 0xFF, 0xFF}},
    {GT_SANITIZE, 10, 0x1F, SANITIZE, gt_sanitize_exit_failure, {0, 0xBF, 0, 0, 0, 0, 0, 0xFF, 0xFF}},
    {GT_READ_CAPACITY_10, 10, NONE, GT_ROW_MEDIUM, gt_disk_read_capacity_10, {0}},
    {GT_READ_10, 10, NONE, RW, gt_disk_read, {0, 0x18, L4, 0x1F, 0xFF, 0xFF}},
    {GT_WRITE_10, 10, NONE, WT, gt_disk_write, {0, 0x18, L4, 0x1F, 0xFF, 0xFF}},
    {GT_WRITE_AND_VERIFY_10, 10, NONE, WW, gt_disk_write_and_verify, {0, 0x16, L4, 0x1F, 0xFF, 0xFF}},
    {GT_VERIFY_10, 10, NONE, RW, gt_disk_verify, {0, 0x16, L4, 0x1F, 0xFF, 0xFF}},
    {GT_PRE_FETCH_10, 10, NONE, RW, gt_disk_pre_fetch, {0, 0x02, L4, 0x1F, 0xFF, 0xFF}},
    {GT_SYNCHRONIZE_CACHE_10, 10, NONE, RW, gt_disk_synchronize, {0, 0x06, L4, 0x1F, 0xFF, 0xFF}},
    {GT_WRITE_SAME_10, 10, NONE, WW, gt_disk_write_same, {0, 0x18, L4, 0x1F, 0xFF, 0xFF}},
    {GT_UNMAP,
     10,
     NONE,
     GT_ROW_MEDIUM | GT_ROW_WRITES | GT_ROW_THIN,
     gt_disk_unmap,
     {0, 1, 0, 0, 0, 0, 0x1F, 0xFF, 0xFF}},
    {GT_READ_16, 16, NONE, RW, gt_disk_read, {0, 0x18, L8, L4, 0x1F}},
    {GT_COMPARE_AND_WRITE, 16, NONE, WW, gt_disk_compare_and_write, {0, 0x18, L8, 0, 0, 0, 0xFF, 0x1F}},
    {GT_WRITE_16, 16, NONE, WT, gt_disk_write, {0, 0x18, L8, L4, 0x1F}},
    {GT_ORWRITE_16, 16, NONE, WW, gt_disk_orwrite, {0, 0x18, L8, L4, 0x1F}},
    {GT_WRITE_AND_VERIFY_16, 16, NONE, WW, gt_disk_write_and_verify, {0, 0x16, L8, L4, 0x1F}},
    {GT_VERIFY_16, 16, NONE, RW, gt_disk_verify, {0, 0x16, L8, L4, 0x1F}},
    {GT_PRE_FETCH_16, 16, NONE, RW, gt_disk_pre_fetch, {0, 0x02, L8, L4, 0x1F}},
    {GT_SYNCHRONIZE_CACHE_16, 16, NONE, RW, gt_disk_synchronize, {0, 0x06, L8, L4, 0x1F}},
    {GT_WRITE_SAME_16, 16, NONE, WW, gt_disk_write_same, {0, 0x19, L8, L4, 0x1F}},
    {GT_SERVICE_ACTION_IN_16,
     16,
     GT_SAI_READ_CAPACITY_16,
     GT_ROW_MEDIUM,
     gt_disk_read_capacity_16,
     {0, 0x1F, 0, 0, 0, 0, 0, 0, 0, 0, L4}},
    {GT_SERVICE_ACTION_IN_16, 16, GT_SAI_GET_LBA_STATUS, GT_ROW_MEDIUM, gt_disk_lba_status, {0, 0x1F, L8, L4}},
    {GT_WRITE_ATOMIC_16, 16, NONE, WW | GT_ROW_FILE, gt_disk_write_atomic, {0, 0x18, L8, 0xFF, 0xFF, 0xFF, 0xFF, 0x1F}},
    {GT_READ_12, 12, NONE, RW, gt_disk_read, {0, 0x18, L8, 0x1F}},
    {GT_WRITE_12, 12, NONE, WT, gt_disk_write, {0, 0x18, L8, 0x1F}},
    {GT_WRITE_AND_VERIFY_12, 12, NONE, WW, gt_disk_write_and_verify, {0, 0x16, L8, 0x1F}},
    {GT_VERIFY_12, 12, NONE, RW, gt_disk_verify, {0, 0x16, L8, 0x1F}},
    {GT_READ_DEFECT_DATA_12, 12, NONE, GT_ROW_MEDIUM, gt_disk_read_defects_12, {0, 0x1F, L4, L4}},
};

static const uint8_t disk_vpd_pages[] = {0xB0, 0xB1, 0xB2};

static const gt_mode_page disk_mode_pages[] = {
    /* Read-write error recovery (SBC-3 6.4.8): AWRE, ARRE; the file system below sees to it. */
    {12, {0x01, 10, 0xC0}, {0}},
    /* Disconnect-reconnect (SPC-4 7.5.10): no limits. */
    {16, {0x02, 14}, {0}},
    /* Caching (SBC-3 6.4.5): WCE is on, for the host's page cache is one, and can be switched off. */
    {20, {0x08, 18, 0x04}, {0, 0, 0x04}},
    /* Control (SPC-4 7.5.8): D_SENSE and SWP can be changed; QUEUE ALGORITHM MODIFIER 1, unrestricted. */
    {12, {0x0A, 10, 0, 0x10}, {0, 0, 0x04, 0, 0x08}},
    /* Informational exceptions control (SPC-4 7.5.11): none are foreseen; DEXCPT. */
    {12, {0x1C, 10, 0x08}, {0}},
};

const gt_device_class gt_disk_class = {
    .type = GT_TYPE_DISK,
    .standard = 0x04C0, /* SBC-3 */
    .product = "DISK",
    .rows = disk_rows,
    .row_count = sizeof disk_rows / sizeof *disk_rows,
    .vpd_pages = disk_vpd_pages,
    .vpd_page_count = sizeof disk_vpd_pages,
    .mode_pages = disk_mode_pages,
    .mode_page_count = sizeof disk_mode_pages / sizeof *disk_mode_pages,
    .admit = disk_admit,
    .offers = disk_offers,
    .condition = disk_condition,
    .range = disk_range,
    .vpd = gt_disk_vpd,
    .device_specific = disk_device_specific,
    .block_descriptor = disk_block_descriptor,
    .select = disk_select,
    .mode_changed = disk_mode_changed,
    .destroy = disk_destroy,
};

/* Size of what is behind fd, bytes. An empty file that is to have `wanted` bytes gets them (sparse). */
static int backing_bytes(gt_disk *disk, uint64_t wanted, uint64_t *bytes) {
  struct stat status;
  if (fstat(disk->fd, &status)) return -errno;
  if (S_ISBLK(status.st_mode)) {
    disk->block_special = true;
    return ioctl(disk->fd, BLKGETSIZE64, bytes) ? -errno : 0;
  }
  if (!S_ISREG(status.st_mode)) return -ENOTBLK;
  *bytes = (uint64_t)status.st_size;
  if (*bytes || !wanted) return 0;
  if (ftruncate(disk->fd, (off_t)wanted)) return -errno;
  *bytes = wanted;
  return 0;
}

static int open_backing(gt_disk *disk, const gt_disk_options *options, char *err, size_t err_len) {
  int flags = (options->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC;
  if (options->blocks && !options->read_only) flags |= O_CREAT;
  disk->fd = open(options->path, flags, 0600);
  if (disk->fd < 0) return gt_explain(-errno, err, err_len, "cannot open %s: %s", options->path, strerror(errno));
  if (options->blocks > (uint64_t)INT64_MAX / options->block_bytes)
    return gt_explain(-EINVAL, err, err_len, "a disk cannot have more than 2^63 - 1 bytes; choose fewer blocks");
  uint64_t wanted = options->blocks * options->block_bytes, bytes = 0;
  int error = backing_bytes(disk, wanted, &bytes);
  /* The file may be new, and its name must last as long as what SYNCHRONIZE CACHE says is on the medium. */
  if (!error && flags & O_CREAT && !disk->block_special) error = gt_sync_directory_of(options->path);
  if (error) return gt_explain(error, err, err_len, "%s cannot back a disk: %s", options->path, strerror(-error));
  if (wanted && (disk->block_special ? bytes < wanted : bytes != wanted))
    return gt_explain(-EINVAL, err, err_len,
                      "%s has %llu bytes, not the %llu asked for; give 0 blocks to take it as it is", options->path,
                      (unsigned long long)bytes, (unsigned long long)wanted);
  disk->blocks = wanted ? options->blocks : bytes / options->block_bytes;
  if (disk->blocks) return 0;
  return gt_explain(-EINVAL, err, err_len, "%s has less than one block; say how many blocks it is to have",
                    options->path);
}

/* Without a serial of its own a disk has one made from its path: the same file stays the same disk. */
static void default_serial(const char *path, char out[17]) {
  char *real = realpath(path, NULL);
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char *p = real ? real : path; *p; p++)
    hash = (hash ^ (uint8_t)*p) * 0x100000001b3u;
  snprintf(out, 17, "%016llX", (unsigned long long)hash);
  free(real);
}

static int check_options(const gt_disk_options *options, char *err, size_t err_len) {
  if (options->block_bytes != 512 && options->block_bytes != 4096)
    return gt_explain(-EINVAL, err, err_len, "a disk has blocks of 512 or 4096 bytes, not %u", options->block_bytes);
  uint32_t physical = options->physical_block_bytes;
  if (physical && (physical < options->block_bytes || physical > PHYSICAL_MAX || physical & (physical - 1)))
    return gt_explain(-EINVAL, err, err_len, "a physical block has %u bytes or a power of two times that, not %u",
                      options->block_bytes, physical);
  if (options->serial && (!options->serial[0] || strlen(options->serial) > 64))
    return gt_explain(-EINVAL, err, err_len, "a serial has 1 to 64 characters");
  return 0;
}

/* What lies beside the file: finished before the first command. A block device has no such place. */
static int open_records(gt_disk *disk, const gt_disk_options *options, char *err, size_t err_len) {
  const char *why = "";
  if (disk->block_special) return 0;
  int error = gt_disk_journal_make(disk, options->path);
  if (error)
    return gt_explain(error, err, err_len, "the write journal %s.atomic cannot be finished: %s", options->path,
                      strerror(-error));
  error = gt_sanitize_make(disk, options->path, &why);
  return error ? gt_explain(error, err, err_len, "the sanitize of %s cannot go on: %s", options->path, why) : 0;
}

static void take_options(gt_disk *disk, const gt_disk_options *options) {
  uint32_t most = DEFAULT_TRANSFER_BYTES / options->block_bytes;
  disk->fd = -1;
  disk->block_bytes = options->block_bytes;
  disk->physical_bytes = options->physical_block_bytes ? options->physical_block_bytes : PHYSICAL_BYTES;
  disk->thin = options->thin;
  disk->read_only = options->read_only;
  disk->base.removable = options->removable;
  disk->max_transfer_blocks = options->max_transfer_blocks ? options->max_transfer_blocks : most;
}

/* All but the common part, which comes last. */
static int open_parts(gt_disk *disk, const gt_disk_options *options, char *err, size_t err_len) {
  int error = open_backing(disk, options, err, err_len);
  if (!error && options->volatile_cache) error = gt_disk_cache_make(disk);
  if (!error) error = open_records(disk, options, err, err_len);
  if (!error) gt_disk_map_make(disk);
  return error;
}

int gt_disk_open(const gt_disk_options *options, gt_device **out, char *err, size_t err_len) {
  char serial[17];
  int error = check_options(options, err, err_len);
  if (error) return error;
  gt_disk *disk = calloc(1, sizeof *disk);
  if (!disk) return -ENOMEM;
  take_options(disk, options);
  default_serial(options->path, serial);
  error = gt_disk_stripes_make(disk);
  if (error) return free(disk), error;
  error = open_parts(disk, options, err, err_len);
  if (!error)
    error = gt_device_init(&disk->base, &gt_disk_class, options->vendor, options->product,
                           options->serial ? options->serial : serial);
  if (!error) return *out = &disk->base, 0;
  gt_sanitize_free(disk);
  gt_disk_cache_free(disk);
  gt_disk_journal_free(disk);
  gt_disk_map_free(disk);
  gt_disk_stripes_free(disk);
  if (disk->fd >= 0) close(disk->fd);
  free(disk);
  return error;
}
