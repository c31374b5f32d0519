/* The full-feature phase of one session, non-blocking: PDUs out of a ring, PDUs in through a small buffer. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "core/bytes.h"
#include "load.h"

enum { IOVECS = 128, IN_LARGE = 256 * 1024, IN_SMALL = 16 * 1024, DATA_LARGE = 32 * 1024 };
enum { NOP_OUT = 0x00, COMMAND = 0x01, DATA_OUT = 0x05, NOP_IN = 0x20, RESPONSE = 0x21, DATA_IN = 0x25, R2T = 0x31 };
#define NO_TAG UINT32_C(0xFFFFFFFF)

void load_session_prepare(load_session *s) {
  const load_options *o = &s->load->options;
  uint32_t per_command = o->bytes / s->target_recv + 3, size = 64;
  while (size < o->depth * per_command + 16)
    size *= 2;
  s->pdus = calloc(size, sizeof *s->pdus);
  s->pdu_mask = size - 1;
  /* Large data is not copied on its way through the buffer, small data comes in few calls. */
  s->in_room = o->bytes >= DATA_LARGE ? IN_SMALL : IN_LARGE;
  s->in = malloc(s->in_room);
  if (!s->pdus || !s->in) load_die("no memory");
  for (uint32_t i = 0; i < o->depth; i++) {
    s->free_slots[s->free_count++] = i;
    s->slots[i].data = o->verify ? malloc(o->bytes) : s->load->pattern;
    if (!s->slots[i].data) load_die("no memory");
  }
  fcntl(s->fd, F_SETFL, fcntl(s->fd, F_GETFL) | O_NONBLOCK);
}

static load_pdu *new_pdu(load_session *s, const uint8_t *data, uint32_t len) {
  load_pdu *pdu = &s->pdus[s->pdu_tail++ & s->pdu_mask];
  if (s->pdu_tail - s->pdu_head > s->pdu_mask + 1) load_die("the ring of PDUs is too small");
  memset(pdu->bhs, 0, LOAD_BHS);
  gt_store_be24(pdu->bhs + 5, len);
  gt_store_be32(pdu->bhs + 28, s->exp_statsn);
  pdu->data = data;
  pdu->len = len;
  return pdu;
}

/* Data-Out PDUs for len bytes at offset, of a burst that was asked for (ttt) or not (NO_TAG). */
static void put_data(load_session *s, uint32_t slot, uint32_t ttt, uint32_t offset, uint32_t len) {
  for (uint32_t datasn = 0; len > 0; datasn++) {
    uint32_t part = len < s->target_recv ? len : s->target_recv;
    load_pdu *pdu = new_pdu(s, s->slots[slot].data + offset, part);
    pdu->bhs[0] = DATA_OUT;
    pdu->bhs[1] = part == len ? 0x80 : 0;
    pdu->bhs[9] = (uint8_t)s->load->options.lun;
    gt_store_be32(pdu->bhs + 16, slot);
    gt_store_be32(pdu->bhs + 20, ttt);
    gt_store_be32(pdu->bhs + 36, datasn);
    gt_store_be32(pdu->bhs + 40, offset);
    offset += part;
    len -= part;
  }
}

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

static void put_command(load_session *s, uint32_t slot) {
  const load *l = s->load;
  const load_slot *c = &s->slots[slot];
  uint32_t bytes = l->options.bytes, blocks = bytes / l->block_bytes;
  uint32_t unsolicited = c->write && !s->initial_r2t ? least(bytes, s->first_burst) : 0;
  uint32_t immediate = c->write && s->immediate ? least(least(bytes, s->first_burst), s->target_recv) : 0;
  bool more = unsolicited > immediate;
  load_pdu *pdu = new_pdu(s, c->data, immediate);
  pdu->bhs[0] = COMMAND;
  pdu->bhs[1] = (uint8_t)((more ? 0 : 0x80) | (c->write ? 0x20 : 0x40) | 1);
  pdu->bhs[9] = (uint8_t)l->options.lun;
  gt_store_be32(pdu->bhs + 16, slot);
  gt_store_be32(pdu->bhs + 20, bytes);
  gt_store_be32(pdu->bhs + 24, s->cmdsn++);
  pdu->bhs[32] = c->write ? 0x2A : 0x28;
  gt_store_be32(pdu->bhs + 34, (uint32_t)(c->unit * blocks));
  gt_store_be16(pdu->bhs + 39, (uint16_t)blocks);
  if (more) put_data(s, slot, NO_TAG, immediate, unsolicited - immediate);
}

