/* The iSCSI target (RFC 7143): full-feature phase in C, on threads of its own (*reactors*); login and text negotiation
 * are handed to the supervisor, PDU by PDU. One connection per session, ErrorRecoveryLevel 0.
 *
 * Threads: all functions here are called by the supervisor, one controlling thread. `notify` comes on a reactor's
 * thread, must not block, and says that gt_target_take has something; it comes once until the next take. A connection
 * lives on one reactor from accept to close; so does its nexus (that reactor is the nexus's home, plane.h).
 *
 * Ownership: bytes given are copied before a function returns. Data of a taken event belongs to the taker until
 * gt_target_release.
 *
 * Memory: receive buffers and the pool that data lies in are allocated by gt_target_open, a session's tasks when it
 * enters the full-feature phase; nothing per command. A connection may have as much of the pool as is left free, or one
 * command; while it finds none it is not read. */
#ifndef GT_TARGET_H
#define GT_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../plane/plane.h"

enum {
  GT_ISCSI_BHS = 48,
  GT_LOGIN_DATA_MAX = 8192, /* RFC 7143 13.12: what holds before anything is negotiated */
  GT_TEXT_DATA_MAX = 65536,
  GT_SEGMENT_MAX = 1 << 20,   /* largest MaxRecvDataSegmentLength that the target may declare */
  GT_TRANSFER_MAX = 16 << 20, /* largest data of one command */
};

typedef struct gt_target gt_target;
typedef struct gt_target_options {
  gt_plane *plane;
  uint32_t reactors;    /* threads; 0: 1 */
  uint32_t connections; /* at a time, logins included; 0: 512 */
  uint64_t pool_bytes;  /* data of all commands of one reactor; 0: 128 MiB (address space until it is used) */
  uint32_t queue_depth; /* commands outstanding in one session = its CmdSN window; 0: 128 */
  /* 0: 15 s for a login from accept on, 30 s for the rest of a PDU that has begun or for a peer that takes nothing,
   * 30 s of silence before a ping, 300 s for its answer (an initiator may sleep; that its host is gone TCP tells), 60 s
   * for data that was asked for. */
  uint32_t login_timeout_ms, stall_timeout_ms, ping_after_ms, ping_timeout_ms, data_timeout_ms;
  uint32_t spin_us; /* looks for work so long after the last before it sleeps; 0: sleeps at once */
  void (*notify)(void *context);
  void *context;
} gt_target_options;
int gt_target_open(const gt_target_options *options, gt_target **out, char *err, size_t err_len);
/* Closes every connection, ends every task, joins the threads (which takes as long as the slowest unit's abort). */
void gt_target_close(gt_target *target);

/* ---- portals ---- */

/* host: a numeric address. Returns the port really bound, or a negative errno; portal: a number of the caller's, below
 * 64, that comes back in events. -EBUSY: it listens already. */
int gt_target_listen(gt_target *target, uint32_t portal, const char *host, uint16_t port, char *err, size_t err_len);
/* Established connections stay. -ENOENT. */
int gt_target_unlisten(gt_target *target, uint32_t portal);

/* ---- events ---- */

enum gt_target_event_kind {
  GT_EVENT_LOGIN = 1, /* Login Request: answer with gt_target_answer or gt_target_refuse. Nothing more is read before */
  GT_EVENT_TEXT,      /* Text Request in full-feature phase: the same; commands go on meanwhile */
  GT_EVENT_GONE,      /* a connection that had a LOGIN event is no more; its number is never used again */
  GT_EVENT_COLD_RESET /* TARGET COLD RESET was carried out by this nexus: the other sessions of its target end too */
};
typedef struct gt_target_event {
  uint8_t kind;
  uint32_t connection;
  uint32_t portal;
  uint32_t nexus; /* UINT32_MAX: none yet, or a discovery session */
  char peer[64];  /* "127.0.0.1:51234", "[::1]:51234" */
  uint8_t header[GT_ISCSI_BHS];
  uint8_t *data; /* data_len bytes, without padding; NULL: none */
  uint32_t data_len;
} gt_target_event;
size_t gt_target_take(gt_target *target, gt_target_event *out, size_t max);
void gt_target_release(gt_target_event *event);

/* ---- answers ---- */

typedef struct gt_full_feature {
  bool header_digest, data_digest;
  uint32_t initiator_max_recv; /* MaxRecvDataSegmentLength of the initiator, 512 to 2^24-1 */
  uint32_t target_max_recv;    /* what the target declared, 512 to GT_SEGMENT_MAX */
  uint32_t max_burst, first_burst;
  bool initial_r2t, immediate_data;
  uint32_t max_outstanding_r2t;
  bool discovery;     /* no nexus, no SCSI: Text, NOP and Logout only */
  uint32_t exp_cmdsn; /* of the next command */
  uint32_t statsn;    /* of the next response after this answer */
  uint16_t tsih, cid;
} gt_full_feature;

/* Opens the nexus under which the connection will enter the full-feature phase, so that its paths are set before the
 * initiator knows that it is in. Ends with the connection. -ENOENT: the connection is gone. */
int gt_target_open_nexus(gt_target *target, uint32_t connection, uint32_t *nexus);
/* The PDU to send: header without digest, data without padding; TotalAHSLength and DataSegmentLength are filled in. Of
 * a Text Response StatSN, ExpCmdSN and MaxCmdSN too. enter: after this Login Response the full-feature phase begins,
 * and unless gt_target_open_nexus was called, it opens the nexus (*nexus; UINT32_MAX for discovery). nexus may be NULL.
 * In answer to a Text Request `enter` changes initiator_max_recv alone (RFC 7143 13.12).
 * -ENOENT: gone; -EINVAL: a value of `enter` is out of bounds; -ENOSPC: no nexus is left. */
int gt_target_answer(gt_target *target, uint32_t connection, const uint8_t header[GT_ISCSI_BHS], const void *data,
                     size_t data_len, const gt_full_feature *enter, uint32_t *nexus);
/* Sends this last PDU (header may be NULL: none), then closes. */
void gt_target_refuse(gt_target *target, uint32_t connection, const uint8_t *header, const void *data, size_t data_len);
/* Asynchronous Message with this event code (RFC 7143 11.9.1: 1 logout requested, 2 connection dropped, 3 all
 * connections dropped; negative: no message), then the session's connection closes. The tasks end without an answer;
 * GT_NOTE_NEXUS_CLOSED tells when the nexus is no more. */
void gt_target_close_nexus(gt_target *target, uint32_t nexus, int async_event);

typedef struct gt_target_stats {
  uint32_t connections, sessions;
  uint64_t accepted, refused; /* refused: no place for one more connection */
  uint64_t pdus_in, pdus_out, bytes_in, bytes_out;
  uint64_t rejects, digest_errors, protocol_errors, timeouts, starved; /* starved: reads put off for want of memory */
} gt_target_stats;
void gt_target_stat(gt_target *target, gt_target_stats *out);

#endif
