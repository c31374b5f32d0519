#include "crc32c.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

enum { POLYNOMIAL_CYCLE = 31 };

/* In the reflected notation bit 31 is x^0. The CRC of a message shifted by n bytes is the CRC times x^8n
 * modulo P. Squaring goes round: x^(2^31) = x, so 31 powers serve every length. */
static const uint32_t powers[POLYNOMIAL_CYCLE] = {
    0x40000000, 0x20000000, 0x08000000, 0x00800000, 0x00008000, 0x82f63b78, 0x6ea2d55c, 0x18b8ea18,
    0x510ac59a, 0xb82be955, 0xb8fdb1e7, 0x88e56f72, 0x74c360a4, 0xe4172b16, 0x0d65762a, 0x35d73a62,
    0x28461564, 0xbf455269, 0xe2ea32dc, 0xfe7740e6, 0xf946610b, 0x3c204f8f, 0x538586e3, 0x59726915,
    0x734d5309, 0xbc1ac763, 0x7d0722cc, 0xd289cabe, 0xe94ca9bc, 0x05b74f3f, 0xa51e1f42};

/* Slicing by eight: row k, column b is the CRC of the byte 1 << b followed by k zero bytes. A CRC is linear,
 * so every other entry of a table is a sum of these; the compiler does the sums. */
#define E(n, k0, k1, k2, k3, k4, k5, k6, k7)                                                                           \
  (((n)&1 ? k0 : 0u) ^ ((n)&2 ? k1 : 0u) ^ ((n)&4 ? k2 : 0u) ^ ((n)&8 ? k3 : 0u) ^ ((n)&16 ? k4 : 0u) ^                \
   ((n)&32 ? k5 : 0u) ^ ((n)&64 ? k6 : 0u) ^ ((n)&128 ? k7 : 0u))
#define E4(n, ...) E(n, __VA_ARGS__), E((n) + 1, __VA_ARGS__), E((n) + 2, __VA_ARGS__), E((n) + 3, __VA_ARGS__)
#define E16(n, ...) E4(n, __VA_ARGS__), E4((n) + 4, __VA_ARGS__), E4((n) + 8, __VA_ARGS__), E4((n) + 12, __VA_ARGS__)
#define E64(n, ...)                                                                                                    \
  E16(n, __VA_ARGS__), E16((n) + 16, __VA_ARGS__), E16((n) + 32, __VA_ARGS__), E16((n) + 48, __VA_ARGS__)
#define ROW(...)                                                                                                       \
  { E64(0, __VA_ARGS__), E64(64, __VA_ARGS__), E64(128, __VA_ARGS__), E64(192, __VA_ARGS__) }

static const uint32_t slices[8][256] = {
    ROW(0xf26b8303, 0xe13b70f7, 0xc79a971f, 0x8ad958cf, 0x105ec76f, 0x20bd8ede, 0x417b1dbc, 0x82f63b78),
    ROW(0x13a29877, 0x274530ee, 0x4e8a61dc, 0x9d14c3b8, 0x3fc5f181, 0x7f8be302, 0xff17c604, 0xfbc3faf9),
    ROW(0xa541927e, 0x4f6f520d, 0x9edea41a, 0x38513ec5, 0x70a27d8a, 0xe144fb14, 0xc76580d9, 0x8b277743),
    ROW(0xdd45aab8, 0xbf672381, 0x7b2231f3, 0xf64463e6, 0xe964b13d, 0xd725148b, 0xaba65fe7, 0x52a0c93f),
    ROW(0x38116fac, 0x7022df58, 0xe045beb0, 0xc5670b91, 0x8f2261d3, 0x1ba8b557, 0x37516aae, 0x6ea2d55c),
    ROW(0xef306b19, 0xdb8ca0c3, 0xb2f53777, 0x6006181f, 0xc00c303e, 0x85f4168d, 0x0e045beb, 0x1c08b7d6),
    ROW(0x68032cc8, 0xd0065990, 0xa5e0c5d1, 0x4e2dfd53, 0x9c5bfaa6, 0x3d5b83bd, 0x7ab7077a, 0xf56e0ef4),
    ROW(0x493c7d27, 0x9278fa4e, 0x211d826d, 0x423b04da, 0x847609b4, 0x0d006599, 0x1a00cb32, 0x34019664)};

