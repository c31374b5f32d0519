#include "lio/ring.h"

#include <errno.h>
#include <linux/target_core_user.h>
#include <stdio.h>
#include <string.h>

typedef struct tcmu_cmd_entry_hdr header;
_Static_assert(sizeof(header) == sizeof(uint64_t), "a header is read and written at once");
_Static_assert((int)GT_TCMU_PAD == (int)TCMU_OP_PAD && (int)GT_TCMU_COMMAND == (int)TCMU_OP_CMD &&
                   (int)GT_TCMU_TMR == (int)TCMU_OP_TMR,
               "the kernel's numbers");
_Static_assert(GT_SENSE_MAX == TCMU_SENSE_BUFFERSIZE, "sense data of a command fit");

enum {
  HEAD_AT = offsetof(struct tcmu_mailbox, cmd_head),
  TAIL_AT = offsetof(struct tcmu_mailbox, cmd_tail),
  PIECES_AT = offsetof(struct tcmu_cmd_entry, req.iov),
  LENT_BY_AT = offsetof(struct tcmu_cmd_entry, req.__pad1), /* whose entry it was */
  NAMES_AT = offsetof(struct tcmu_tmr_entry, cmd_ids),
  ALIGNED = TCMU_OP_ALIGN_SIZE,
};
enum { NEEDED = TCMU_MAILBOX_FLAG_CAP_OOOC | TCMU_MAILBOX_FLAG_CAP_READ_LEN };

static int explain(const char *what, char *err, size_t err_len) {
  if (err && err_len) snprintf(err, err_len, "%s", what);
  return -EPROTO;
}

static uint32_t load(const gt_tcmu_ring *ring, size_t at) {
  return __atomic_load_n((const uint32_t *)(const void *)(ring->base + at), __ATOMIC_ACQUIRE);
}

static bool stands(const gt_tcmu_ring *ring, uint32_t at) { return at < ring->size && at % ALIGNED == 0; }

int gt_tcmu_open(gt_tcmu_ring *ring, void *memory, size_t bytes, char *err, size_t err_len) {
  struct tcmu_mailbox mailbox;
  *ring = (gt_tcmu_ring){.base = memory, .bytes = bytes};
  if (bytes < sizeof mailbox) return explain("the ring has no room for its mailbox", err, err_len);
  memcpy(&mailbox, memory, sizeof mailbox);
  if (mailbox.version != TCMU_MAILBOX_VERSION)
    return explain("the kernel speaks another version of the ring than 2", err, err_len);
  if ((mailbox.flags & NEEDED) != NEEDED)
    return explain("this kernel's ring knows no short reads, or no answers out of order; use Linux 5.8 or newer", err,
                   err_len);
  ring->start = mailbox.cmdr_off;
  ring->size = mailbox.cmdr_size;
  if (ring->start < sizeof mailbox || ring->start % ALIGNED || !ring->size || ring->size % ALIGNED ||
      ring->start > bytes || ring->size > bytes - ring->start)
    return explain("the command ring does not lie in the mapping", err, err_len);
  ring->tail = ring->seen = load(ring, TAIL_AT);
  if (!stands(ring, ring->tail)) return explain("the tail does not lie in the command ring", err, err_len);
  return 0;
}

int gt_tcmu_head(const gt_tcmu_ring *ring, uint32_t *head) {
  *head = load(ring, HEAD_AT);
  return stands(ring, *head) ? 0 : -EBADMSG;
}

uint32_t gt_tcmu_next(const gt_tcmu_ring *ring, uint32_t at, uint32_t length) {
  return length < ring->size - at ? at + length : 0;
}

static uint8_t *place(const gt_tcmu_ring *ring, uint32_t at) { return ring->base + ring->start + at; }

static header head_of(const gt_tcmu_ring *ring, uint32_t at) {
  uint64_t word = __atomic_load_n((const uint64_t *)(const void *)place(ring, at), __ATOMIC_ACQUIRE);
  header h;
  memcpy(&h, &word, sizeof h);
  return h;
}

static void set_head(gt_tcmu_ring *ring, uint32_t at, header h) {
  uint64_t word;
  memcpy(&word, &h, sizeof word);
  __atomic_store_n((uint64_t *)(void *)place(ring, at), word, __ATOMIC_RELEASE);
}

/* SPC-4 4.2.5.1; vendor-specific groups as the kernel's own table has them. */
static uint32_t cdb_length(uint8_t opcode, uint8_t additional) {
  static const uint8_t lengths[8] = {6, 10, 10, 12, 16, 12, 10, 10};
  return opcode == 0x7F ? 8u + additional : lengths[opcode >> 5];
}

static int look_at_command(const gt_tcmu_ring *ring, const uint8_t *at, gt_tcmu_entry *out) {
  struct tcmu_cmd_entry entry;
  if (out->length < sizeof entry) return -EBADMSG;
  memcpy(&entry, at, sizeof entry);
  out->pieces = entry.req.iov_cnt;
  /* Of one that was answered, or stands for another, nothing but its identifier can be read. */
  if (out->marks & (GT_TCMU_LENT | GT_TCMU_ANSWERED)) return out->pieces = 0, 0;
  if (out->pieces > (out->length - PIECES_AT) / sizeof(struct iovec)) return -EBADMSG;
  uint64_t from = (uint64_t)ring->start + out->at, cdb = entry.req.cdb_off;
  if (cdb < from + PIECES_AT || cdb > from + out->length || from + out->length - cdb < 8) return -EBADMSG;
  const uint8_t *bytes = at + (cdb - from);
  uint32_t length = cdb_length(bytes[0], bytes[7]);
  if (length > from + out->length - cdb) return -EBADMSG;
  /* Longer ones than any command here has: refused by what judges commands. */
  out->cdb_len = length <= GT_CDB_MAX ? (uint8_t)length : 0;
  memcpy(out->cdb, bytes, out->cdb_len);
  return 0;
}

