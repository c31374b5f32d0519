/* A cartridge that anybody may have made: an image of any bytes, then its index with any of them changed. The objects
 * of the image are those that a second, plainer reader finds; an index that lies costs the right place, and nothing
 * else. Input: bytes of the image up to 2 * the first two, then what is done with it. */
#include <errno.h>

#include "core/bytes.h"
#include "core/crc32c.h"
#include "device/cartridge.h"
#include "fuzz.h"

enum { OBJECTS = 2048, IMAGE = 6000 };

typedef struct object {
  bool mark, bad;
  uint32_t length;
  const uint8_t *data;
} object;

/* SIMH Magtape Representation and Handling, read from memory: objects up to whatever is none. */
static size_t read_plainly(const uint8_t *image, size_t size, object *out) {
  size_t count = 0;
  for (size_t at = 0; size - at >= 4;) {
    uint32_t word = gt_load_le32(image + at), class = word >> 28, length = word & 0x0FFFFFFF;
    size_t whole = 8 + (size_t)length + (length & 1);
    if (word == 0xFFFFFFFFu) break;
    if (word == 0xFFFEFFFFu) {
      at += 2;
    } else if (word == 0) {
      out[count++] = (object){.mark = true};
      at += 4;
    } else if (class == 7 || (class == 15 && word < 0xFFFE0000u) || word == GT_TAP_GAP ||
               (class == 15 && word > 0xFFFEFFFFu)) {
      at += 4;
    } else if (class == 15 || whole > size - at || gt_load_le32(image + at + whole - 4) != word) {
      break;
    } else {
      if (class == 0 || class == 8)
        out[count++] = (object){.bad = class == 8, .length = length, .data = image + at + 4};
      at += whole;
    }
  }
  return count;
}

static gt_cartridge *load(bool write_protected) {
  gt_cartridge_options options = {.path = fuzz_path("tape.tap"), .write_protected = write_protected};
  gt_cartridge *cartridge = NULL;
  MUST(gt_cartridge_open(&options, &cartridge, NULL, 0) == 0);
  return cartridge;
}

/* Reads what is in front of the head; false: no object. */
static bool step(gt_cartridge *cartridge, const object *want, uint64_t room) {
  gt_tap_object got;
  if (gt_cartridge_look(cartridge, &got)) return false;
  if (got.kind == GT_TAP_MARK) {
    if (want) MUST(want->mark);
    return gt_cartridge_pass(cartridge, &got), true;
  }
  if (got.kind != GT_TAP_RECORD) return false;
  if (room > got.length) room = got.length;
  uint8_t *data = malloc(room + 1);
  int error = gt_cartridge_read(cartridge, &got, data, room);
  if (want) MUST(!error && !want->mark && got.length == want->length && got.bad == want->bad);
  if (want && room) MUST(memcmp(data, want->data, room) == 0);
  free(data);
  return !error;
}

static void check_all(gt_cartridge *cartridge, const object *objects, size_t count, uint64_t room) {
  MUST(cartridge->end.object == count);
  gt_cartridge_rewind(cartridge);
  for (size_t i = 0; i < count; i++)
    MUST(step(cartridge, &objects[i], room));
  MUST(!step(cartridge, NULL, 0) && cartridge->here.object == count);
}

static void check_seeks(gt_cartridge *cartridge, fuzz_in *in, const object *objects, size_t count) {
  for (int i = 0; i < 6; i++) {
    size_t at = fuzz_u16(in) % (count + 2), files = 0, before = 0;
    int error = gt_cartridge_seek_object(cartridge, at);
    MUST(error == (at > count ? -ENODATA : 0) && cartridge->here.object == (at > count ? count : at));
    if (at < count) MUST(step(cartridge, &objects[at], UINT64_MAX));
    for (size_t j = 0; j < at && j < count; j++)
      files += objects[j].mark;
    if (!files) continue;
    MUST(gt_cartridge_seek_file(cartridge, files) == 0 && cartridge->here.files == files);
    for (size_t j = 0; j < cartridge->here.object; j++)
      before += objects[j].mark;
    MUST(before == files && objects[cartridge->here.object - 1].mark);
    MUST(gt_cartridge_seek_before_mark(cartridge, files) == 0 && objects[cartridge->here.object].mark);
  }
}