void load_session_issue(load_session *s) {
  load *l = s->load;
  while (s->free_count > 0 && !l->stopping && (int32_t)(s->max_cmdsn - s->cmdsn) >= 0) {
    if (l->limit && l->begun == l->limit) return;
    uint32_t slot = s->free_slots[--s->free_count];
    l->begun++;
    load_work_choose(s, slot);
    s->slots[slot].begun_ns = load_ns();
    put_command(s, slot);
    s->outstanding++;
  }
}

/* ---- out ---- */

static int gather(const load_session *s, struct iovec *iov) {
  uint32_t skip = s->pdu_sent;
  int count = 0;
  for (uint32_t i = s->pdu_head; i != s->pdu_tail && count < IOVECS - 1; i++) {
    load_pdu *pdu = &s->pdus[i & s->pdu_mask];
    if (skip < LOAD_BHS) iov[count++] = (struct iovec){pdu->bhs + skip, LOAD_BHS - skip};
    uint32_t gone = skip > LOAD_BHS ? skip - LOAD_BHS : 0;
    if (pdu->len) iov[count++] = (struct iovec){(uint8_t *)(uintptr_t)pdu->data + gone, pdu->len - gone};
    skip = 0;
  }
  return count;
}

static void sent(load_session *s, size_t bytes) {
  while (s->pdu_head != s->pdu_tail) {
    uint32_t left = LOAD_BHS + s->pdus[s->pdu_head & s->pdu_mask].len - s->pdu_sent;
    if (bytes < left) break;
    bytes -= left;
    s->pdu_sent = 0;
    s->pdu_head++;
  }
  s->pdu_sent += (uint32_t)bytes;
}

void load_session_send(load_session *s) {
  while (s->pdu_head != s->pdu_tail) {
    struct iovec iov[IOVECS];
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = (size_t)gather(s, iov)};
    ssize_t n = sendmsg(s->fd, &message, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) load_die("session %u: %s", s->index, strerror(errno));
    sent(s, (size_t)n);
  }
}

/* ---- in ---- */

static void end_command(load_session *s, uint32_t slot) {
  if (slot >= s->load->options.depth) load_die("an answer to a command that was never sent");
  load_work_done(s, slot);
  s->free_slots[s->free_count++] = slot;
  s->outstanding--;
}

static void judge(const load_session *s, const uint8_t *bhs) {
  uint32_t slot = gt_load_be32(bhs + 16);
  if (bhs[2] == 0 || bhs[0] == DATA_IN) {
    if (bhs[3] == 0 && !(bhs[1] & 6)) return;
    load_die("%s of session %u, command %u: status %02xh, residual flags %02xh",
             s->slots[slot % LOAD_SLOTS_MAX].write ? "WRITE" : "READ", s->index, slot, bhs[3], bhs[1]);
  }
  load_die("session %u: iSCSI response %02xh", s->index, bhs[2]);
}

static void answer_ping(load_session *s, const uint8_t *bhs) {
  if (gt_load_be32(bhs + 20) == NO_TAG) return;
  load_pdu *pdu = new_pdu(s, NULL, 0);
  pdu->bhs[0] = NOP_OUT | 0x40;
  pdu->bhs[1] = 0x80;
  memcpy(pdu->bhs + 8, bhs + 8, 8);
  gt_store_be32(pdu->bhs + 16, NO_TAG);
  memcpy(pdu->bhs + 20, bhs + 20, 4);
  gt_store_be32(pdu->bhs + 24, s->cmdsn);
}

