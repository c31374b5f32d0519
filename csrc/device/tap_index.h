/* Index of a tape image: places to start from when an object or a file is looked for.
 *
 * It is sparse: a checkpoint every so many objects, so that LOCATE reads at most that many record headers.
 * Its memory is fixed, GT_TAP_CHECKPOINTS × 32 bytes = 512 KiB for each loaded cartridge, however long the
 * tape: when it is full, every second checkpoint goes and the spacing doubles. Filemarks need no list of
 * their own, since every checkpoint counts those before it.
 *
 * On disk it is a help and never a truth: what it says is believed only if the image still ends where it
 * says and samples of the content are the same; otherwise the image is scanned. */
#ifndef GT_TAP_INDEX_H
#define GT_TAP_INDEX_H

#include <stdbool.h>
#include <stdint.h>

enum { GT_TAP_CHECKPOINTS = 16384 };

/* A place between two objects. */
typedef struct gt_tap_place {
  uint64_t offset; /* in the file, bytes */
  uint64_t object; /* logical objects (blocks and filemarks) before it */
  uint64_t files;  /* filemarks before it */
  uint64_t data;   /* data bytes before it */
} gt_tap_place;

typedef struct gt_tap_index {
  uint64_t spacing_objects, spacing_bytes; /* both, at least, between two checkpoints */
  uint32_t count;                          /* at least 1: the first is the beginning of the tape */
  gt_tap_place places[GT_TAP_CHECKPOINTS]; /* ascending */
} gt_tap_index;

void gt_tap_index_reset(gt_tap_index *index);
/* Tells of a place; it becomes a checkpoint if it is far enough behind the last one. */
void gt_tap_index_note(gt_tap_index *index, const gt_tap_place *place);
/* Forgets what lies behind a place. */
void gt_tap_index_cut(gt_tap_index *index, const gt_tap_place *place);
/* The last checkpoint at or before an object, or with fewer filemarks before it than `files` (for 0: the
 * beginning of the tape). */
const gt_tap_place *gt_tap_index_by_object(const gt_tap_index *index, uint64_t object);
const gt_tap_place *gt_tap_index_by_file(const gt_tap_index *index, uint64_t files);

/* Writes the index of the image `fd`, which has been scanned or written up to `end`, to `path`: whole or not
 * at all. 0 or a negative errno. */
int gt_tap_index_save(const gt_tap_index *index, int fd, const gt_tap_place *end, const char *path);
/* Reads it back: 0 with *end = the place up to which it can be believed, or a negative errno (-ESTALE: it
 * belongs to other content), and then the index is reset. */
int gt_tap_index_load(gt_tap_index *index, int fd, const char *path, gt_tap_place *end);

#endif
