#include "device/write_buffer.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

bool gt_write_buffer_holds(const gt_write_buffer *buffer) { return buffer && (buffer->used || buffer->cut); }

int gt_write_buffer_begin(gt_cartridge *cartridge, bool cut) {
  gt_write_buffer *buffer = cartridge->buffer;
  if (gt_write_buffer_holds(buffer) && buffer->base.offset + buffer->used != cartridge->here.offset) {
    int error = gt_write_buffer_drain(cartridge);
    if (error) return error;
  }
  if (gt_write_buffer_holds(buffer)) return 0;
  buffer->base = cartridge->here;
  buffer->cut = cut;
  return 0;
}

int gt_write_buffer_put(gt_cartridge *cartridge, const struct iovec *vectors, int count, uint64_t *done) {
  gt_write_buffer *buffer = cartridge->buffer;
  uint64_t bytes = 0;
  *done = 0;
  for (int i = 0; i < count; i++)
    bytes += vectors[i].iov_len;
  if (bytes > sizeof buffer->bytes) return -EMSGSIZE;
  if (bytes > sizeof buffer->bytes - buffer->used) {
    int error = gt_write_buffer_drain(cartridge);
    if (error) return error;
    buffer->base = cartridge->here;
  }
  for (int i = 0; i < count; i++) {
    memcpy(buffer->bytes + buffer->used, vectors[i].iov_base, vectors[i].iov_len);
    buffer->used += vectors[i].iov_len;
  }
  *done = bytes;
  return 0;
}

int gt_write_buffer_drain(gt_cartridge *cartridge) {
  gt_write_buffer *buffer = cartridge->buffer;
  if (!gt_write_buffer_holds(buffer)) return 0;
  if (buffer->cut && ftruncate(cartridge->fd, (off_t)buffer->base.offset)) return -errno;
  buffer->cut = false;
  for (uint64_t done = 0; done < buffer->used;) {
    ssize_t put = pwrite(cartridge->fd, buffer->bytes + done, buffer->used - done, (off_t)(buffer->base.offset + done));
    /* What is in the file is written there once more the next time, which changes nothing. */
    if (put == 0 || (put < 0 && errno != EINTR)) return put ? -errno : -ENOSPC;
    if (put > 0) done += (uint64_t)put;
  }
  buffer->used = 0;
  return 0;
}