/* Changes bytes of the index and makes its own checksum right again: somebody means harm. */
static void tamper(fuzz_in *in) {
  static uint8_t index[1 << 16];
  int fd = open(fuzz_path("tape.tap.idx"), O_RDONLY | O_CLOEXEC);
  ssize_t size = fd < 0 ? 0 : read(fd, index, sizeof index);
  if (fd >= 0) close(fd);
  if (size < 8) return;
  for (int i = fuzz_u8(in) % 8; i--;) {
    size_t at = fuzz_u16(in) % (size_t)(size - 4);
    uint8_t how = fuzz_u8(in);
    /* The checksum of the samples stays: it is made right by not looking where they were taken. */
    if (at < 56 || at >= 60) index[at] = how;
  }
  if (!(fuzz_u8(in) & 7)) size -= fuzz_u8(in) % size;
  if (size >= 4) gt_store_le32(index + size - 4, gt_crc32c(0, index, (size_t)size - 4));
  fuzz_write("tape.tap.idx", index, (size_t)size);
}

/* Everything a drive may do with a cartridge that it has been told lies about. */
static void wander(gt_cartridge *cartridge, fuzz_in *in) {
  for (int i = 0; i < 12; i++) {
    uint8_t what = fuzz_u8(in);
    uint64_t number = what & 0x80 ? fuzz_u64(in) : fuzz_u8(in);
    switch (what % 6) {
    case 0: gt_cartridge_seek_object(cartridge, number); break;
    case 1: gt_cartridge_seek_file(cartridge, number); break;
    case 2:
      if (cartridge->here.files) gt_cartridge_seek_before_mark(cartridge, cartridge->here.files);
      break;
    case 3: gt_cartridge_rewind(cartridge); break;
    default: step(cartridge, NULL, number);
    }
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static object objects[OBJECTS + 1];
  static const uint8_t block[3] = "new";
  fuzz_in in = {data, size};
  fuzz_place();
  size_t length = fuzz_u16(&in) % IMAGE;
  if (length > in.left) length = in.left;
  const uint8_t *image = in.at;
  in.at += length, in.left -= length;
  size_t count = read_plainly(image, length, objects);
  uint8_t how = fuzz_u8(&in);
  unlink(fuzz_path("tape.tap.idx"));
  fuzz_write("tape.tap", image, length);
  if (how & 1) fuzz_write("tape.tap.idx", in.at, in.left);
  gt_cartridge *cartridge = load(how & 2);
  check_all(cartridge, objects, count, how & 4 ? 5 : UINT64_MAX);
  check_seeks(cartridge, &in, objects, count);
  gt_cartridge_close(cartridge);
  cartridge = load(how & 2);
  check_all(cartridge, objects, count, UINT64_MAX);
  if (how & 8 && !(how & 2)) {
    /* Something new in the middle: what was before it is as it was, and nothing is behind it. */
    size_t at = fuzz_u16(&in) % (count + 1);
    uint32_t written;
    MUST(gt_cartridge_seek_object(cartridge, at) == 0);
    MUST(gt_cartridge_write(cartridge, block, sizeof block, 1, &written) == 0 && written == 1);
    objects[at] = (object){.length = sizeof block, .data = block};
    count = at + 1;
    check_all(cartridge, objects, count, UINT64_MAX);
    gt_cartridge_close(cartridge);
    cartridge = load(false);
    check_all(cartridge, objects, count, UINT64_MAX);
  }
  gt_cartridge_close(cartridge);
  if (!(how & 0x10)) return 0;
  tamper(&in);
  cartridge = load(how & 2);
  wander(cartridge, &in);
  gt_cartridge_close(cartridge);
  return 0;
}
