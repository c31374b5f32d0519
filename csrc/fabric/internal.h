/* Inside of the iSCSI target. Everything of a connection is touched by its reactor's thread alone, except what is
 * marked (lock): under gt_target.lock, by the supervisor too.
 *
 * A command's way: begin (header is there: CmdSN, admission, memory) - data-out, if any - start - answered - sent -
 * free. Nothing of a PDU takes effect before gt_begin has said that there is room for it, so that a PDU can be put off.
 */
#ifndef GT_FABRIC_INTERNAL_H
#define GT_FABRIC_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/uio.h>

#include "fabric/buffers.h"
#include "fabric/pdu.h"
#include "fabric/target.h"

enum {
  GT_RX_BYTES = 256 << 10,  /* receive buffer, one for all connections of a reactor */
  GT_RX_LARGE = 16 << 10,   /* after a PDU of that size the next header is read alone, and its data to where it stays */
  GT_RX_PEEK = 1024,        /* how much is read then */
  GT_RX_TAKEN = 64 << 10,   /* data of at least so many bytes is received by the unit, to where it stays there */
  GT_OUT_PDUS = 64,         /* PDUs made and not yet taken by the socket */
  GT_OUT_EAGER = 128 << 10, /* so many bytes made go out at once, while the caches hold them */
  GT_IMMEDIATE_MAX = 16,    /* immediate commands of a session at a time */
  GT_R2TS_MAX = 8,          /* R2Ts outstanding of a command */
  GT_TMFS_MAX = 8,          /* task management functions under way in a session */
  GT_ITT_BUCKETS = 256,
  GT_SLOT_BITS = 11, /* of a target transfer tag: which command */
  GT_QUEUE_DEPTH_MAX = 1024,
  GT_CONTROL_BYTES = 1 << 20, /* answers with data of their own (NOP-In, Text) waiting in a connection */
  GT_CONTROL_PDUS = 64,
  GT_PORTALS_MAX = 64,
};

typedef struct gt_conn gt_conn;
typedef struct gt_command gt_command;
typedef struct gt_reactor gt_reactor;

/* ---- sending ---- */

enum gt_sender_kind { GT_SEND_ANSWER, GT_SEND_R2T, GT_SEND_CONTROL };
typedef struct gt_sender {
  struct gt_sender *next;
  uint8_t kind;
  bool queued;
} gt_sender;

/* How a control PDU is stamped: as the supervisor made it; with a StatSN of its own; with the next StatSN. */
enum gt_stamp { GT_STAMP_NOT, GT_STAMP_STATUS, GT_STAMP_BORROWED };
typedef struct gt_control {
  gt_sender sender;
  uint8_t stamp;
  bool last; /* the connection closes when this one is sent */
  uint8_t header[GT_PDU_BHS];
  uint32_t data_len;
  uint8_t data[];
} gt_control;

/* A PDU made: header with digest, data, padding with digest. */
typedef struct gt_out {
  uint8_t header[GT_PDU_BHS + GT_PDU_DIGEST];
  uint8_t tail[3 + GT_PDU_DIGEST];
  uint8_t header_len, tail_len;
  const uint8_t *data;
  uint32_t data_len;
  gt_command *command; /* freed when this is sent */
  gt_control *control; /* the same */
} gt_out;

/* ---- commands ---- */

typedef struct gt_tmf {
  gt_conn *conn;
  bool used, by_plane, cold;
  uint8_t response;
  uint32_t itt;
  uint32_t pending; /* commands and units that have not ended yet */
} gt_tmf;

enum gt_command_state {
  GT_CMD_FREE = 0,
  GT_CMD_DATA,    /* data-out is coming */
  GT_CMD_WAITING, /* for memory, or for those before it that do */
  GT_CMD_RUNNING, /* the plane has it */
  GT_CMD_ENDED,   /* its answer is being sent */
};
struct gt_command {
  gt_task task;
  gt_sender answer, r2t;
  gt_conn *conn;
  gt_command *next; /* free, waiting */
  gt_command *same_bucket;
  gt_tmf *tmf;     /* to be told of the end */
  uint8_t *buffer; /* of the pool */
  uint8_t state, lun[8];
  bool read, write, immediate, admitted, counted; /* counted: in the CmdSN window */
  uint16_t slot;
  uint32_t itt, edtl, held; /* held: bytes of its buffer */

