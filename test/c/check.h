/* The C tests' whole framework: CHECK prints where and what, and the test goes on, so that one run shows
 * every failure; main ends with `return check_end();`. A TEST prints its name, which is the specification. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Some tests check on several threads. */
static _Atomic int check_failures, check_count;

#define CHECK(condition)                                                                                               \
  do {                                                                                                                 \
    check_count++;                                                                                                     \
    if (!(condition)) {                                                                                                \
      check_failures++;                                                                                                \
      fprintf(stderr, "%s:%d: CHECK(%s) failed\n", __FILE__, __LINE__, #condition);                                    \
    }                                                                                                                  \
  } while (0)

#define CHECK_EQ(got, want)                                                                                            \
  do {                                                                                                                 \
    long long got_ = (long long)(got), want_ = (long long)(want);                                                      \
    check_count++;                                                                                                     \
    if (got_ != want_) {                                                                                               \
      check_failures++;                                                                                                \
      fprintf(stderr, "%s:%d: %s is %lld (0x%llx), not %lld (0x%llx)\n", __FILE__, __LINE__, #got, got_,               \
              (unsigned long long)got_, want_, (unsigned long long)want_);                                             \
    }                                                                                                                  \
  } while (0)

#define TEST(name) printf("%s\n", name)

static inline int check_end(void) {
  printf("%d checks, %d failed\n", check_count, check_failures);
  return check_failures || !check_count ? 1 : 0;
}

#endif
