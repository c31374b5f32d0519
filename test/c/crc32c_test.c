#include "core/crc32c.h"

#include <stdint.h>
#include <time.h>

#include "check.h"

static uint64_t next_random(uint64_t *seed) {
  *seed ^= *seed << 13, *seed ^= *seed >> 7, *seed ^= *seed << 17;
  return *seed;
}

static void vectors(void) {
  TEST("the vectors of RFC 3720 B.4 and the check value of the polynomial");
  uint8_t bytes[48];
  memset(bytes, 0, 32);
  CHECK_EQ(gt_crc32c(0, bytes, 32), 0x8a9136aa);
  memset(bytes, 0xff, 32);
  CHECK_EQ(gt_crc32c(0, bytes, 32), 0x62a8ab43);
  for (int i = 0; i < 32; i++)
    bytes[i] = (uint8_t)i;
  CHECK_EQ(gt_crc32c(0, bytes, 32), 0x46dd794e);
  for (int i = 0; i < 32; i++)
    bytes[i] = (uint8_t)(31 - i);
  CHECK_EQ(gt_crc32c(0, bytes, 32), 0x113fdb5c);
  const uint8_t read10[48] = {0x01, 0xc0, 0, 0, 0, 0, 0,    0, 0, 0, 0,    0,    0, 0, 0, 0, 0x14, 0, 0, 0,   0,
                              0,    0x04, 0, 0, 0, 0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0,    0, 0, 0x02};
  CHECK_EQ(gt_crc32c(0, read10, 48), 0xd9963a56);
  CHECK_EQ(gt_crc32c(0, "123456789", 9), 0xe3069283);
  CHECK_EQ(gt_crc32c_portable(0, "123456789", 9), 0xe3069283);
  CHECK_EQ(gt_crc32c(0, "", 0), 0);
}

static void agreement(uint8_t *data, size_t size) {
  TEST("hardware and portable agree at every length to 2000, at every alignment, and around the stretches");
  for (size_t len = 0; len <= 2000; len++) {
    size_t at = len % 17;
    CHECK_EQ(gt_crc32c(0, data + at, len), gt_crc32c_portable(0, data + at, len));
  }
  for (size_t len = 12288 - 9; len <= 12288 + 800; len += 7)
    CHECK_EQ(gt_crc32c(7, data + 3, len), gt_crc32c_portable(7, data + 3, len));
  CHECK_EQ(gt_crc32c(0, data, size), gt_crc32c_portable(0, data, size));
}

static void pieces(const uint8_t *data, size_t size) {
  TEST("in pieces, by going on and by combining, gives the value of the whole");
  uint64_t seed = 88172645463325252u;
  for (int round = 0; round < 2000; round++) {
    size_t len = next_random(&seed) % (round % 100 ? 4096 : size), cut = len ? next_random(&seed) % len : 0;
    uint32_t whole = gt_crc32c(0, data, len), a = gt_crc32c(0, data, cut), b = gt_crc32c(0, data + cut, len - cut);
    CHECK_EQ(gt_crc32c(a, data + cut, len - cut), whole);
    CHECK_EQ(gt_crc32c_combine(a, b, len - cut), whole);
    CHECK_EQ(gt_crc32c_combine_portable(a, b, len - cut), whole);
  }
}

static void far_apart(void) {
  TEST("combining over lengths past 2^32 agrees with doing it in halves");
  for (int bit = 31; bit < 63; bit++) {
    uint64_t half = 1ull << bit;
    uint32_t once = gt_crc32c_combine(0x12345678, 0, 2 * half - 2);
    uint32_t twice = gt_crc32c_combine(gt_crc32c_combine(0x12345678, 0, half - 1), 0, half - 1);
    CHECK_EQ(once, twice);
    CHECK_EQ(once, gt_crc32c_combine_portable(0x12345678, 0, 2 * half - 2));
  }
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* A figure for people, never judged: crc32c_test bench. */
static void bench(const uint8_t *data, size_t size) {
  double start = seconds();
  uint32_t sum = 0;
  for (int i = 0; i < 2000; i++)
    sum += gt_crc32c(sum, data, size);
  double hard = seconds();
  for (int i = 0; i < 100; i++)
    sum += gt_crc32c_portable(sum, data, size);
  double soft = seconds();
  for (int i = 0; i < 1000000; i++)
    sum += gt_crc32c_combine(sum, (uint32_t)i, 65536u - 512u * (i % 64));
  double combined = seconds();
  printf("crc32c %.1f GB/s, portable %.2f GB/s, combine %.0f ns (%08x)\n", 2e-6 * (double)size / (hard - start),
         1e-7 * (double)size / (soft - hard), (combined - soft) * 1e3, sum);
}

int main(int argc, char **argv) {
  size_t size = 1 << 18;
  uint8_t *data = malloc(size + 32);
  uint64_t seed = 42;
  for (size_t i = 0; i < size + 32; i++)
    data[i] = (uint8_t)next_random(&seed);
  vectors();
  agreement(data, size);
  pieces(data, size);
  far_apart();
  if (argc > 1 && !strcmp(argv[1], "bench")) bench(data, size);
  free(data);
  return check_end();
}
