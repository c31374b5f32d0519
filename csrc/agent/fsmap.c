/* gantry-fsmap: command line, and the records that its commands speak (fsmap.h). */
#include "fsmap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char usage[] =
    "usage: gantry-fsmap map [--stat-only]   paths, each ended by NUL, on stdin; records on stdout\n"
    "       gantry-fsmap settle              pairs PATH NUL MTIME NUL on stdin (nanoseconds since 1970, or -)\n"
    "       gantry-fsmap freeze MOUNTPOINT --watchdog-ms N\n"
    "                                        holds the file system frozen until stdin ends\n"
    "       gantry-fsmap thaw MOUNTPOINT     by hand, when somebody else left it frozen\n"
    "exit codes: 0 done, 1 failed, 2 usage, 3 thawed before it was asked to\n";

int gt_next_string(char *buffer, size_t room) {
  size_t length = 0;
  int c;
  while ((c = getc_unlocked(stdin)) != EOF) {
    if (length == room) return -E2BIG;
    buffer[length++] = (char)c;
    if (c == 0) return 1;
  }
  if (ferror(stdin)) return -EIO;
  return length == 0 ? 0 : -EINVAL;
}

int gt_put(uint32_t kind, const void *payload, size_t payload_len, const void *tail, size_t tail_len) {
  static const char zeros[8] = {0};
  size_t padding = (8 - (payload_len + tail_len) % 8) % 8;
  gt_record header = {kind, (uint32_t)(payload_len + tail_len + padding)};
  if (fwrite(&header, sizeof header, 1, stdout) != 1 || fwrite(payload, 1, payload_len, stdout) != payload_len ||
      fwrite(tail, 1, tail_len, stdout) != tail_len || fwrite(zeros, 1, padding, stdout) != padding)
    return -EPIPE;
  return 0;
}

int gt_put_error(uint64_t index, int error, const char *what) {
  char text[256];
  int length = snprintf(text, sizeof text, "%s: %s", what, strerror(error));
  if (length < 0) length = 0;
  if ((size_t)length >= sizeof text) length = sizeof text - 1;
  gt_node_error record = {index, error, (uint32_t)length};
  return gt_put(GT_RECORD_ERROR, &record, sizeof record, text, (size_t)length);
}

int gt_put_done(uint64_t count) {
  int error = gt_put(GT_RECORD_DONE, &count, sizeof count, "", 0);
  if (error) return error;
  return fflush(stdout) == 0 ? 0 : -EPIPE;
}

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
  } commands[] = {{"map", gt_map_main}, {"settle", gt_settle_main}, {"freeze", gt_freeze_main}, {"thaw", gt_thaw_main}};
  for (size_t i = 0; argc >= 2 && i < sizeof commands / sizeof *commands; i++) {
    if (strcmp(argv[1], commands[i].name) != 0) continue;
    int code = commands[i].run(argc - 2, argv + 2);
    if (code != 2) return code;
  }
  fputs(usage, stderr);
  return 2;
}
