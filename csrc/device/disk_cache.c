#include "device/disk_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CACHE_BYTES = 16 << 20, PLACES_MAX = CACHE_BYTES / 512 };
#define EMPTY UINT64_MAX

typedef struct gt_disk_cache {
  pthread_mutex_t lock;
  uint32_t places;
  uint64_t lba[PLACES_MAX]; /* of the block that lies there, or EMPTY */
  uint8_t data[CACHE_BYTES];
} gt_disk_cache;

/* Neighbours go to places far apart, so that what survives of a long write has holes. */
static uint32_t place_of(const gt_disk_cache *cache, uint64_t lba) {
  uint64_t mixed = (lba + 1) * 0x9E3779B97F4A7C15u;
  mixed = (mixed ^ mixed >> 31) * 0xBF58476D1CE4E5B9u;
  return (uint32_t)(mixed >> 40) % cache->places;
}

int gt_disk_cache_make(gt_disk *disk) {
  gt_disk_cache *cache = calloc(1, sizeof *cache);
  if (!cache) return -ENOMEM;
  cache->places = CACHE_BYTES / disk->block_bytes;
  memset(cache->lba, 0xFF, sizeof cache->lba);
  if (pthread_mutex_init(&cache->lock, NULL)) return free(cache), -ENOMEM;
  disk->cache = cache;
  return 0;
}

void gt_disk_cache_free(gt_disk *disk) {
  if (!disk->cache) return;
  gt_disk_cache_destage(disk, 0, disk->blocks);
  pthread_mutex_destroy(&disk->cache->lock);
  free(disk->cache);
  disk->cache = NULL;
}

static uint8_t *block_at(const gt_disk *disk, uint32_t place) {
  return disk->cache->data + (uint64_t)place * disk->block_bytes;
}

static int write_out(const gt_disk *disk, uint32_t place) {
  gt_disk_cache *cache = disk->cache;
  uint64_t done;
  if (cache->lba[place] == EMPTY) return 0;
  int error =
      gt_disk_file_write(disk, block_at(disk, place), disk->block_bytes, cache->lba[place] * disk->block_bytes, &done);
  if (!error) cache->lba[place] = EMPTY;
  return error;
}

int gt_disk_cache_destage(const gt_disk *disk, uint64_t lba, uint64_t blocks) {
  gt_disk_cache *cache = disk->cache;
  int first_error = 0;
  pthread_mutex_lock(&cache->lock);
  for (uint32_t place = 0; place < cache->places; place++) {
    if (cache->lba[place] == EMPTY || cache->lba[place] < lba || cache->lba[place] - lba >= blocks) continue;
    int error = write_out(disk, place);
    if (error && !first_error) first_error = error;
  }
  pthread_mutex_unlock(&cache->lock);
  return first_error;
}

/* The file first, then what is newer over it: block by block, the last of them perhaps in part. */
int gt_disk_cache_read(const gt_disk *disk, void *data, uint64_t bytes, uint64_t offset, uint64_t *done) {
  gt_disk_cache *cache = disk->cache;
  uint64_t block = disk->block_bytes;
  pthread_mutex_lock(&cache->lock);
  int error = gt_disk_file_read(disk, data, bytes, offset, done);
  for (uint64_t at = 0; at < *done;) {
    uint64_t lba = (offset + at) / block, into = (offset + at) % block;
    uint64_t piece = block - into < *done - at ? block - into : *done - at;
    uint32_t place = place_of(cache, lba);
    if (cache->lba[place] == lba) memcpy((uint8_t *)data + at, block_at(disk, place) + into, piece);
    at += piece;
  }
  pthread_mutex_unlock(&cache->lock);
  return error;
}

/* A block whose place is not to be had, for what lies there cannot be written out, goes straight into the file. */
static int put_block(const gt_disk *disk, const uint8_t *data, uint64_t lba) {
  gt_disk_cache *cache = disk->cache;
  uint32_t place = place_of(cache, lba);
  uint64_t done;
  if (cache->lba[place] != lba && write_out(disk, place))
    return gt_disk_file_write(disk, data, disk->block_bytes, lba * disk->block_bytes, &done);
  cache->lba[place] = lba;
  memcpy(block_at(disk, place), data, disk->block_bytes);
  return 0;
}

/* Read-modify-write commands write in pieces of whole blocks, as all others do. */
int gt_disk_cache_write(const gt_disk *disk, const void *data, uint64_t bytes, uint64_t offset, uint64_t *done) {
  gt_disk_cache *cache = disk->cache;
  uint64_t block = disk->block_bytes;
  int error = 0;
  pthread_mutex_lock(&cache->lock);
  for (*done = 0; !error && *done < bytes;) {
    error = put_block(disk, (const uint8_t *)data + *done, (offset + *done) / block);
    if (!error) *done += block;
  }
  pthread_mutex_unlock(&cache->lock);
  return error;
}