  const uint8_t *direct;                   /* data-out in the receive buffer */
  bool failed;                             /* answered already; what data is still coming is thrown away */
  bool unsolicited;                        /* unsolicited data is to come */
  uint32_t received, sequence_end, datasn; /* of the sequence that is coming */
  uint32_t asked, r2tsn;                   /* up to where R2Ts have been sent */
  uint32_t ttts[GT_R2TS_MAX];
  uint8_t first_ttt, r2ts;

  bool failed_at_target; /* SCSI Response 01h: no answer came from the device */
  int64_t residual;
  uint32_t in_len, in_sent, in_datasn;
  uint8_t sense[2 + GT_SENSE_MAX];
};

/* ---- receiving ---- */

enum gt_rx_phase { GT_RX_HEADER, GT_RX_DATA };
typedef struct gt_rx {
  uint8_t phase;
  uint32_t have; /* bytes of the phase */
  uint8_t header[GT_PDU_BHS + GT_PDU_AHS_MAX + GT_PDU_DIGEST];
  gt_pdu_head head;
  uint32_t tail_len;
  uint8_t tail[3 + GT_PDU_DIGEST];
  uint8_t *into;         /* where data goes; NULL: nowhere */
  const uint8_t *inside; /* data is whole in the receive buffer, here; NULL: it is not */
  uint32_t crc;          /* of data that goes nowhere */
  bool pieces;           /* data is received as it comes, for it did not come in one piece */
  bool large, text;      /* text: a Text Request that the supervisor will get */
  gt_command *command;   /* SCSI Command, Data-Out: whose data */
  gt_control *control;   /* NOP-Out with data: the answer in the making */
  uint8_t *loose;        /* Login, Text: data in memory of its own */
  uint8_t *left;         /* bytes received and not consumed while paused */
  size_t left_at, left_len;
} gt_rx;

enum gt_conn_state {
  GT_CONN_FREE = 0,
  GT_CONN_LOGIN,     /* a Login Request is to come */
  GT_CONN_ANSWERING, /* the supervisor has it */
  GT_CONN_FULL,
  GT_CONN_LEAVING, /* sends what is queued, then closes */
  GT_CONN_DOOMED,  /* to be closed at the end of the round */
  GT_CONN_ENDING,  /* closed; the plane still has commands */
};

struct gt_conn {
  gt_reactor *reactor;
  gt_conn *next_ready;
  _Atomic bool woken;
  uint32_t id;           /* (lock) 0: free */
  uint32_t nexus_number; /* (lock) UINT32_MAX: none */
  gt_plane_nexus *nexus; /* (lock) until the full-feature phase */
  int fd;
  uint8_t state;
  bool told, gone; /* (lock) the supervisor knows of it; its socket is closed */
  bool readable, in_ready;
  bool hung_up;        /* the peer has sent its last */
  bool paused, hungry; /* a PDU was put off; for want of memory of the pool */
  bool text_pending;
  int low_water;   /* so many bytes have to be there before the socket tells of them (SO_RCVLOWAT) */
  uint32_t absent; /* of data that the unit takes out of the socket itself */
  uint32_t portal;
  char peer[64];
  gt_full_feature params;
  uint32_t exp_cmdsn, statsn, window_busy, immediate_busy, ttt_counter;
  gt_rx rx;

  gt_command *commands, *free_commands;
  uint32_t command_count, commands_busy, data_awaited; /* data_awaited: commands in GT_CMD_DATA */
  gt_command *waiting, **waiting_end;
  gt_command *buckets[GT_ITT_BUCKETS];
  gt_tmf tmfs[GT_TMFS_MAX];

