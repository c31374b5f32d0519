#include "device/stream.h"

#include <string.h>

void gt_stream_set(gt_stream *stream, uint64_t bytes_per_s, uint64_t buffer_bytes) {
  memset(stream, 0, sizeof *stream);
  stream->bytes_per_s = bytes_per_s;
  stream->buffer_bytes = buffer_bytes;
}

static uint64_t duration_ns(const gt_stream *stream, uint64_t bytes) {
  return (uint64_t)((double)bytes * 1e9 / (double)stream->bytes_per_s);
}

static void look(gt_stream *stream, uint64_t now_ns) {
  if (!stream->moving || now_ns <= stream->empty_ns) return;
  stream->moving = false;
  stream->underruns++;
}

static void start(gt_stream *stream, uint64_t now_ns) {
  stream->moving = true;
  stream->starts++;
  stream->empty_ns = now_ns + duration_ns(stream, stream->waiting);
  stream->waiting = 0;
}

uint64_t gt_stream_write(gt_stream *stream, uint64_t bytes, uint64_t now_ns) {
  if (!stream->bytes_per_s) return now_ns;
  look(stream, now_ns);
  if (stream->moving) {
    stream->empty_ns += duration_ns(stream, bytes);
  } else {
    stream->waiting += bytes;
    if (stream->waiting < stream->buffer_bytes / 2) return now_ns;
    start(stream, now_ns);
  }
  uint64_t full_ns = now_ns + duration_ns(stream, stream->buffer_bytes);
  return stream->empty_ns > full_ns ? now_ns + (stream->empty_ns - full_ns) : now_ns;
}

uint64_t gt_stream_flush(gt_stream *stream, uint64_t now_ns) {
  if (!stream->bytes_per_s) return now_ns;
  look(stream, now_ns);
  if (stream->waiting) start(stream, now_ns);
  uint64_t done_ns = stream->moving ? stream->empty_ns : now_ns;
  stream->moving = false;
  return done_ns;
}
