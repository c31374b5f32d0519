/* Life and movement of a cartridge; reading and writing are in cartridge_io.c. */
#include "device/cartridge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device/impl.h"
#include "device/write_buffer.h"

int gt_cartridge_look(gt_cartridge *cartridge, gt_tap_object *object) {
  uint64_t offset = cartridge->here.offset;
  if (offset >= cartridge->end.offset) {
    *object = (gt_tap_object){.kind = cartridge->damaged ? GT_TAP_DAMAGED : GT_TAP_END, .next = offset};
    return 0;
  }
  int error = cartridge->buffer ? gt_write_buffer_drain(cartridge) : 0;
  if (error) return error;
  uint32_t word = cartridge->ahead_word;
  bool plain = cartridge->ahead_at == offset && word && word <= 0x0FFFFFFF;
  if (plain && gt_tap_record_bytes(word) <= cartridge->end.offset - offset) {
    *object = (gt_tap_object){.kind = GT_TAP_RECORD,
                              .word = word,
                              .length = word,
                              .data = offset + 4,
                              .next = offset + gt_tap_record_bytes(word)};
    return 0;
  }
  error = gt_tap_look(cartridge->fd, cartridge->size, offset, &cartridge->window, object);
  /* There was an object when the image was scanned: whatever else is there now is damage. */
  if (!error && object->kind != GT_TAP_RECORD && object->kind != GT_TAP_MARK) object->kind = GT_TAP_DAMAGED;
  return error;
}

static void move_behind(gt_tap_place *place, const gt_tap_object *object) {
  place->offset = object->next;
  place->object++;
  if (object->kind == GT_TAP_MARK)
    place->files++;
  else
    place->data += object->length;
}

void gt_cartridge_pass(gt_cartridge *cartridge, const gt_tap_object *object) { move_behind(&cartridge->here, object); }

/* Walks from `place` while `object` or the files-th mark is not reached. 0: reached, -ENODATA: the end came
 * first. With before_mark, stops in front of that mark. */
static int walk(gt_cartridge *cartridge, gt_tap_place *place, uint64_t object, uint64_t files, bool before_mark) {
  int drained = cartridge->buffer ? gt_write_buffer_drain(cartridge) : 0;
  if (drained) return drained;
  while (place->object < object && place->files < files) {
    gt_tap_object next;
    if (place->offset >= cartridge->end.offset) return -ENODATA;
    int error = gt_tap_look(cartridge->fd, cartridge->size, place->offset, &cartridge->window, &next);
    if (error) return error;
    /* It was whole when it was scanned. */
    if (next.kind != GT_TAP_RECORD && next.kind != GT_TAP_MARK) return -EILSEQ;
    if (before_mark && next.kind == GT_TAP_MARK && place->files + 1 == files) return 0;
    move_behind(place, &next);
  }
  return 0;
}

/* Begins at the nearest place known, which may be the head's own. */
static int seek(gt_cartridge *cartridge, const gt_tap_place *from, uint64_t object, uint64_t files, bool before_mark) {
  gt_tap_place place = *from;
  const gt_tap_place *here = &cartridge->here;
  if (here->offset > place.offset && here->object <= object && here->files < files) place = *here;
  int error = walk(cartridge, &place, object, files, before_mark);
  if (!error || error == -ENODATA) cartridge->here = error ? cartridge->end : place;
  return error;
}

int gt_cartridge_seek_object(gt_cartridge *cartridge, uint64_t object) {
  if (object >= cartridge->end.object) {
    cartridge->here = cartridge->end;
    return object == cartridge->end.object ? 0 : -ENODATA;
  }
  return seek(cartridge, gt_tap_index_by_object(&cartridge->index, object), object, UINT64_MAX, false);
}

int gt_cartridge_seek_file(gt_cartridge *cartridge, uint64_t files) {
  if (files > cartridge->end.files) {
    cartridge->here = cartridge->end;
    return -ENODATA;
  }
  if (!files) return gt_cartridge_rewind(cartridge), 0;
  return seek(cartridge, gt_tap_index_by_file(&cartridge->index, files), UINT64_MAX, files, false);
}

int gt_cartridge_seek_before_mark(gt_cartridge *cartridge, uint64_t files) {
  return seek(cartridge, gt_tap_index_by_file(&cartridge->index, files), UINT64_MAX, files, true);
}

void gt_cartridge_rewind(gt_cartridge *cartridge) { cartridge->here = (gt_tap_place){0}; }

uint64_t gt_cartridge_room(const gt_cartridge *cartridge) {
  if (!cartridge->capacity) return UINT64_MAX;
  return cartridge->here.data < cartridge->capacity ? cartridge->capacity - cartridge->here.data : 0;
}

bool gt_cartridge_near_end(const gt_cartridge *cartridge) {
  return cartridge->capacity && cartridge->here.data > cartridge->capacity - cartridge->early_warning;
}