  gt_sender *send_first, *send_last;
  gt_out out[GT_OUT_PDUS];
  uint32_t out_first, out_count;
  size_t out_sent, out_bytes; /* of the first PDU; of all */
  size_t answers_bytes;       /* of answers that came since the last flush */
  bool writable;
  uint32_t controls, control_bytes;

  uint64_t born_ns, heard_ns, moved_ns, data_ns; /* moved: the socket took something */
  uint64_t pinged_ns;                            /* 0: no ping is out */
  uint64_t hungry_ns;                            /* since when a PDU has found no memory; 0: it has */
  uint64_t starving_ns;                          /* the same of any command */
  size_t held;                                   /* bytes of the pool */
};

/* ---- reactors ---- */

enum gt_mail_kind {
  GT_MAIL_ADOPT,
  GT_MAIL_LISTEN,
  GT_MAIL_UNLISTEN,
  GT_MAIL_ANSWER,
  GT_MAIL_CLOSE_NEXUS,
  GT_MAIL_STOP
};
typedef struct gt_mail {
  struct gt_mail *next;
  uint8_t kind;
  uint32_t connection, portal;
  int fd, async_event;
  bool enter, last; /* last: then the connection closes */
  gt_full_feature params;
  char peer[64];
  gt_control *control;
} gt_mail;

typedef struct gt_counters {
  _Atomic uint64_t accepted, refused, pdus_in, pdus_out, bytes_in, bytes_out, rejects, digest_errors, protocol_errors,
      timeouts, starved;
} gt_counters;
#define GT_COUNT(reactor, what, by)                                                                                    \
  atomic_store_explicit(&(reactor)->counters.what,                                                                     \
                        atomic_load_explicit(&(reactor)->counters.what, memory_order_relaxed) + (by),                  \
                        memory_order_relaxed)

struct gt_reactor {
  gt_target *target;
  uint32_t number;
  pthread_t thread;
  int epoll, wake_fd;
  _Atomic bool wake_sent, nexus_woken;
  pthread_mutex_t mail_lock;
  gt_mail *mail, **mail_end;
  _Atomic uint32_t connections;
  bool stopping;
  bool freed, stalled; /* memory, slots or room came back; somebody waits for such */
  bool dooming;        /* a connection is to be closed at the end of the round */
  uint32_t ending;     /* connections that wait for the plane */
  uint64_t now_ns, ticked_ns;
  gt_buffers pool;
  gt_conn *first; /* has waited so long for memory that nobody else gets any; NULL: none has */
  uint8_t *rx;
  gt_conn *ready, **ready_end;
  gt_conn **mine; /* connections of this reactor */
  uint32_t mine_count;
  int listeners[GT_PORTALS_MAX];
  gt_counters counters;
};

typedef struct gt_event_entry {
  struct gt_event_entry *next;
  gt_target_event event;
} gt_event_entry;

struct gt_target {
  gt_target_options options;
  gt_reactor *reactors;
  gt_conn *conns;
  pthread_mutex_t lock;
  uint32_t generation; /* (lock) */
  int listeners[GT_PORTALS_MAX];
  gt_event_entry *events, **events_end; /* (lock) */
  bool notified;                        /* (lock) */
};

/* target.c */
gt_conn *gt_target_adopt(gt_target *target, gt_reactor *reactor); /* a free connection, numbered; NULL: none */
void gt_target_emit(gt_conn *conn, uint8_t kind, const uint8_t *header, uint8_t *data, uint32_t data_len);

/* reactor.c */
int gt_reactor_open(gt_reactor *reactor, gt_target *target, uint32_t number);
void gt_reactor_close(gt_reactor *reactor); /* joins */
void gt_reactor_post(gt_reactor *reactor, gt_mail *mail);
void gt_reactor_wake(gt_reactor *reactor);
void gt_reactor_ready(gt_conn *conn); /* is looked at in the next round */
uint64_t gt_fabric_now(void);

