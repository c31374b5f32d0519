/* The emulated disk: opening and closing, what it says of itself, and its opcode table. */
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

enum { DEFAULT_TRANSFER_BYTES = 8 << 20, PHYSICAL_BYTES = 4096 };

/* Log2 of the logical blocks in a physical one: what a page cache turns over. */
static uint8_t physical_exponent(const gt_disk *disk) { return disk->block_bytes < PHYSICAL_BYTES ? 3 : 0; }

void gt_disk_read_capacity_10(gt_cmd *cmd) {
  gt_disk *disk = gt_disk_of(cmd);
  uint8_t data[8];
  uint64_t last = disk->blocks - 1;
  gt_store_be32(data, last > UINT32_MAX ? UINT32_MAX : (uint32_t)last);
  gt_store_be32(data + 4, disk->block_bytes);
  gt_reply(cmd, data, sizeof data, sizeof data);
}

void gt_disk_read_capacity_16(gt_cmd *cmd) {
  gt_disk *disk = gt_disk_of(cmd);
  uint8_t data[32] = {0};
  gt_store_be64(data, disk->blocks - 1);
  gt_store_be32(data + 8, disk->block_bytes);
  data[13] = physical_exponent(disk);
  data[14] = disk->thin ? 0xC0 : 0; /* LBPME, LBPRZ */
  gt_reply(cmd, data, sizeof data, gt_load_be32(cmd->cdb + 10));
}

/* SBC-3 5.25. Power conditions are taken note of by doing nothing; the medium cannot be ejected. */
void gt_disk_start_stop(gt_cmd *cmd) {
  gt_disk *disk = gt_disk_of(cmd);
  uint8_t bits = cmd->cdb[4];
  if (bits >> 4) return;
  if (bits & 0x02) return gt_fail_field(cmd, 4, 1); /* LOEJ */
  bool stop = !(bits & 0x01), flush = !(bits & 0x04);
  if (stop && flush) gt_disk_settle(cmd, true);
  if (cmd->io->status == GT_STATUS_GOOD) atomic_store(&disk->stopped, stop);
}

/* Block limits, SBC-3 6.5.3. */
static size_t block_limits(const gt_disk *disk, uint8_t *out) {
  out[4] = 0x01; /* WSNZ */
  out[5] = 255;  /* MAXIMUM COMPARE AND WRITE LENGTH */
  gt_store_be16(out + 6, (uint16_t)(1u << physical_exponent(disk)));
  gt_store_be32(out + 8, disk->max_transfer_blocks);
  uint32_t optimal = (1u << 20) / disk->block_bytes;
  gt_store_be32(out + 12, optimal < disk->max_transfer_blocks ? optimal : disk->max_transfer_blocks);
  if (disk->thin) {
    gt_store_be32(out + 20, (uint32_t)(GT_UNMAP_BYTES / disk->block_bytes));
    gt_store_be32(out + 24, GT_UNMAP_DESCRIPTORS);
    gt_store_be32(out + 28, 1u << physical_exponent(disk)); /* OPTIMAL UNMAP GRANULARITY */
    gt_store_be32(out + 32, 0x80000000u);                   /* UGAVALID, alignment 0 */
  }
  gt_store_be64(out + 36, GT_WRITE_SAME_BYTES / disk->block_bytes);
  return 0x3C;
}

static size_t disk_vpd(gt_device *device, uint8_t page, uint8_t *out) {
  const gt_disk *disk = (const gt_disk *)device;
  if (page == 0xB0) return block_limits(disk, out);
  if (page == 0xB1) { /* block device characteristics: non-rotating */
    gt_store_be16(out + 4, 1);
    return 0x3C;
  }
  /* B2h, logical block provisioning (SBC-3 6.5.4): LBPU, LBPWS, LBPWS10, LBPRZ; PROVISIONING TYPE thin. */
  out[5] = disk->thin ? 0xE4 : 0;
  out[6] = disk->thin ? 2 : 0;
  return 4;
}

static bool disk_offers(const gt_device *device, const gt_row *row) {
  return !(row->flags & GT_ROW_THIN) || ((const gt_disk *)device)->thin;
}

