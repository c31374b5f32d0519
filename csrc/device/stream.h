/* A tape drive as its motor sees it: the tape moves at one speed, out of a buffer that WRITEs fill. While the buffer
 * has room a WRITE is answered at once, else when enough of it is on the tape. A buffer that runs empty before the
 * initiator has asked for that is an underrun: a real drive stops, goes back and starts again. Pure: time is a
 * parameter, and never goes back. */
#ifndef GT_STREAM_H
#define GT_STREAM_H

#include <stdbool.h>
#include <stdint.h>

typedef struct gt_stream {
  uint64_t bytes_per_s; /* 0: the drive takes what it gets, and counts nothing */
  uint64_t buffer_bytes;
  bool moving;
  uint64_t waiting;  /* bytes in the buffer of a tape that does not move */
  uint64_t empty_ns; /* when the buffer of one that moves will be empty */
  uint64_t starts, underruns;
} gt_stream;

/* Stands still with an empty buffer; the counts begin anew. */
void gt_stream_set(gt_stream *stream, uint64_t bytes_per_s, uint64_t buffer_bytes);
/* A WRITE of so many bytes arrives: when it is answered. The tape starts to move once the buffer is half full. */
uint64_t gt_stream_write(gt_stream *stream, uint64_t bytes, uint64_t now_ns);
/* What is buffered is to be on the tape, which then stops: when that is. */
uint64_t gt_stream_flush(gt_stream *stream, uint64_t now_ns);

#endif