static uint32_t step(uint32_t crc, uint8_t byte) { return (crc >> 8) ^ slices[0][(crc ^ byte) & 0xff]; }

uint32_t gt_crc32c_portable(uint32_t crc, const void *data, size_t len) {
  const uint8_t *p = data;
  crc = ~crc;
  for (; len >= 8; p += 8, len -= 8) {
    uint32_t lo = crc ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
    crc = slices[7][lo & 0xff] ^ slices[6][lo >> 8 & 0xff] ^ slices[5][lo >> 16 & 0xff] ^ slices[4][lo >> 24] ^
          slices[3][p[4]] ^ slices[2][p[5]] ^ slices[1][p[6]] ^ slices[0][p[7]];
  }
  while (len--)
    crc = step(crc, *p++);
  return ~crc;
}

/* a × b modulo P, bit by bit. */
static uint32_t multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (uint32_t bit = 1u << 31; bit; bit >>= 1) {
    if (a & bit) product ^= b;
    b = (b >> 1) ^ (b & 1 ? powers[5] : 0);
  }
  return product;
}

uint32_t gt_crc32c_combine_portable(uint32_t a, uint32_t b, uint64_t b_len) {
  for (unsigned k = 3; b_len; k = k + 1 == POLYNOMIAL_CYCLE ? 0 : k + 1, b_len >>= 1) {
    if (b_len & 1) a = multiply(a, powers[k]);
  }
  return a ^ b;
}

#if defined(__x86_64__)
#include <immintrin.h>

#define HARDWARE __attribute__((target("sse4.2,pclmul")))

/* The instruction takes three cycles and a new one can start each cycle, so three stretches are worked on at
 * once and their CRCs joined by the constants for twice and once the stretch. */
enum { LONG_STRETCH = 4096, SHORT_STRETCH = 256 };

/* x^(2^k - 33): a carry-less product of two reflected values is one bit short, and the crc32 instruction
 * that reduces it multiplies by x^32. */
static const uint32_t reduced_powers[POLYNOMIAL_CYCLE] = {
    0xd610d67e, 0x6b086b3f, 0xd94f3c0b, 0xbf818109, 0x780d5a4d, 0x05ec76f1, 0x00000001, 0x493c7d27,
    0xba4fc28e, 0x9e4addf8, 0x0d3b6092, 0xb9e02b86, 0xdd7e3b0c, 0x170076fa, 0xa51b6135, 0x82f89c77,
    0x54a86326, 0x1dc403cc, 0x5ae703ab, 0xc5013a36, 0xac2ac6dd, 0x9b4615a9, 0x688d1c61, 0xf6af14e6,
    0xb6ffe386, 0xb717425b, 0x478b0d30, 0x54cc62e5, 0x7b2102ee, 0x8a99adef, 0xa7568c8f};

HARDWARE static inline uint64_t load64(const uint8_t *p) {
  uint64_t value;
  memcpy(&value, p, sizeof value);
  return value;
}

