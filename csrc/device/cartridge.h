/* A cartridge: a tape image with a head that stands somewhere in it. It knows objects and places, and
 * nothing of SCSI. Not thread-safe: the tape's lock is held around every call. */
#ifndef GT_CARTRIDGE_H
#define GT_CARTRIDGE_H

#include "device/device.h"
#include "device/mam.h"
#include "device/tap.h"
#include "device/tap_index.h"

struct gt_write_buffer;

typedef struct gt_cartridge {
  int fd;
  char *index_path;
  uint64_t size; /* of the file; UINT64_MAX: unknown after a failed write, so the next one cuts first */
  gt_tap_place here, end;
  bool damaged;  /* what stands at `end` is no record though the file goes on: data is lost there */
  bool unsynced; /* something was written since the last synchronization */
  bool sync_failed;
  bool write_protected, worm;
  uint64_t capacity, early_warning; /* data bytes; 0: unlimited */
  uint64_t indexed;                 /* image bytes that the index on disk speaks of */
  bool index_current;               /* the index on disk says all there is to say */
  /* The word of the object at `ahead_at`, read along with the record before it. UINT64_MAX: none. */
  uint64_t ahead_at;
  uint32_t ahead_word;
  gt_tap_window window;
  gt_mam *mam;
  struct gt_write_buffer *buffer; /* the drive's; NULL: records go into the file at once */
  gt_tap_index index;
} gt_cartridge;

/* Opens the image (a missing one is made, unless write protected) and finds its end. Nobody else may have it
 * loaded: -EBUSY. Errors: negative errno with a sentence in err. */
int gt_cartridge_open(const gt_cartridge_options *options, gt_cartridge **out, char *err, size_t err_len);
/* Makes everything durable, saves the index, frees. Returns the error of that, if any; it is freed anyway. */
int gt_cartridge_close(gt_cartridge *cartridge);
/* The first two of these alone. */
int gt_cartridge_settle(gt_cartridge *cartridge);

/* What stands in front of the head. For RECORD from the cache, its trailing word is checked by read. */
int gt_cartridge_look(gt_cartridge *cartridge, gt_tap_object *object);
/* Reads up to `room` bytes of a record in front of the head and moves behind it. -EILSEQ: damaged. */
int gt_cartridge_read(gt_cartridge *cartridge, const gt_tap_object *object, void *data, uint64_t room);
/* Moves behind an object that look has shown. */
void gt_cartridge_pass(gt_cartridge *cartridge, const gt_tap_object *object);

/* Write at the head; everything behind it is lost. *written counts whole blocks. 0 or a negative errno. */
int gt_cartridge_write(gt_cartridge *cartridge, const void *data, uint32_t block_bytes, uint32_t blocks,
                       uint32_t *written);
int gt_cartridge_write_marks(gt_cartridge *cartridge, uint32_t marks);
/* Makes the head's place the end of data. */
int gt_cartridge_truncate(gt_cartridge *cartridge);
/* Everything written before it is on stable storage when it returns 0. */
int gt_cartridge_sync(gt_cartridge *cartridge);

/* Move to an object, behind the files-th filemark, or in front of it (files at least 1): 0, or -ENODATA with
 * the head at the end of data, or a negative errno with the head where it was. */
int gt_cartridge_seek_object(gt_cartridge *cartridge, uint64_t object);
int gt_cartridge_seek_file(gt_cartridge *cartridge, uint64_t files);
int gt_cartridge_seek_before_mark(gt_cartridge *cartridge, uint64_t files);
void gt_cartridge_rewind(gt_cartridge *cartridge);

/* Data bytes that still fit; UINT64_MAX: unlimited. */
uint64_t gt_cartridge_room(const gt_cartridge *cartridge);
/* Is the head between early warning and the end of the medium? */
bool gt_cartridge_near_end(const gt_cartridge *cartridge);

#endif
