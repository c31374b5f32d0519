#include "core/sha256.h"

#include <time.h>

#include "check.h"

static void hex(const uint8_t digest[32], char out[65]) {
  for (int i = 0; i < 32; i++)
    sprintf(out + 2 * i, "%02x", digest[i]);
}

static void of(const void *data, size_t len, bool hardware, char out[65]) {
  gt_sha256 sha;
  uint8_t digest[32];
  gt_sha256_init(&sha);
  sha.hardware = sha.hardware && hardware;
  gt_sha256_update(&sha, data, len);
  gt_sha256_digest(&sha, digest);
  hex(digest, out);
}

static void vectors(bool hardware) {
  printf("the vectors of FIPS 180-2 appendix B, %s\n", hardware ? "as the processor can" : "portable");
  static const struct {
    const char *text, *digest;
  } rows[] = {
      {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
      {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
      {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
       "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
  };
  char out[65];
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    of(rows[i].text, strlen(rows[i].text), hardware, out);
    CHECK(!strcmp(out, rows[i].digest));
  }
  char *million = malloc(1000000);
  memset(million, 'a', 1000000);
  of(million, 1000000, hardware, out);
  CHECK(!strcmp(out, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"));
  free(million);
}

static void lengths(const uint8_t *data) {
  TEST("hardware and portable agree at every length to 300");
  for (size_t len = 0; len <= 300; len++) {
    char a[65], b[65];
    of(data, len, true, a);
    of(data, len, false, b);
    CHECK(!strcmp(a, b));
  }
}

static void resume(const uint8_t *data) {
  TEST("a state stored after any byte and gone on with gives the digest of the whole");
  char want[65], got[65];
  uint8_t digest[32];
  of(data, 300, false, want);
  for (size_t cut = 0; cut <= 300; cut++) {
    gt_sha256 first, second;
    gt_sha256_init(&first);
    for (size_t at = 0; at < cut; at += 7)
      gt_sha256_update(&first, data + at, cut - at < 7 ? cut - at : 7);
    gt_sha256_digest(&first, digest);
    gt_sha256_resume(&second, first.state, first.bytes, first.tail);
    gt_sha256_update(&second, data + cut, 300 - cut);
    gt_sha256_digest(&second, digest);
    hex(digest, got);
    CHECK(!strcmp(got, want));
  }
}

static void bench(void) {
  size_t size = 1 << 20;
  uint8_t *data = calloc(1, size);
  char out[65];
  for (int hardware = 0; hardware < 2; hardware++) {
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < 200; i++)
      of(data, size, hardware, out);
    clock_gettime(CLOCK_MONOTONIC, &b);
    double seconds = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
    printf("sha256 %s %.2f GB/s\n", hardware ? "hardware" : "portable", 200e-9 * (double)size / seconds);
  }
  free(data);
}

int main(int argc, char **argv) {
  uint8_t data[300];
  for (int i = 0; i < 300; i++)
    data[i] = (uint8_t)(i * 7 + i / 13);
  vectors(true);
  vectors(false);
  lengths(data);
  resume(data);
  if (argc > 1 && !strcmp(argv[1], "bench")) bench();
  return check_end();
}
