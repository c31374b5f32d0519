/* Whatever a peer may send to the iSCSI target, before the login and behind it: the target answers PDUs that are right
 * in form, ends every connection, and keeps nothing of it. The peer knows enough to come far: sequence numbers and
 * digests are put right where the input does not say otherwise. */
#include <netinet/tcp.h>

#include "fabric_client.h"
#include "fuzz.h"

enum { BLOCK = 512, BLOCKS = 2048, MOST = 64, SEGMENT = 8192 };

#define KEYS "InitialR2T=No\0MaxRecvDataSegmentLength=4096\0MaxBurstLength=16384\0FirstBurstLength=8192"
#define DIGESTS KEYS "\0HeaderDigest=CRC32C\0DataDigest=CRC32C"
#define DISCOVERY KEYS "\0SessionType=Discovery"

static supervisor whole;
static client peer;
static uint8_t bytes[SEGMENT * 2];

static void set_up(void) {
  gt_device *device = NULL;
  if (whole.target) return;
  fuzz_place();
  fuzz_fill(bytes, sizeof bytes, 3);
  MUST(!gt_disk_open(&(gt_disk_options){.path = fuzz_path("disk"), .block_bytes = BLOCK, .blocks = BLOCKS}, &device,
                     NULL, 0));
  whole = supervisor_defaults();
  whole.max_recv = SEGMENT;
  supervisor_open(&whole, (gt_target_options){.pool_bytes = 16 << 20, .connections = 16}, plane_rows,
                  sizeof plane_rows / sizeof *plane_rows, device, true, 0);
}

/* Never waits: a target that takes nothing more has said enough. */
static void say(const void *data, size_t length) {
  ssize_t n = send(peer.fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);
  (void)n;
}

enum { OWN_CMDSN = 1, LYING_LENGTH = 2, WRONG_HEADER_DIGEST = 4, WRONG_DATA_DIGEST = 8, TRUNCATED = 16, NEW_TAG = 32 };

static void say_digest(uint32_t crc) {
  uint8_t digest[4];
  gt_store_le32(digest, crc);
  say(digest, sizeof digest);
}

/* One PDU; false: it was the last. */
static bool say_pdu(fuzz_in *in) {
  uint8_t shape = fuzz_u8(in), header[48] = {0}, held = fuzz_u8(in);
  uint32_t length = held & 0x80 ? (held & 0x7Fu) * 128 : held;
  fuzz_bytes(in, header, sizeof header);
  if (!(shape & OWN_CMDSN)) {
    gt_store_be32(header + 24, peer.cmdsn);
    if (!(header[0] & 0x40) && (header[0] & 0x3F) < 7 && (header[0] & 0x3F) != GT_PDU_DATA_OUT) peer.cmdsn++;
  }
  if (shape & NEW_TAG) gt_store_be32(header + 16, ++peer.itt);
  if (!(shape & LYING_LENGTH)) {
    header[4] = 0;
    gt_store_be24(header + 5, length);
  }
  say(header, shape & TRUNCATED ? held % 48 : 48);
  if (shape & TRUNCATED) return false;
  if (peer.header_digest) say_digest(gt_crc32c(0, header, 48) + !!(shape & WRONG_HEADER_DIGEST));
  uint32_t padded = length + gt_pdu_padding(length);
  say(bytes, padded);
  if (peer.data_digest && length) say_digest(gt_crc32c(0, bytes, padded) + !!(shape & WRONG_DATA_DIGEST));
  return true;
}

static bool from_target(uint8_t opcode) {
  return (opcode >= 0x20 && opcode <= 0x26) || opcode == GT_PDU_R2T || opcode == GT_PDU_ASYNC ||
         opcode == GT_PDU_REJECT;
}

/* Until the target closes, which it does at the latest because the peer has. Whoever logs in by bytes of its own may
 * have agreed to anything: from then on only the end is waited for. */
static void listen_on(bool full) {
  shutdown(peer.fd, SHUT_WR);
  for (int opcode; (opcode = client_receive(&peer)) >= 0;) {
    MUST(from_target((uint8_t)opcode) && peer.bhs[4] == 0);
    MUST(peer.data_len <= (full ? 4096 : SEGMENT));
    if (full) continue;
    MUST(opcode == GT_PDU_LOGIN_RESPONSE);
    if ((peer.bhs[1] & 0x83) == 0x83) break;
  }
  while (recv(peer.fd, peer.data, sizeof peer.data, 0) > 0)
    continue;
  close(peer.fd);
}

static void wait_until_gone(void) {
  gt_target_stats stats;
  do {
    gt_target_stat(whole.target, &stats);
    if (stats.connections) nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
  } while (stats.connections);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_in in = {data, size};
  set_up();
  uint8_t how = fuzz_u8(&in);
  bool full = how & 3;
  switch (how & 3) {
  case 0: client_connect(&peer, whole.port); break;
  case 1: client_login(&peer, whole.port, KEYS, sizeof KEYS); break;
  case 2: client_login(&peer, whole.port, DIGESTS, sizeof DIGESTS); break;
  default: client_login(&peer, whole.port, DISCOVERY, sizeof DISCOVERY); break;
  }
  setsockopt(peer.fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
  if (how & 4) {
    say(in.at, in.left); /* as it is */
  } else {
    for (int i = 0; in.left && i < MOST && say_pdu(&in); i++)
      continue;
  }
  listen_on(full);
  wait_until_gone();
  MUST(check_failures == 0);
  return 0;
}
