/* A load generator for iSCSI targets: an initiator with no more in it than a measurement needs, so that the target is
 * what is measured. One thread, non-blocking sockets, N sessions with D commands each. It offers what the initiator of
 * the Linux kernel offers (FirstBurstLength and MaxRecvDataSegmentLength 256 KiB, MaxBurstLength 16 MiB, immediate and
 * unsolicited data), judges every status, and can verify every byte. What goes wrong ends the program with a sentence.
 */
#ifndef GANTRY_BENCH_LOAD_H
#define GANTRY_BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOAD_BHS = 48, LOAD_SLOTS_MAX = 128, LOAD_SESSIONS_MAX = 256, LOAD_BUCKETS = 40 * 16 };
enum load_mode { LOAD_READ, LOAD_WRITE, LOAD_MIX };

typedef struct load_options {
  const char *host, *port, *target, *initiator;
  uint32_t lun, sessions, depth, bytes, span, pid;
  enum load_mode mode;
  bool random, verify;
  double seconds, warm_seconds;
  uint64_t commands; /* 0: as many as the time lets */
} load_options;

typedef struct load_stats {
  uint64_t commands, verified;
  uint64_t latency[LOAD_BUCKETS]; /* by sixteenths of an octave of nanoseconds */
} load_stats;

/* A PDU that is to be sent: header, then data that belongs to somebody else. */
typedef struct load_pdu {
  uint8_t bhs[LOAD_BHS];
  const uint8_t *data;
  uint32_t len;
} load_pdu;

/* A command in flight. Its unit is `bytes` of the disk that no other slot touches. */
typedef struct load_slot {
  uint64_t begun_ns, unit;
  uint32_t received;
  bool write;
  uint8_t *data;
} load_slot;

typedef struct load_session {
  struct load *load;
  uint32_t index;
  int fd;
  uint32_t cmdsn, max_cmdsn, exp_statsn, target_recv, first_burst;
  bool initial_r2t, immediate, wants_out;
  load_pdu *pdus; /* ring; size is a power of two */
  uint32_t pdu_mask, pdu_head, pdu_tail, pdu_sent;
  uint8_t *in; /* what was received and not yet understood */
  uint32_t in_len, in_room;
  uint32_t skip;  /* bytes of the running PDU's data that are still to come */
  uint32_t place; /* offset of those in the slot's data */
  uint8_t bhs[LOAD_BHS];
  uint32_t free_slots[LOAD_SLOTS_MAX], free_count, outstanding;
  uint64_t next_unit;
  load_slot slots[LOAD_SLOTS_MAX];
} load_session;

typedef struct load {
  load_options options;
  uint32_t block_bytes;
  uint64_t units, units_per_slot; /* of `bytes`; of one slot */
  uint32_t *generations;          /* of each unit, when verifying; 0: never written */
  uint8_t *pattern;               /* what is written when nothing is verified */
  uint64_t random, begun, limit;
  bool counting, stopping;
  load_stats stats;
  load_session *sessions;
} load;

_Noreturn void load_die(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t load_ns(void);
uint64_t load_random(load *l);

/* load-login.c: blocking, before the load. */
void load_login(load_session *s);
/* The disk's size: sets l->block_bytes and returns its bytes. Takes the unit attentions of a new nexus away. */
uint64_t load_capacity(load_session *s);

/* load-session.c: the full-feature phase, non-blocking. */
void load_session_prepare(load_session *s);
void load_session_issue(load_session *s);
void load_session_receive(load_session *s);
void load_session_send(load_session *s);

/* load-work.c: which command comes next, and what its data has to be. */
void load_work_choose(load_session *s, uint32_t slot);
void load_work_done(load_session *s, uint32_t slot);

#endif