/* portal.c */
int gt_portal_bind(const char *host, uint16_t port, uint16_t *bound, char *err, size_t err_len);
void gt_portal_accept(gt_reactor *reactor, uint32_t portal);
void gt_conn_adopt(gt_reactor *reactor, int fd, uint32_t portal, const char *peer);

/* connection.c: receiving */
void gt_conn_read(gt_conn *conn);
void gt_conn_resume(gt_conn *conn);       /* tries again what was put off */
void gt_conn_wait_no_more(gt_conn *conn); /* for all of the data of a PDU at once */

/* requests.c: what each PDU does. begin: false = put off, nothing has happened. end: its data is there; sound: digest.
 */
bool gt_begin(gt_conn *conn, const uint8_t *bhs, const uint8_t *ahs);
void gt_end(gt_conn *conn, const uint8_t *bhs, bool sound);
void gt_reject(gt_conn *conn, const uint8_t *bhs, uint8_t reason);
/* The peer broke the protocol so that nothing of it can be trusted: Reject, then close. */
void gt_protocol_error(gt_conn *conn, const uint8_t *bhs);
void gt_cmdsn_take(gt_conn *conn, const gt_pdu_head *head);

/* command.c */
bool gt_command_begin(gt_conn *conn, const uint8_t *bhs, const uint8_t *ahs);
void gt_command_end(gt_conn *conn, const uint8_t *bhs, bool sound);
gt_command *gt_command_find(gt_conn *conn, uint32_t itt);
void gt_command_init(gt_command *command, gt_conn *conn, uint16_t slot);
void gt_command_free(gt_command *command);
void gt_command_leave_window(gt_command *command);
void gt_command_go_on(gt_conn *conn);         /* those that wait for memory */
void gt_memory_forgo(gt_conn *conn);          /* it waits for memory no more */
void gt_command_proceed(gt_command *command); /* data-out is whole, or none is needed */
void gt_command_fail(gt_command *command, uint8_t key, uint16_t asc);
void gt_command_answer(gt_command *command); /* what is in io goes out */
void gt_command_settle(gt_command *command); /* after a piece of data-out: on, or what is in io goes out */
/* Ends a command without an answer: at once, or when the plane gives it back; tmf (or NULL) is told. */
void gt_command_abort(gt_command *command, gt_tmf *tmf);
/* The PDU that is being received brings the last data of a command, which is carried out when that is there. */
bool gt_command_last_data(const gt_conn *conn);

/* data_out.c */
bool gt_data_out_begin(gt_conn *conn, const uint8_t *bhs);
void gt_data_out_end(gt_conn *conn, const uint8_t *bhs, bool sound);
void gt_data_out_ask(gt_command *command); /* R2T for what is missing */

/* tmf.c */
void gt_tmf_request(gt_conn *conn, const uint8_t *bhs);
void gt_tmf_told(gt_tmf *tmf); /* one less pending */

/* send.c */
void gt_send(gt_conn *conn, gt_sender *sender, uint8_t kind);
void gt_send_remove(gt_conn *conn, gt_sender *sender);
void gt_send_control(gt_conn *conn, gt_control *control);
gt_control *gt_control_new(uint32_t data_len, uint8_t stamp); /* NULL: no memory */
void gt_conn_flush(gt_conn *conn);
bool gt_send_has_room(const gt_conn *conn); /* for one more control PDU */
void gt_send_forget(gt_conn *conn);         /* the socket is gone */

/* session.c */
/* Of an answer of the supervisor's to a login or text; control may be NULL. */
void gt_session_answer(gt_conn *conn, gt_control *control, const gt_full_feature *enter, bool last);
void gt_conn_doom(gt_conn *conn);   /* closes at the end of the round */
void gt_conn_bury(gt_conn *conn);   /* closes now; the plane's commands come back later */
bool gt_conn_settle(gt_conn *conn); /* true: nothing is left, the connection is free */
void gt_conn_tick(gt_conn *conn);   /* times */
uint32_t gt_max_cmdsn(const gt_conn *conn);
void gt_session_leave(gt_conn *conn, int async_event);

#endif
