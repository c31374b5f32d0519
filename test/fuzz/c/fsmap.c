/* gantry-fsmap map: any paths on stdin, and a kernel that answers FIEMAP with anything. What comes out is whole records
 * in order, and the extents move forward. The program's own sources are compiled into the target. */
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "fuzz.h"

static fuzz_in kernel;

static int fuzz_ioctl(int fd, unsigned long request, void *argument) {
  (void)fd;
  if (request == FS_IOC_GETFLAGS) return *(int *)argument = fuzz_u8(&kernel), 0;
  if (request != FS_IOC_FIEMAP) return -1;
  struct fiemap *map = argument;
  uint8_t shape = fuzz_u8(&kernel);
  if (!kernel.left) return map->fm_mapped_extents = 0, 0;
  map->fm_mapped_extents = shape & 0x80 ? fuzz_u32(&kernel) : shape & 0x07;
  for (uint32_t i = 0; i < map->fm_mapped_extents && i < map->fm_extent_count; i++) {
    uint64_t next = i ? map->fm_extents[i - 1].fe_logical + map->fm_extents[i - 1].fe_length : map->fm_start;
    struct fiemap_extent *e = &map->fm_extents[i];
    *e = (struct fiemap_extent){.fe_logical = shape & 0x40 ? fuzz_u64(&kernel) : next + fuzz_u8(&kernel),
                                .fe_physical = fuzz_u32(&kernel),
                                .fe_length = shape & 0x20 ? fuzz_u64(&kernel) : fuzz_u8(&kernel),
                                .fe_flags = fuzz_u8(&kernel) & 0x0F};
  }
  return 0;
}

/* What the tree is built with, gcc, takes it; so does this clang, with a warning. */
#pragma clang diagnostic ignored "-Wgnu-variable-sized-type-not-at-end"
#define ioctl(fd, request, argument) fuzz_ioctl(fd, request, argument)
#define main fsmap_main
#include "../../../csrc/agent/fsmap.c"
#include "../../../csrc/agent/map.c"
#undef main
#undef ioctl

int gt_settle_main(int argc, char **argv) { return (void)argc, (void)argv, 1; }
int gt_freeze_main(int argc, char **argv) { return (void)argc, (void)argv, 1; }
int gt_thaw_main(int argc, char **argv) { return (void)argc, (void)argv, 1; }

/* One record after the other, as the agent reads them. Returns whether DONE was the last. */
static bool check_records(const char *out, size_t length) {
  uint64_t index = 0, from = 0;
  bool open = false, done = false;
  for (size_t at = 0; at < length;) {
    gt_record header;
    MUST(!done && length - at >= sizeof header);
    memcpy(&header, out + at, sizeof header);
    at += sizeof header;
    MUST(header.bytes % 8 == 0 && header.bytes <= length - at);
    if (header.kind == GT_RECORD_NODE) {
      gt_node node;
      MUST(!open && header.bytes >= sizeof node);
      memcpy(&node, out + at, sizeof node);
      MUST(node.index == index && node.link_bytes <= header.bytes - sizeof node);
      open = true, from = 0;
    } else if (header.kind == GT_RECORD_EXTENTS) {
      MUST(open && header.bytes % sizeof(gt_node_extent) == 0);
      for (size_t i = 0; i < header.bytes; i += sizeof(gt_node_extent)) {
        gt_node_extent extent;
        memcpy(&extent, out + at + i, sizeof extent);
        MUST(extent.length && extent.logical + extent.length > from);
        from = extent.logical + extent.length;
      }
    } else if (header.kind == GT_RECORD_END || header.kind == GT_RECORD_ERROR) {
      MUST(header.kind == GT_RECORD_ERROR || open);
      open = false, index++;
    } else {
      uint64_t count;
      MUST(header.kind == GT_RECORD_DONE && !open && header.bytes == sizeof count);
      memcpy(&count, out + at, sizeof count);
      MUST(count == index);
      done = true;
    }
    at += header.bytes;
  }
  return done;
}

/* Input: how long the paths are (2 bytes), the paths, then what the kernel says. "F" stands for a file that is there.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_in in = {data, size};
  fuzz_place();
  fuzz_write("file", (const uint8_t *)"x", 1);
  size_t length = fuzz_u16(&in);
  if (length > in.left) length = in.left;
  kernel = (fuzz_in){in.at + length, in.left - length};
  char *paths = NULL, *out = NULL;
  size_t paths_length = 0, out_length = 0;
  FILE *text = open_memstream(&paths, &paths_length), *ours[2] = {stdin, stdout};
  for (size_t i = 0; i < length; i++) {
    if (in.at[i] == 'F')
      fputs(fuzz_path("file"), text);
    else
      fputc(in.at[i], text);
  }
  fputc(0, text); /* fmemopen takes no empty buffer; the input may still end inside a string */
  fclose(text);
  stdin = fmemopen(paths, paths_length - (length && in.at[length - 1] ? 1 : 0), "r");
  stdout = open_memstream(&out, &out_length);
  char *arguments[] = {"map", NULL};
  int code = stdin ? gt_map_main(0, arguments + 1) : 1;
  fclose(stdout);
  if (stdin) fclose(stdin);
  stdin = ours[0], stdout = ours[1];
  MUST(check_records(out, out_length) == (code == 0));
  free(paths);
  free(out);
  return 0;
}
