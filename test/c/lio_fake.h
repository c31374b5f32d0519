/* The kernel's end of a ring, in a memfd with two pipes: entries as target_core_user.c writes them, and answers taken
 * as it takes them, so that an answer it would call broken is one here. */
#ifndef LIO_FAKE_H
#define LIO_FAKE_H

/* The C library has a struct iovec of its own. */
#define iovec tcmu_iovec
#include <linux/target_core_user.h>
#undef iovec
#include <poll.h>
#include <sys/mman.h>

#include "lio/lio.h"
#include "scsi_rig.h"

typedef struct fake_answer {
  bool sent;
  int times;
  uint8_t status;
  bool reads;
  uint32_t read;
  uint8_t sense[TCMU_SENSE_BUFFERSIZE];
} fake_answer;

typedef struct fake {
  int memory, events[2], doorbell[2];
  uint64_t bytes;
  uint8_t *base;
  uint32_t size, cleaned;
  bool broken;
  fake_answer answers[512];
} fake;

static inline struct tcmu_mailbox *fake_mailbox(fake *k) { return (void *)k->base; }
static inline uint8_t *fake_ring(fake *k) { return k->base + sizeof(struct tcmu_mailbox); }
static inline size_t fake_data_at(const fake *k) { return sizeof(struct tcmu_mailbox) + k->size; }
static inline uint8_t *fake_data(fake *k, size_t at) { return k->base + fake_data_at(k) + at; }

static inline void fake_open(fake *k, uint32_t size, size_t data) {
  *k = (fake){.size = size, .bytes = sizeof(struct tcmu_mailbox) + size + data};
  k->memory = memfd_create("ring", MFD_CLOEXEC);
  CHECK_EQ(ftruncate(k->memory, (off_t)k->bytes), 0);
  CHECK(pipe2(k->events, O_NONBLOCK | O_CLOEXEC) == 0 && pipe2(k->doorbell, O_NONBLOCK | O_CLOEXEC) == 0);
  k->base = mmap(NULL, k->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, k->memory, 0);
  struct tcmu_mailbox *mailbox = fake_mailbox(k);
  mailbox->version = TCMU_MAILBOX_VERSION;
  mailbox->flags = TCMU_MAILBOX_FLAG_CAP_OOOC | TCMU_MAILBOX_FLAG_CAP_READ_LEN | TCMU_MAILBOX_FLAG_CAP_TMR;
  mailbox->cmdr_off = sizeof *mailbox;
  mailbox->cmdr_size = size;
}

static inline void fake_close(fake *k) {
  munmap(k->base, k->bytes);
  close(k->memory);
  for (int i = 0; i < 2; i++) {
    if (k->events[i] >= 0) close(k->events[i]);
    close(k->doorbell[i]);
  }
}

static inline gt_lio_ends fake_ends(const fake *k) {
  return (gt_lio_ends){.memory = k->memory, .events = k->events[0], .doorbell = k->doorbell[1], .bytes = k->bytes};
}

static inline void fake_call(fake *k) {
  uint32_t one = 1;
  CHECK(write(k->events[1], &one, sizeof one) == (ssize_t)sizeof one);
}

static inline void fake_advance(fake *k, uint32_t head, uint32_t length) {
  __atomic_store_n(&((uint32_t *)(void *)k->base)[3], (head + length) % k->size, __ATOMIC_RELEASE);
}

/* Where an entry of that length goes; a pad before it if it would not fit behind. */
static inline uint32_t fake_place(fake *k, uint32_t length) {
  uint32_t head = fake_mailbox(k)->cmd_head;
  if (k->size - head >= length) return head;
  struct tcmu_cmd_entry_hdr pad = {.len_op = (k->size - head) | TCMU_OP_PAD};
  memcpy(fake_ring(k) + head, &pad, sizeof pad);
  fake_advance(k, head, k->size - head);
  return 0;
}

static inline uint32_t fake_round(uint32_t length) { return (length + 7) / 8 * 8; }

