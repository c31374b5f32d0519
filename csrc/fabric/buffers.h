/* Where the data of commands lies: a pool of one reactor, split by halves (a buddy system) into blocks of 4 KiB to 16
 * MiB. One thread. Blocks are aligned to 4 KiB, and the one given back last goes out first, since the caches still hold
 * it. */
#ifndef GT_BUFFERS_H
#define GT_BUFFERS_H

#include <stddef.h>
#include <stdint.h>

enum { GT_BUFFER_ORDERS = 13, GT_BUFFER_PAGE = 4096 }; /* 4 KiB << 12 = 16 MiB */

typedef struct gt_buffer_link {
  struct gt_buffer_link *next, *previous;
} gt_buffer_link;

typedef struct gt_buffers {
  uint8_t *memory;
  size_t bytes;
  uint8_t *state; /* of each page: order of the block that starts there + 1, and FREE; 0: inside of a block */
  gt_buffer_link *free[GT_BUFFER_ORDERS];
  size_t taken; /* bytes */
} gt_buffers;

/* bytes: a multiple of 16 MiB. 0 or a negative errno. */
int gt_buffers_open(gt_buffers *pool, size_t bytes);
void gt_buffers_close(gt_buffers *pool);
/* NULL: none is free now, or length is 0 or above 16 MiB. */
void *gt_buffers_take(gt_buffers *pool, size_t length);
void gt_buffers_give(gt_buffers *pool, void *block);

#endif