/* Finds the end of data: from where the index can be believed, object by object. What was being written
 * when the writer was killed is no object. It stays where it is until the next write cuts it off. A length word that
 * was damaged looks much the same, and what stands behind it may be somebody's only copy: where a record is found to
 * have been written whole behind it, nobody is told that data ends here. */
static int find_end(gt_cartridge *cartridge) {
  gt_tap_object object;
  gt_tap_place *end = &cartridge->end;
  for (;;) {
    int error = gt_tap_look(cartridge->fd, cartridge->size, end->offset, &cartridge->window, &object);
    if (error) return error;
    if (object.kind != GT_TAP_RECORD && object.kind != GT_TAP_MARK) break;
    move_behind(end, &object);
    gt_tap_index_note(&cartridge->index, end);
  }
  cartridge->damaged = object.kind == GT_TAP_DAMAGED;
  if (object.kind != GT_TAP_TORN) return 0;
  return gt_tap_tail_is_whole(cartridge->fd, cartridge->size, end->offset, &cartridge->window, &cartridge->damaged);
}

static int open_image(gt_cartridge *cartridge, const gt_cartridge_options *options, char *err, size_t err_len) {
  const char *path = options->path;
  struct stat status;
  int flags = (options->write_protected ? O_RDONLY : O_RDWR | O_CREAT) | O_CLOEXEC;
  cartridge->fd = open(path, flags, 0600);
  if (cartridge->fd < 0) return gt_explain(-errno, err, err_len, "cannot open %s: %s", path, strerror(errno));
  if (flock(cartridge->fd, (options->write_protected ? LOCK_SH : LOCK_EX) | LOCK_NB))
    return gt_explain(-EBUSY, err, err_len, "%s is loaded in another drive; unload it there first", path);
  if (fstat(cartridge->fd, &status)) return gt_explain(-errno, err, err_len, "%s: %s", path, strerror(errno));
  if (!S_ISREG(status.st_mode)) return gt_explain(-EINVAL, err, err_len, "%s is not a file", path);
  cartridge->size = (uint64_t)status.st_size;
  /* Whoever made the empty file may have been stopped before its name was on stable storage. */
  int error = !options->write_protected && !cartridge->size ? gt_sync_directory_of(path) : 0;
  if (error) return gt_explain(error, err, err_len, "cannot sync the directory of %s: %s", path, strerror(-error));
  return 0;
}

static void set_limits(gt_cartridge *cartridge, const gt_cartridge_options *options) {
  uint64_t capacity = options->capacity_bytes, warning = options->early_warning_bytes;
  if (!warning) {
    uint64_t least = capacity / 4 < 4u << 20 ? capacity / 4 : 4u << 20;
    warning = capacity / 64 > least ? capacity / 64 : least;
  }
  cartridge->capacity = capacity;
  cartridge->early_warning = warning < capacity ? warning : capacity;
  cartridge->write_protected = options->write_protected;
  cartridge->worm = options->worm;
}

static void discard(gt_cartridge *cartridge) {
  if (cartridge->fd >= 0) close(cartridge->fd);
  if (cartridge->mam) gt_mam_close(cartridge->mam);
  free(cartridge->index_path);
  free(cartridge);
}

int gt_cartridge_open(const gt_cartridge_options *options, gt_cartridge **out, char *err, size_t err_len) {
  gt_cartridge *cartridge = calloc(1, sizeof *cartridge);
  if (!cartridge) return -ENOMEM;
  cartridge->fd = -1;
  cartridge->ahead_at = UINT64_MAX;
  set_limits(cartridge, options);
  int error = asprintf(&cartridge->index_path, "%s.idx", options->path) < 0 ? -ENOMEM : 0;
  if (error) cartridge->index_path = NULL;
  if (!error) error = open_image(cartridge, options, err, err_len);
  if (!error) {
    bool believed = !gt_tap_index_load(&cartridge->index, cartridge->fd, cartridge->index_path, &cartridge->end);
    uint64_t size = cartridge->size;
    cartridge->indexed = cartridge->end.offset;
    error = find_end(cartridge);
    cartridge->index_current = believed && cartridge->end.offset == cartridge->indexed && cartridge->size == size;
    if (error) gt_explain(error, err, err_len, "cannot read %s: %s", options->path, strerror(-error));
  }
  if (!error && !(cartridge->mam = gt_mam_open(options->path, options->write_protected))) error = -ENOMEM;
  if (error) return discard(cartridge), error;
  *out = cartridge;
  return 0;
}

/* A save that fails costs a scan at the next load and nothing else. */
int gt_cartridge_settle(gt_cartridge *cartridge) {
  int error = cartridge->write_protected ? 0 : gt_cartridge_sync(cartridge);
  if (error || cartridge->index_current || cartridge->write_protected) return error;
  if (gt_tap_index_save(&cartridge->index, cartridge->fd, &cartridge->end, cartridge->index_path)) return 0;
  cartridge->indexed = cartridge->end.offset;
  cartridge->index_current = true;
  return 0;
}

int gt_cartridge_close(gt_cartridge *cartridge) {
  int error = gt_cartridge_settle(cartridge);
  discard(cartridge);
  return error;
}