/* Pieces: offsets in the data area, with their lengths. */
static inline uint32_t fake_put(fake *k, uint16_t id, const char *cdb, const struct iovec *pieces, uint32_t count) {
  uint8_t bytes[32] = {0};
  uint32_t length = 0;
  char *next;
  for (const char *p = cdb; *p && length < sizeof bytes; p = next) {
    unsigned long byte = strtoul(p, &next, 16);
    if (next == p) break;
    bytes[length++] = (uint8_t)byte;
  }
  uint32_t base = (uint32_t)offsetof(struct tcmu_cmd_entry, req.iov) + count * (uint32_t)sizeof *pieces;
  if (base < sizeof(struct tcmu_cmd_entry)) base = sizeof(struct tcmu_cmd_entry);
  uint32_t whole = base + fake_round(length), at = fake_place(k, whole);
  struct tcmu_cmd_entry *entry = (void *)(fake_ring(k) + at);
  memset(entry, 0, whole);
  entry->hdr.len_op = whole | TCMU_OP_CMD;
  entry->hdr.cmd_id = id;
  entry->req.iov_cnt = count;
  entry->req.cdb_off = sizeof(struct tcmu_mailbox) + at + base;
  for (uint32_t i = 0; i < count; i++) {
    struct iovec piece = {(void *)(uintptr_t)(fake_data_at(k) + (size_t)pieces[i].iov_base), pieces[i].iov_len};
    memcpy((uint8_t *)entry + offsetof(struct tcmu_cmd_entry, req.iov) + i * sizeof piece, &piece, sizeof piece);
  }
  memcpy(fake_ring(k) + at + base, bytes, length);
  k->answers[id] = (fake_answer){.sent = true};
  fake_advance(k, at, whole);
  return at;
}

static inline uint32_t fake_none(fake *k, uint16_t id, const char *cdb) { return fake_put(k, id, cdb, NULL, 0); }

static inline uint32_t fake_one(fake *k, uint16_t id, const char *cdb, size_t at, size_t length) {
  struct iovec piece = {(void *)(uintptr_t)at, length};
  return fake_put(k, id, cdb, &piece, 1);
}

static inline void fake_tmr(fake *k, uint8_t function, const uint16_t *ids, uint32_t count) {
  uint32_t whole = fake_round((uint32_t)offsetof(struct tcmu_tmr_entry, cmd_ids) + 2 * count);
  uint32_t at = fake_place(k, whole);
  struct tcmu_tmr_entry *entry = (void *)(fake_ring(k) + at);
  memset(entry, 0, whole);
  entry->hdr.len_op = whole | TCMU_OP_TMR;
  entry->tmr_type = function;
  entry->cmd_cnt = count;
  if (count) memcpy(entry->cmd_ids, ids, 2 * count);
  fake_advance(k, at, whole);
}

static inline void fake_take_one(fake *k, const struct tcmu_cmd_entry *entry) {
  fake_answer *answer = entry->hdr.cmd_id < 512 ? &k->answers[entry->hdr.cmd_id] : NULL;
  if (!answer || !answer->sent || answer->times) {
    fprintf(stderr, "cmd_id %u not found, ring is broken\n", entry->hdr.cmd_id);
    k->broken = true;
    return;
  }
  answer->times = 1;
  answer->status = entry->rsp.scsi_status;
  answer->reads = entry->hdr.uflags & TCMU_UFLAG_READ_LEN;
  answer->read = entry->rsp.read_len;
  memcpy(answer->sense, entry->rsp.sense_buffer, sizeof answer->sense);
}

static inline void fake_take(fake *k) {
  while (!k->broken && k->cleaned != __atomic_load_n(&((uint32_t *)(void *)k->base)[16], __ATOMIC_ACQUIRE)) {
    const struct tcmu_cmd_entry *entry = (void *)(fake_ring(k) + k->cleaned);
    if (tcmu_hdr_get_op(entry->hdr.len_op) == TCMU_OP_CMD) fake_take_one(k, entry);
    k->cleaned = (k->cleaned + tcmu_hdr_get_len(entry->hdr.len_op)) % k->size;
  }
}

/* Until this one is answered; the test as a whole has its own limit. */
static inline fake_answer *fake_wait(fake *k, uint16_t id) {
  while (!k->answers[id].times && !k->broken) {
    struct pollfd fd = {.fd = k->doorbell[0], .events = POLLIN};
    char bytes[256];
    poll(&fd, 1, 50);
    ssize_t n = read(k->doorbell[0], bytes, sizeof bytes);
    (void)n;
    fake_take(k);
  }
  CHECK(!k->broken);
  return &k->answers[id];
}

static inline fake_answer *fake_run(fake *k, uint16_t id, const char *cdb, size_t at, size_t length) {
  if (length)
    fake_one(k, id, cdb, at, length);
  else
    fake_none(k, id, cdb);
  fake_call(k);
  return fake_wait(k, id);
}

static inline bool fake_fails(const fake_answer *answer, uint8_t key, uint16_t asc) {
  gt_sense sense = {0};
  gt_sense_parse(answer->sense, sizeof answer->sense, &sense);
  bool same = answer->status == GT_STATUS_CHECK_CONDITION && sense.key == key && sense.asc == asc;
  if (!same) fprintf(stderr, "  status %02x key %x asc %04x\n", answer->status, sense.key, sense.asc);
  return same;
}

#endif