static bool disk_admit(gt_cmd *cmd) {
  const gt_disk *disk = gt_disk_of(cmd);
  if (cmd->row->flags & GT_ROW_MEDIUM && atomic_load_explicit(&disk->stopped, memory_order_relaxed)) {
    gt_fail(cmd, GT_KEY_NOT_READY, GT_ASC_INITIALIZING_COMMAND_REQUIRED);
    return false;
  }
  if (cmd->row->flags & GT_ROW_WRITES && disk->read_only) {
    gt_fail(cmd, GT_KEY_DATA_PROTECT, GT_ASC_WRITE_PROTECTED);
    return false;
  }
  return true;
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
  return (uint8_t)((((gt_disk *)device)->read_only ? 0x80 : 0) | 0x10); /* WP, DPOFUA */
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
  const uint8_t *caching = gt_mode_current(device, 0x08);
  atomic_store(&((gt_disk *)device)->write_through, !(caching[2] & 0x04)); /* WCE */
}

static void disk_destroy(gt_device *device) {
  gt_disk *disk = (gt_disk *)device;
  gt_disk_cache_free(disk);
  close(disk->fd);
  pthread_rwlock_destroy(&disk->atomicity);
  gt_device_fini(device);
  free(disk);
}

#define L4 0xFF, 0xFF, 0xFF, 0xFF
#define L8 L4, L4
#define RW (GT_ROW_MEDIUM | GT_ROW_LBA)
#define WW (GT_ROW_MEDIUM | GT_ROW_LBA | GT_ROW_WRITES)
enum { NONE = GT_NO_ACTION };

static const gt_row disk_rows[] = {
    GT_SPC_ROWS,
    {GT_READ_6, 6, NONE, RW, gt_disk_read, {0, 0x1F, 0xFF, 0xFF, 0xFF}},
    {GT_WRITE_6, 6, NONE, WW, gt_disk_write, {0, 0x1F, 0xFF, 0xFF, 0xFF}},
    {GT_START_STOP_UNIT, 6, NONE, 0, gt_disk_start_stop, {0, 0x01, 0, 0x0F, 0xF7}},
    {GT_READ_CAPACITY_10, 10, NONE, GT_ROW_MEDIUM, gt_disk_read_capacity_10, {0}},
    {GT_READ_10, 10, NONE, RW, gt_disk_read, {0, 0x18, L4, 0x1F, 0xFF, 0xFF}},
    {GT_WRITE_10, 10, NONE, WW, gt_disk_write, {0, 0x18, L4, 0x1F, 0xFF, 0xFF}},
    {GT_WRITE_AND_VERIFY_10, 10, NONE, WW, gt_disk_write_and_verify, {0, 0x16, L4, 0x1F, 0xFF, 0xFF}},
    {GT_VERIFY_10, 10, NONE, RW, gt_disk_verify, {0, 0x16, L4, 0x1F, 0xFF, 0xFF}},
    {GT_PRE_FETCH_10, 10, NONE, RW, gt_disk_pre_fetch, {0, 0x02, L4, 0x1F, 0xFF, 0xFF}},
    {GT_SYNCHRONIZE_CACHE_10, 10, NONE, RW, gt_disk_synchronize, {0, 0x02, L4, 0x1F, 0xFF, 0xFF}},
    {GT_WRITE_SAME_10, 10, NONE, WW, gt_disk_write_same, {0, 0x18, L4, 0x1F, 0xFF, 0xFF}},
    {GT_UNMAP,
     10,
     NONE,
     GT_ROW_MEDIUM | GT_ROW_WRITES | GT_ROW_THIN,
     gt_disk_unmap,
     {0, 1, 0, 0, 0, 0, 0x1F, 0xFF, 0xFF}},
    {GT_READ_16, 16, NONE, RW, gt_disk_read, {0, 0x18, L8, L4, 0x1F}},
    {GT_COMPARE_AND_WRITE, 16, NONE, WW, gt_disk_compare_and_write, {0, 0x18, L8, 0, 0, 0, 0xFF, 0x1F}},
    {GT_WRITE_16, 16, NONE, WW, gt_disk_write, {0, 0x18, L8, L4, 0x1F}},
    {GT_ORWRITE_16, 16, NONE, WW, gt_disk_orwrite, {0, 0x18, L8, L4, 0x1F}},
    {GT_WRITE_AND_VERIFY_16, 16, NONE, WW, gt_disk_write_and_verify, {0, 0x16, L8, L4, 0x1F}},
    {GT_VERIFY_16, 16, NONE, RW, gt_disk_verify, {0, 0x16, L8, L4, 0x1F}},
    {GT_PRE_FETCH_16, 16, NONE, RW, gt_disk_pre_fetch, {0, 0x02, L8, L4, 0x1F}},
    {GT_SYNCHRONIZE_CACHE_16, 16, NONE, RW, gt_disk_synchronize, {0, 0x02, L8, L4, 0x1F}},
    {GT_WRITE_SAME_16, 16, NONE, WW, gt_disk_write_same, {0, 0x19, L8, L4, 0x1F}},
    {GT_SERVICE_ACTION_IN_16,
     16,
     GT_SAI_READ_CAPACITY_16,
     GT_ROW_MEDIUM,
     gt_disk_read_capacity_16,
     {0, 0x1F, 0, 0, 0, 0, 0, 0, 0, 0, L4}},
    {GT_SERVICE_ACTION_IN_16, 16, GT_SAI_GET_LBA_STATUS, GT_ROW_MEDIUM, gt_disk_lba_status, {0, 0x1F, L8, L4}},
    {GT_READ_12, 12, NONE, RW, gt_disk_read, {0, 0x18, L8, 0x1F}},
    {GT_WRITE_12, 12, NONE, WW, gt_disk_write, {0, 0x18, L8, 0x1F}},
    {GT_WRITE_AND_VERIFY_12, 12, NONE, WW, gt_disk_write_and_verify, {0, 0x16, L8, 0x1F}},
    {GT_VERIFY_12, 12, NONE, RW, gt_disk_verify, {0, 0x16, L8, 0x1F}},
};