HARDWARE static inline uint32_t shift(uint32_t crc, uint32_t power) {
  __m128i product = _mm_clmulepi64_si128(_mm_cvtsi32_si128((int)crc), _mm_cvtsi32_si128((int)power), 0);
  return (uint32_t)_mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

/* Index into reduced_powers of x^(8n - 33) for n a power of two: 3 + log2 n. */
HARDWARE static inline uint32_t three_stretches(uint32_t crc, const uint8_t *p, size_t stretch, unsigned power) {
  uint64_t c0 = crc, c1 = 0, c2 = 0;
  for (size_t i = 0; i < stretch; i += 8) {
    c0 = _mm_crc32_u64(c0, load64(p + i));
    c1 = _mm_crc32_u64(c1, load64(p + stretch + i));
    c2 = _mm_crc32_u64(c2, load64(p + 2 * stretch + i));
  }
  return shift((uint32_t)c0, reduced_powers[power + 1]) ^ shift((uint32_t)c1, reduced_powers[power]) ^ (uint32_t)c2;
}

HARDWARE static uint32_t crc32c_hardware(uint32_t crc, const uint8_t *p, size_t len) {
  crc = ~crc;
  for (; len >= 3 * LONG_STRETCH; p += 3 * LONG_STRETCH, len -= 3 * LONG_STRETCH)
    crc = three_stretches(crc, p, LONG_STRETCH, 3 + 12);
  for (; len >= 3 * SHORT_STRETCH; p += 3 * SHORT_STRETCH, len -= 3 * SHORT_STRETCH)
    crc = three_stretches(crc, p, SHORT_STRETCH, 3 + 8);
  uint64_t wide = crc;
  for (; len >= 8; p += 8, len -= 8)
    wide = _mm_crc32_u64(wide, load64(p));
  crc = (uint32_t)wide;
  while (len--)
    crc = _mm_crc32_u8(crc, *p++);
  return ~crc;
}

HARDWARE static uint32_t combine_hardware(uint32_t a, uint32_t b, uint64_t b_len) {
  for (unsigned k = 3; b_len; k = k + 1 == POLYNOMIAL_CYCLE ? 0 : k + 1, b_len >>= 1) {
    if (b_len & 1) a = shift(a, reduced_powers[k]);
  }
  return a ^ b;
}

static bool have_hardware(void) { return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul"); }

enum { UNKNOWN, INSTRUCTION, TABLES };
enum { TRIAL_BYTES = 4096, TRIALS = 3 };

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

typedef uint32_t crc_function(uint32_t crc, const uint8_t *data, size_t len);
static uint32_t crc32c_tables(uint32_t crc, const uint8_t *data, size_t len) {
  return gt_crc32c_portable(crc, data, len);
}

/* The shortest of several, so that an interruption does not count. */
static uint64_t trial_ns(crc_function *function, const uint8_t *data) {
  uint64_t best = UINT64_MAX;
  for (int i = 0; i < TRIALS; i++) {
    uint64_t begin = now_ns();
    volatile uint32_t crc = function(0, data, TRIAL_BYTES);
    (void)crc;
    uint64_t took = now_ns() - begin;
    if (took < best) best = took;
  }
  return best;
}

/* An emulated processor has the instruction too, but works it out bit by bit, five times slower than the tables. So
 * both are tried, once; which one is taken changes no result, and who comes meanwhile tries as well. What is kept is a
 * fact of the processor, as what __builtin_cpu_supports keeps. */
static int choose(void) {
  static _Atomic int chosen = UNKNOWN;
  int choice = atomic_load_explicit(&chosen, memory_order_relaxed);
  if (choice != UNKNOWN) return choice;
  choice = TABLES;
  if (have_hardware()) {
    uint8_t data[TRIAL_BYTES] = {0};
    if (trial_ns(crc32c_hardware, data) <= trial_ns(crc32c_tables, data)) choice = INSTRUCTION;
  }
  atomic_store_explicit(&chosen, choice, memory_order_relaxed);
  return choice;
}

uint32_t gt_crc32c(uint32_t crc, const void *data, size_t len) {
  return choose() == INSTRUCTION ? crc32c_hardware(crc, data, len) : gt_crc32c_portable(crc, data, len);
}

uint32_t gt_crc32c_combine(uint32_t a, uint32_t b, uint64_t b_len) {
  return choose() == INSTRUCTION ? combine_hardware(a, b, b_len) : gt_crc32c_combine_portable(a, b, b_len);
}

#else

uint32_t gt_crc32c(uint32_t crc, const void *data, size_t len) { return gt_crc32c_portable(crc, data, len); }

uint32_t gt_crc32c_combine(uint32_t a, uint32_t b, uint64_t b_len) { return gt_crc32c_combine_portable(a, b, b_len); }

#endif
