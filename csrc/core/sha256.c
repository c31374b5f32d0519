#include "sha256.h"

#include <string.h>

enum { BLOCK = 64 };

/* FIPS 180-4 4.2.2. */
static const uint32_t K[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate(uint32_t x, unsigned n) { return x >> n | x << (32 - n); }

static uint32_t load_be(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void store_be(uint8_t *p, uint32_t value) {
  for (int i = 0; i < 4; i++)
    p[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* FIPS 180-4 6.2.2, steps 1 to 4. */
static void compress(uint32_t state[8], const uint8_t *p) {
  uint32_t w[64], v[8];
  for (int t = 0; t < 16; t++)
    w[t] = load_be(p + 4 * t);
  for (int t = 16; t < 64; t++) {
    uint32_t s0 = rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ w[t - 15] >> 3;
    uint32_t s1 = rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ w[t - 2] >> 10;
    w[t] = s1 + w[t - 7] + s0 + w[t - 16];
  }
  memcpy(v, state, sizeof v);
  for (int t = 0; t < 64; t += 8) {
    /* The eight variables change places with each round; after eight rounds they are back. */
#pragma GCC unroll 8
    for (int r = 0; r < 8; r++) {
      uint32_t a = v[-r & 7], b = v[(1 - r) & 7], c = v[(2 - r) & 7], e = v[(4 - r) & 7];
      uint32_t f = v[(5 - r) & 7], g = v[(6 - r) & 7], *d = &v[(3 - r) & 7], *h = &v[(7 - r) & 7];
      uint32_t t1 = *h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) + K[t + r] + w[t + r];
      *d += t1;
      *h = t1 + (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    }
  }
  for (int i = 0; i < 8; i++)
    state[i] += v[i];
}

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

static bool have_hardware(void) {
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1) && __builtin_cpu_supports("sse4.1");
}

/* The instructions keep the state as two vectors, {A,B,E,F} and {C,D,G,H} from the top down, do two rounds
 * each, and make four words of the message schedule from the sixteen before them. */
__attribute__((target("sha,sse4.1"))) static void compress_hardware(uint32_t state[8], const uint8_t *p,
                                                                    size_t blocks) {
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  __m128i dcba = _mm_loadu_si128((const __m128i *)state), hgfe = _mm_loadu_si128((const __m128i *)(state + 4));
  __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1), efgh = _mm_shuffle_epi32(hgfe, 0x1b);
  __m128i abef = _mm_alignr_epi8(cdab, efgh, 8), cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
  for (; blocks; blocks--, p += BLOCK) {
    const __m128i abef_before = abef, cdgh_before = cdgh;
    __m128i w[4];
    for (int i = 0; i < 4; i++)
      w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(p + 16 * i)), swap);
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
      __m128i words = w[i & 3];
      if (i >= 4) {
        __m128i before = w[(i + 3) & 3];
        __m128i seventh = _mm_alignr_epi8(before, w[(i + 2) & 3], 4);
        words = _mm_sha256msg1_epu32(words, w[(i + 1) & 3]);
        words = _mm_sha256msg2_epu32(_mm_add_epi32(words, seventh), before);
        w[i & 3] = words;
      }
      words = _mm_add_epi32(words, _mm_load_si128((const __m128i *)(K + 4 * i)));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, words);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(words, 0x0e));
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }
  __m128i feba = _mm_shuffle_epi32(abef, 0x1b), dchg = _mm_shuffle_epi32(cdgh, 0xb1);
  _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(feba, dchg, 0xf0));
  _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}
#else
static bool have_hardware(void) { return false; }
static void compress_hardware(uint32_t state[8], const uint8_t *p, size_t blocks) {
  for (; blocks; blocks--, p += BLOCK)
    compress(state, p);
}
#endif

static void compress_all(gt_sha256 *sha, const uint8_t *p, size_t blocks) {
  if (sha->hardware) {
    compress_hardware(sha->state, p, blocks);
    return;
  }
  for (; blocks; blocks--, p += BLOCK)
    compress(sha->state, p);
}

void gt_sha256_init(gt_sha256 *sha) {
  /* FIPS 180-4 5.3.3. */
  static const uint32_t initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  memset(sha, 0, sizeof *sha);
  memcpy(sha->state, initial, sizeof initial);
  sha->hardware = have_hardware();
}

void gt_sha256_resume(gt_sha256 *sha, const uint32_t state[8], uint64_t bytes, const uint8_t *tail) {
  gt_sha256_init(sha);
  memcpy(sha->state, state, sizeof sha->state);
  sha->bytes = bytes;
  memcpy(sha->tail, tail, bytes % BLOCK);
}

void gt_sha256_update(gt_sha256 *sha, const void *data, size_t len) {
  const uint8_t *p = data;
  size_t have = sha->bytes % BLOCK;
  sha->bytes += len;
  if (have) {
    size_t take = len < BLOCK - have ? len : BLOCK - have;
    memcpy(sha->tail + have, p, take);
    p += take, len -= take;
    if (have + take < BLOCK) return;
    compress_all(sha, sha->tail, 1);
  }
  compress_all(sha, p, len / BLOCK);
  p += len - len % BLOCK;
  memcpy(sha->tail, p, len % BLOCK);
}

void gt_sha256_digest(const gt_sha256 *sha, uint8_t digest[32]) {
  /* FIPS 180-4 5.1.1: a one bit, zeros, and the length in bits as the last 64 bits of a block. */
  gt_sha256 last = *sha;
  uint8_t padding[2 * BLOCK] = {0x80};
  size_t zeros = (size_t)(BLOCK - (sha->bytes + 9) % BLOCK) % BLOCK, len = 9 + zeros;
  uint64_t bits = sha->bytes * 8;
  store_be(padding + len - 8, (uint32_t)(bits >> 32));
  store_be(padding + len - 4, (uint32_t)bits);
  gt_sha256_update(&last, padding, len);
  for (int i = 0; i < 8; i++)
    store_be(digest + 4 * i, last.state[i]);
}