static const uint8_t disk_vpd_pages[] = {0xB0, 0xB1, 0xB2};

static const gt_mode_page disk_mode_pages[] = {
    /* Caching (SBC-3 6.4.5): WCE is on, for the host's page cache is one, and can be switched off. */
    {20, {0x08, 18, 0x04}, {0, 0, 0x04}},
    /* Control (SPC-4 7.5.8): D_SENSE can be changed; QUEUE ALGORITHM MODIFIER 1, unrestricted. */
    {12, {0x0A, 10, 0, 0x10}, {0, 0, 0x04}},
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
    .range = disk_range,
    .vpd = disk_vpd,
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

static int init_lock(pthread_rwlock_t *lock) {
  pthread_rwlockattr_t attributes;
  pthread_rwlockattr_init(&attributes);
  /* COMPARE AND WRITE must not starve behind a stream of writes. */
  pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
  int error = pthread_rwlock_init(lock, &attributes);
  pthread_rwlockattr_destroy(&attributes);
  return -error;
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
  if (options->serial && (!options->serial[0] || strlen(options->serial) > 64))
    return gt_explain(-EINVAL, err, err_len, "a serial has 1 to 64 characters");
  return 0;
}

int gt_disk_open(const gt_disk_options *options, gt_device **out, char *err, size_t err_len) {
  int error = check_options(options, err, err_len);
  if (error) return error;
  gt_disk *disk = calloc(1, sizeof *disk);
  if (!disk) return -ENOMEM;
  disk->fd = -1;
  disk->block_bytes = options->block_bytes;
  disk->thin = options->thin;
  disk->read_only = options->read_only;
  uint32_t most = DEFAULT_TRANSFER_BYTES / options->block_bytes;
  disk->max_transfer_blocks = options->max_transfer_blocks ? options->max_transfer_blocks : most;
  error = open_backing(disk, options, err, err_len);
  if (!error && options->volatile_cache) error = gt_disk_cache_make(disk);
  if (!error) error = init_lock(&disk->atomicity);
  if (!error) {
    char serial[17];
    default_serial(options->path, serial);
    error = gt_device_init(&disk->base, &gt_disk_class, options->vendor, options->product,
                           options->serial ? options->serial : serial);
    if (!error) {
      *out = &disk->base;
      return 0;
    }
    pthread_rwlock_destroy(&disk->atomicity);
  }
  gt_disk_cache_free(disk);
  if (disk->fd >= 0) close(disk->fd);
  free(disk);
  return error;
}