/* A PDU whose header is in s->bhs and whose data has come. */
static void understand(load_session *s) {
  const uint8_t *bhs = s->bhs;
  uint8_t opcode = bhs[0] & 0x3F;
  uint32_t slot = gt_load_be32(bhs + 16), max = gt_load_be32(bhs + 32);
  if ((int32_t)(max - s->max_cmdsn) > 0) s->max_cmdsn = max;
  bool status = opcode == RESPONSE || (opcode == DATA_IN && bhs[1] & 1);
  if (status) {
    s->exp_statsn = gt_load_be32(bhs + 24) + 1;
    judge(s, bhs);
    end_command(s, slot);
  } else if (opcode == R2T && slot < s->load->options.depth) {
    uint32_t offset = gt_load_be32(bhs + 40), len = gt_load_be32(bhs + 44), bytes = s->load->options.bytes;
    if (offset > bytes || len > bytes - offset) load_die("an R2T for data that there is not");
    put_data(s, slot, gt_load_be32(bhs + 20), offset, len);
  } else if (opcode == NOP_IN)
    answer_ping(s, bhs);
  else if (opcode != DATA_IN)
    load_die("session %u: PDU of opcode %02xh", s->index, opcode);
}

/* The header of the next PDU is in s->bhs: where its data goes. */
static void begin_pdu(load_session *s) {
  uint32_t len = gt_load_be24(s->bhs + 5), bytes = s->load->options.bytes;
  s->skip = (len + 3) & ~UINT32_C(3);
  s->place = 0;
  if ((s->bhs[0] & 0x3F) != DATA_IN) return;
  uint32_t slot = gt_load_be32(s->bhs + 16), offset = gt_load_be32(s->bhs + 40);
  if (slot >= s->load->options.depth || offset != s->slots[slot].received || len > bytes - offset)
    load_die("Data-In out of order or too long");
  s->place = offset;
  s->slots[slot].received += len;
}

/* Room for data of the running PDU; NULL: nobody looks at it. */
static uint8_t *room_for_data(load_session *s) {
  if ((s->bhs[0] & 0x3F) != DATA_IN || !s->load->options.verify) return NULL;
  return s->slots[gt_load_be32(s->bhs + 16)].data + s->place;
}

static void take_buffered(load_session *s) {
  uint32_t at = 0;
  for (;;) {
    if (s->skip > 0) {
      uint32_t part = least(s->skip, s->in_len - at);
      uint8_t *room = room_for_data(s);
      if (room) memcpy(room, s->in + at, part);
      at += part;
      s->skip -= part;
      s->place += part;
      if (s->skip > 0) break;
      understand(s);
    }
    if (s->in_len - at < LOAD_BHS) break;
    memcpy(s->bhs, s->in + at, LOAD_BHS);
    at += LOAD_BHS;
    begin_pdu(s);
    if (s->skip == 0) understand(s);
  }
  memmove(s->in, s->in + at, s->in_len - at);
  s->in_len -= at;
}

/* One recv; false: nothing more has come. Data that nobody looks at is dropped in the kernel (tcp(7), MSG_TRUNC). */
static bool receive_some(load_session *s) {
  uint8_t *data = s->skip > 0 ? room_for_data(s) : NULL;
  bool drop = s->skip > s->in_room && !data, direct = s->skip > s->in_room && data;
  uint8_t *to = direct ? data : s->in + s->in_len;
  size_t room = drop || direct ? s->skip : s->in_room - s->in_len;
  ssize_t n = recv(s->fd, drop ? NULL : to, room, drop ? MSG_TRUNC : 0);
  if (n < 0 && errno == EAGAIN) return false;
  if (n <= 0) load_die("session %u: the target closed the connection", s->index);
  if (drop || direct) {
    s->skip -= (uint32_t)n;
    s->place += (uint32_t)n;
    if (s->skip == 0) understand(s);
  } else {
    s->in_len += (uint32_t)n;
    take_buffered(s);
  }
  return (size_t)n == room;
}

void load_session_receive(load_session *s) {
  while (receive_some(s))
    continue;
}