static int look_at_tmr(const uint8_t *at, gt_tcmu_entry *out) {
  struct tcmu_tmr_entry entry;
  if (out->length < sizeof entry) return -EBADMSG;
  memcpy(&entry, at, sizeof entry);
  out->function = entry.tmr_type;
  out->named = entry.cmd_cnt;
  return out->named <= (out->length - NAMES_AT) / sizeof(uint16_t) ? 0 : -EBADMSG;
}

int gt_tcmu_look(const gt_tcmu_ring *ring, uint32_t at, uint32_t head, gt_tcmu_entry *out) {
  header h = head_of(ring, at);
  uint32_t room = head > at ? head - at : ring->size - at;
  *out = (gt_tcmu_entry){.at = at, .length = tcmu_hdr_get_len(h.len_op), .op = tcmu_hdr_get_op(h.len_op)};
  out->id = h.cmd_id;
  out->marks = h.uflags & (GT_TCMU_BEGUN | GT_TCMU_LENT | GT_TCMU_ANSWERED);
  if (out->length < sizeof h || out->length % ALIGNED || out->length > room) return -EBADMSG;
  switch (out->op) {
  case GT_TCMU_PAD: return 0;
  case GT_TCMU_COMMAND: return look_at_command(ring, place(ring, at), out);
  case GT_TCMU_TMR: return look_at_tmr(place(ring, at), out);
  default: return -EBADMSG;
  }
}

int gt_tcmu_piece_of(const gt_tcmu_ring *ring, const gt_tcmu_entry *entry, uint32_t index, gt_tcmu_piece *out) {
  struct iovec iov;
  memcpy(&iov, place(ring, entry->at) + PIECES_AT + index * sizeof iov, sizeof iov);
  uint64_t at = (uintptr_t)iov.iov_base, from = (uint64_t)ring->start + ring->size;
  if (at < from || at > ring->bytes || iov.iov_len > ring->bytes - at || iov.iov_len > UINT32_MAX) return -EBADMSG;
  *out = (gt_tcmu_piece){.data = ring->base + at, .length = (uint32_t)iov.iov_len};
  return 0;
}

uint16_t gt_tcmu_name_of(const gt_tcmu_ring *ring, const gt_tcmu_entry *entry, uint32_t index) {
  uint16_t id;
  memcpy(&id, place(ring, entry->at) + NAMES_AT + index * sizeof id, sizeof id);
  return id;
}

/* ---- answers ---- */

void gt_tcmu_begin(gt_tcmu_ring *ring, uint32_t at) {
  header h = head_of(ring, at);
  h.uflags |= GT_TCMU_BEGUN;
  set_head(ring, at, h);
}

void gt_tcmu_lend(gt_tcmu_ring *ring, uint32_t at, uint16_t own, uint16_t other) {
  header h = head_of(ring, at);
  uint64_t kept = own;
  memcpy(place(ring, at) + LENT_BY_AT, &kept, sizeof kept);
  h.cmd_id = other;
  h.uflags = GT_TCMU_BEGUN | GT_TCMU_LENT;
  set_head(ring, at, h);
}

void gt_tcmu_answer_at(gt_tcmu_ring *ring, uint32_t at, uint16_t id, const gt_tcmu_answer *answer) {
  struct tcmu_cmd_entry *entry = (void *)place(ring, at);
  header h = head_of(ring, at);
  uint8_t length = answer->sense_len <= TCMU_SENSE_BUFFERSIZE ? answer->sense_len : TCMU_SENSE_BUFFERSIZE;
  h.cmd_id = id;
  h.uflags = GT_TCMU_BEGUN | GT_TCMU_ANSWERED | (answer->read ? TCMU_UFLAG_READ_LEN : 0);
  /* Before the answer: whoever finds half of it must not take it for a command. */
  set_head(ring, at, h);
  entry->rsp.scsi_status = answer->status;
  entry->rsp.read_len = answer->read;
  memset(entry->rsp.sense_buffer, 0, TCMU_SENSE_BUFFERSIZE);
  if (length) memcpy(entry->rsp.sense_buffer, answer->sense, length);
}

void gt_tcmu_release(gt_tcmu_ring *ring, uint32_t tail) {
  ring->tail = tail;
  __atomic_store_n((uint32_t *)(void *)(ring->base + TAIL_AT), tail, __ATOMIC_RELEASE);
}

/* ---- after a predecessor ---- */

/* It was killed between two steps of an answer out of order: the entry that was to stand for the command at the tail
 * does so, and the one at the tail still does. The answer is lost, so that command is one of unknown effect. */
static void take_back(gt_tcmu_ring *ring, const gt_tcmu_entry *entry) {
  uint64_t own;
  header h = head_of(ring, entry->at);
  memcpy(&own, place(ring, entry->at) + LENT_BY_AT, sizeof own);
  h.cmd_id = (uint16_t)own;
  set_head(ring, entry->at, h);
}

int gt_tcmu_rescue(gt_tcmu_ring *ring, uint32_t head) {
  gt_tcmu_entry entry;
  bool first = true;
  uint16_t front = 0;
  for (uint32_t at = ring->tail; at != head; at = gt_tcmu_next(ring, at, entry.length)) {
    int error = gt_tcmu_look(ring, at, head, &entry);
    if (error) return error;
    if (entry.op != GT_TCMU_COMMAND) continue;
    if (first)
      front = entry.id;
    else if (entry.id == front && (entry.marks & GT_TCMU_LENT))
      take_back(ring, &entry);
    first = false;
  }
  return 0;
}
