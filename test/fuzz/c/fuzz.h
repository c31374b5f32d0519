/* What the fuzz targets of C share: taking an input apart, MUST, and files of their own. A target is one function; what
 * must hold ends the process, and libFuzzer then keeps the input. */
#ifndef FUZZ_H
#define FUZZ_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                                \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      fprintf(stderr, "%s:%d: MUST(%s)\n", __FILE__, __LINE__, #condition);                                            \
      abort();                                                                                                         \
    }                                                                                                                  \
  } while (0)

/* An input that is used up from its beginning; behind its end are zeros. */
typedef struct fuzz_in {
  const uint8_t *at;
  size_t left;
} fuzz_in;

static inline uint8_t fuzz_u8(fuzz_in *in) { return in->left ? (in->left--, *in->at++) : 0; }

static inline uint16_t fuzz_u16(fuzz_in *in) {
  uint16_t high = fuzz_u8(in);
  return (uint16_t)(high << 8 | fuzz_u8(in));
}

static inline uint32_t fuzz_u32(fuzz_in *in) {
  uint32_t high = fuzz_u16(in);
  return high << 16 | fuzz_u16(in);
}

static inline uint64_t fuzz_u64(fuzz_in *in) {
  uint64_t high = fuzz_u32(in);
  return high << 32 | fuzz_u32(in);
}

static inline void fuzz_bytes(fuzz_in *in, uint8_t *out, size_t length) {
  while (length--)
    *out++ = fuzz_u8(in);
}

/* Bytes that depend on a seed alone; seed 0: zeros. */
static inline void fuzz_fill(uint8_t *out, size_t length, uint32_t seed) {
  for (uint32_t x = seed * 2654435761u; length--; x = x * 1664525u + 1013904223u)
    *out++ = seed ? (uint8_t)(x >> 24) : 0;
}

static char fuzz_directory[64];

static inline const char *fuzz_path(const char *name) {
  static char paths[4][128];
  static unsigned turn;
  char *path = paths[turn++ % 4];
  snprintf(path, sizeof paths[0], "%s/%s", fuzz_directory, name);
  return path;
}

static const char *const fuzz_files[] = {"disk",         "tape.tap",         "tape.tap.idx", "tape.tap.idx.tmp",
                                         "tape.tap.mam", "tape.tap.mam.new", "file"};

static inline void fuzz_clean(void) {
  for (size_t i = 0; i < sizeof fuzz_files / sizeof *fuzz_files; i++)
    unlink(fuzz_path(fuzz_files[i]));
  rmdir(fuzz_directory);
}

/* A directory of this process in memory, made once; a crash leaves it. */
static inline void fuzz_place(void) {
  if (fuzz_directory[0]) return;
  snprintf(fuzz_directory, sizeof fuzz_directory, "/dev/shm/gantry-fuzz-XXXXXX");
  MUST(mkdtemp(fuzz_directory));
  atexit(fuzz_clean);
}

static inline void fuzz_write(const char *name, const uint8_t *data, size_t size) {
  int fd = open(fuzz_path(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size);
  close(fd);
}

#endif
