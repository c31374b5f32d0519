/* What the files of the emulated devices share: the common part of a device, the opcode tables, and the
 * helpers that every command handler speaks in. Nothing outside csrc/device and the virtual transport
 * includes this. */
#ifndef GT_DEVICE_IMPL_H
#define GT_DEVICE_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/scsi.h"
#include "core/sense.h"
#include "device/device.h"
#include "device/stream.h"

typedef struct gt_row gt_row;

/* One command on its way through a device. */
typedef struct gt_cmd {
  gt_device *device;
  gt_io *io;
  const uint8_t *cdb;
  const gt_row *row;
  int nexus;
  uint64_t moved; /* payload bytes moved, for the pace; not parameter data */
} gt_cmd;

enum gt_row_flags {
  GT_ROW_UA_EXEMPT = 1,  /* executed with a unit attention pending (SAM-5 5.14) */
  GT_ROW_LOCKED = 2,     /* executed with the device's lock held */
  GT_ROW_MEDIUM = 4,     /* needs a ready medium */
  GT_ROW_WRITES = 8,     /* changes the medium: refused when it is write protected */
  GT_ROW_LBA = 16,       /* disk: the CDB has an LBA where its length says (SPC-4 4.2.5) */
  GT_ROW_THIN = 32,      /* disk: offered by thin disks only */
  GT_ROW_REMOVABLE = 64, /* disk: offered where the medium can be ejected */
  GT_ROW_FILE = 128,     /* disk: offered where a file is behind it, beside which records can be kept */
  GT_ROW_ALWAYS = 256,   /* executed while nothing else is: SANITIZE runs, or has failed */
  GT_ROW_TAKES = 1024,   /* data-out that is not there yet is taken by the handler; all others find it there */
  GT_ROW_BRIDGE = 512,   /* told of by REPORT SUPPORTED OPERATION CODES; the bridge answers it in the device's place */
};

enum { GT_NO_ACTION = -1 };

/* One row of an opcode table. An opcode without a row is refused, and so is a bit outside `usage`. */
struct gt_row {
  uint8_t opcode;
  uint8_t length; /* CDB bytes */
  int16_t action; /* service action, or GT_NO_ACTION. Rows of one opcode follow each other */
  uint16_t flags; /* enum gt_row_flags */
  void (*run)(gt_cmd *cmd);
  uint8_t usage[16]; /* bits of the CDB that mean something (SPC-4 6.34.3); byte 0 is not looked at */
};

enum { GT_MODE_PAGE_MAX = 20 };

/* A mode page with its two-byte header (page_0 format). */
typedef struct gt_mode_page {
  uint8_t length;
  uint8_t defaults[GT_MODE_PAGE_MAX];
  uint8_t changeable[GT_MODE_PAGE_MAX];
} gt_mode_page;

enum { GT_MODE_PAGES_MAX = 8, GT_VPD_MAX = 640 };

/* What makes a disk a disk and a tape a tape. */
typedef struct gt_device_class {
  uint8_t type; /* peripheral device type */
  bool removable;
  uint16_t standard; /* version descriptor (SPC-4 table 148) */
  const char *product;
  const gt_row *rows;
  size_t row_count;
  const uint8_t *vpd_pages; /* besides 00h, 80h, 83h, 85h and 86h; ascending */
  size_t vpd_page_count;
  const gt_mode_page *mode_pages; /* ascending page codes */
  size_t mode_page_count;

  /* May the device start this row's command now? Answers the command itself where not. */
  bool (*admit)(gt_cmd *cmd);
  bool (*offers)(const gt_device *device, const gt_row *row);
  /* What REQUEST SENSE says without a unit attention: why the device is not ready, or nothing (SPC-4 6.39). */
  void (*condition)(gt_device *device, gt_sense *out);
  /* LBAs or object numbers that the command touches; false: it touches none. */
  bool (*range)(const gt_cmd *cmd, uint64_t *first, uint64_t *last);
  /* Fills in `out` (zeroed, GT_VPD_MAX bytes) from its byte 4 on and returns the page length. */
  size_t (*vpd)(gt_device *device, uint8_t page, uint8_t *out);
  uint8_t (*device_specific)(gt_device *device); /* of the mode parameter header */
  void (*block_descriptor)(gt_device *device, uint8_t out[8]);
  /* Judges (apply: false) or takes over (apply: true) what MODE SELECT says in its device-specific byte
   * and in its block descriptor (NULL: there is none); false: refused. */
  bool (*select)(gt_device *device, uint8_t specific, const uint8_t *descriptor, bool apply);
  void (*mode_changed)(gt_device *device);
  void (*reset)(gt_device *device); /* what mode parameters outside the pages are at power on; NULL: there are none */
  void (*destroy)(gt_device *device);
} gt_device_class;

/* Unit attentions pending, in the order in which they are reported. */
enum gt_unit_attention {
  GT_UA_POWER_ON = 1,
  GT_UA_MEDIUM_CHANGED = 2,
  GT_UA_MODE_CHANGED = 4,
  GT_UA_LOG_CHANGED = 8,
};

typedef struct gt_nexus {
  bool attached; /* under lock */
  atomic_bool prevents_removal;
  _Atomic(const gt_port *) port; /* NULL: nobody said; read under lock where it is another's */
  atomic_uint attentions;
} gt_nexus;

enum { GT_FAULTS_MAX = 64 };

struct gt_device {
  const gt_device_class *class;
  atomic_uint references;
  pthread_mutex_t lock;
  uint8_t row_of[256]; /* 1 + index of an opcode's first row; 0: not offered */
  gt_nexus nexuses[GT_NEXUS_MAX];

  pthread_mutex_t fault_lock;
  atomic_uint fault_count;
  gt_fault faults[GT_FAULTS_MAX]; /* under fault_lock, in the order of injection */

  atomic_uint_fast64_t bytes_per_s; /* 0: unpaced */
  uint64_t paced_until_ns;          /* under fault_lock */
  gt_stream stream;                 /* under fault_lock; a tape that is paced as its motor */

  char vendor[9], product[17], revision[5], serial[65];
  uint8_t naa[8];

  atomic_bool reset_asked; /* gt_device_reset; the next command carries it out */
  bool removable;

  uint8_t mode[GT_MODE_PAGES_MAX][GT_MODE_PAGE_MAX]; /* current values, under lock */
  atomic_bool descriptor_sense;                      /* D_SENSE of the control page */
};

/* device.c */
gt_port gt_device_port(const gt_nexus *nexus);
int gt_device_init(gt_device *device, const gt_device_class *class, const char *vendor, const char *product,
                   const char *serial);
void gt_device_fini(gt_device *device);
/* Executes the command. *due_ns (CLOCK_MONOTONIC) is when its answer may be given: now, or later for a
 * paced or delayed device. gt_device_execute is this with a sleep. */
void gt_device_run(gt_device *device, int nexus, gt_io *io, uint64_t *due_ns);
uint64_t gt_now_ns(void);
/* A new file is on stable storage only when its directory is: 0 or a negative errno. */
int gt_sync_directory_of(const char *path);
/* Sets a unit attention for every nexus but one (-1: for all). */
void gt_device_attention(gt_device *device, unsigned attention, int except);
/* Writes a printf-like sentence to err (may be NULL). Returns `result`, so that callers can return it. */
int gt_explain(int result, char *err, size_t err_len, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* reply.c: how handlers answer. A handler that answers nothing has said GOOD. */
void gt_check(gt_cmd *cmd, const gt_sense *sense);
void gt_fail(gt_cmd *cmd, uint8_t key, uint16_t asc);
/* INVALID FIELD IN CDB and IN PARAMETER LIST; bit -1: the whole byte. */
void gt_fail_field(gt_cmd *cmd, unsigned byte, int bit);
void gt_fail_parameter(gt_cmd *cmd, unsigned byte, int bit);
/* Data-in bytes that the caller has room for, and data-out bytes that it offers. */
uint32_t gt_room(const gt_cmd *cmd);
uint32_t gt_offered(const gt_cmd *cmd);
/* Says that the command moves `bytes`: sets the residual, negative where there is too little room. */
void gt_moves(gt_cmd *cmd, uint64_t bytes);
/* Parameter data in: as much as the allocation length and the room allow. */
void gt_reply(gt_cmd *cmd, const uint8_t *data, size_t length, size_t allocation_length);
/* Parameter list of `length` bytes, or NULL after having answered that it is not there. */
const uint8_t *gt_parameters(gt_cmd *cmd, size_t length);

/* Brings what data-out is not there yet to where it belongs. 0 or a negative errno. */
int gt_take_rest(gt_io *io);

/* fault.c */
bool gt_fault_take(gt_cmd *cmd, gt_fault *out);
void gt_fault_answer(gt_cmd *cmd, const gt_fault *fault);
/* Returns when a device of this pace, busy with everything before it, has done what the command moved. */
uint64_t gt_pace(const gt_cmd *cmd, uint64_t now_ns);

/* Handlers that both types have: spc.c, inquiry.c, mode.c. */
void gt_spc_test_unit_ready(gt_cmd *cmd);
void gt_spc_request_sense(gt_cmd *cmd);
void gt_spc_report_luns(gt_cmd *cmd);
void gt_spc_report_opcodes(gt_cmd *cmd);
void gt_spc_report_functions(gt_cmd *cmd);
void gt_spc_report_port_groups(gt_cmd *cmd);
void gt_spc_prevent(gt_cmd *cmd);
void gt_spc_by_bridge(gt_cmd *cmd);
void gt_spc_send_diagnostic(gt_cmd *cmd);
/* Does any nexus prevent medium removal? Lock held. */
bool gt_removal_prevented(const gt_device *device);
/* One command's answer to LOG SENSE: page code 00h to 3Fh without subpages, `length` bytes of parameters from data + 4
 * on. */
void gt_log_reply(gt_cmd *cmd, uint8_t *data, size_t length);
/* The page that LOG SENSE asks for, or -1: answered. */
int gt_log_page(gt_cmd *cmd);
/* LOG SELECT, judged; true: the counters of the page (0: of all) are to begin anew. */
bool gt_log_resets(gt_cmd *cmd, const uint8_t *pages, size_t count, uint8_t *page);
/* Puts a log parameter of up to 8 bytes, format and linking 03h (binary list); returns its bytes. */
size_t gt_log_parameter(uint8_t *out, uint16_t code, unsigned bytes, uint64_t value);
void gt_spc_inquiry(gt_cmd *cmd);
void gt_mode_sense(gt_cmd *cmd);
void gt_mode_select(gt_cmd *cmd);
/* Takes over the defaults; called by gt_device_init. */
void gt_mode_reset(gt_device *device);
/* Current values of a page with its header, or NULL. Lock held. */
const uint8_t *gt_mode_current(const gt_device *device, uint8_t code);
bool gt_device_row(const gt_device *device, const uint8_t *cdb, const gt_row **row, bool *opcode_known);
/* Takes the most urgent unit attention of a nexus; 0: none is pending. */
unsigned gt_attention_take(gt_device *device, int nexus);
uint16_t gt_attention_asc(unsigned attention);

/* The rows of these commands are the same in every table; the last ones are the bridge's own. */
#define GT_A4 0xFF, 0xFF, 0xFF, 0xFF
#define GT_BY_BRIDGE(opcode, length, action, ...)                                                                      \
  { opcode, length, action, GT_ROW_BRIDGE, gt_spc_by_bridge, __VA_ARGS__ }
#define GT_USAGE(...)                                                                                                  \
  { __VA_ARGS__ }
#define GT_SPC_ROWS                                                                                                    \
  {GT_TEST_UNIT_READY, 6, GT_NO_ACTION, GT_ROW_MEDIUM | GT_ROW_LOCKED, gt_spc_test_unit_ready, {0}},                   \
      {GT_REQUEST_SENSE,     6, GT_NO_ACTION, GT_ROW_UA_EXEMPT | GT_ROW_ALWAYS, gt_spc_request_sense,                  \
       {0, 0x01, 0, 0, 0xFF}},                                                                                         \
      {GT_INQUIRY, 6, GT_NO_ACTION, GT_ROW_UA_EXEMPT | GT_ROW_ALWAYS, gt_spc_inquiry, {0, 0x01, 0xFF, 0xFF, 0xFF}},    \
      {GT_MODE_SELECT_6, 6, GT_NO_ACTION, GT_ROW_LOCKED, gt_mode_select, {0, 0x11, 0, 0, 0xFF}},                       \
      {GT_MODE_SENSE_6, 6, GT_NO_ACTION, GT_ROW_LOCKED, gt_mode_sense, {0, 0x08, 0xFF, 0xFF, 0xFF}},                   \
      {GT_SEND_DIAGNOSTIC, 6, GT_NO_ACTION, 0, gt_spc_send_diagnostic, {0, 0xF7, 0, 0xFF, 0xFF}},                      \
      {GT_MODE_SELECT_10, 10, GT_NO_ACTION, GT_ROW_LOCKED, gt_mode_select, {0, 0x11, 0, 0, 0, 0, 0, 0xFF, 0xFF}},      \
      {GT_MODE_SENSE_10, 10, GT_NO_ACTION, GT_ROW_LOCKED, gt_mode_sense, {0, 0x18, 0xFF, 0xFF, 0, 0, 0, 0xFF, 0xFF}},  \
      {GT_REPORT_LUNS,     12,                                                                                         \
       GT_NO_ACTION,       GT_ROW_UA_EXEMPT | GT_ROW_ALWAYS,                                                           \
       gt_spc_report_luns, {0, 0, 0xFF, 0, 0, 0, GT_A4}},                                                              \
      {GT_MAINTENANCE_IN,                                                                                              \
       12,                                                                                                             \
       GT_MI_REPORT_TARGET_PORT_GROUPS,                                                                                \
       GT_ROW_LOCKED | GT_ROW_ALWAYS,                                                                                  \
       gt_spc_report_port_groups,                                                                                      \
       {0, 0xFF, 0, 0, 0, 0, GT_A4}},                                                                                  \
      {GT_MAINTENANCE_IN,                                                                                              \
       12,                                                                                                             \
       GT_MI_REPORT_SUPPORTED_OPCODES,                                                                                 \
       GT_ROW_ALWAYS,                                                                                                  \
       gt_spc_report_opcodes,                                                                                          \
       {0, 0x1F, 0x87, 0xFF, 0xFF, 0xFF, GT_A4}},                                                                      \
      {GT_MAINTENANCE_IN,          12,                                                                                 \
       GT_MI_REPORT_SUPPORTED_TMF, GT_ROW_ALWAYS,                                                                      \
       gt_spc_report_functions,    {0, 0x1F, 0x80, 0, 0, 0, GT_A4}},                                                   \
      GT_BY_BRIDGE(GT_RESERVE_6, 6, GT_NO_ACTION, GT_USAGE(0)),                                                        \
      GT_BY_BRIDGE(GT_RELEASE_6, 6, GT_NO_ACTION, GT_USAGE(0)),                                                        \
      GT_BY_BRIDGE(GT_RESERVE_10, 10, GT_NO_ACTION, GT_USAGE(0, 0x12, 0, 0xFF, 0, 0, 0, 0xFF, 0xFF)),                  \
      GT_BY_BRIDGE(GT_RELEASE_10, 10, GT_NO_ACTION, GT_USAGE(0, 0x12, 0, 0xFF, 0, 0, 0, 0xFF, 0xFF)), GT_PR_IN(0),     \
      GT_PR_IN(1), GT_PR_IN(2), GT_PR_IN(3), GT_PR_OUT(0), GT_PR_OUT(1), GT_PR_OUT(2), GT_PR_OUT(3), GT_PR_OUT(4),     \
      GT_PR_OUT(5), GT_PR_OUT(6), GT_PR_OUT(7), GT_PR_OUT(8),                                                          \
      GT_BY_BRIDGE(GT_SECURITY_PROTOCOL_IN, 12, GT_NO_ACTION, GT_USAGE(0, 0xFF, 0xFF, 0xFF, 0x80, 0, GT_A4)),          \
      GT_BY_BRIDGE(GT_SECURITY_PROTOCOL_OUT, 12, GT_NO_ACTION, GT_USAGE(0, 0xFF, 0xFF, 0xFF, 0x80, 0, GT_A4))
/* Third-party copies (SPC-4 6.3 to 6.5, 6.20 to 6.26, 6.31). The list identifier is in bytes 2 to 5 where it has four,
 * in byte 2 where it has one, and elsewhere in the parameter list. */
#define GT_COPY_OUT(action)                                                                                            \
  GT_BY_BRIDGE(GT_THIRD_PARTY_COPY_OUT, 16, action, GT_USAGE(0, 0x1F, 0, 0, 0, 0, 0, 0, 0, 0, GT_A4))
#define GT_COPY_ABORT GT_BY_BRIDGE(GT_THIRD_PARTY_COPY_OUT, 16, 0x1C, GT_USAGE(0, 0x1F, GT_A4))
#define GT_COPY_IN(action, ...)                                                                                        \
  GT_BY_BRIDGE(GT_THIRD_PARTY_COPY_IN, 16, action, GT_USAGE(0, 0x1F, __VA_ARGS__, 0, 0, 0, 0, GT_A4))
#define GT_COPY_OUT_ROWS GT_COPY_OUT(0x00), GT_COPY_OUT(0x01), GT_COPY_ABORT
#define GT_COPY_IN_ROWS                                                                                                \
  GT_COPY_IN(0x00, 0xFF, 0, 0, 0), GT_COPY_IN(0x01, 0xFF, 0, 0, 0), GT_COPY_IN(0x03, 0, 0, 0, 0),                      \
      GT_COPY_IN(0x04, 0xFF, 0, 0, 0), GT_COPY_IN(0x05, GT_A4), GT_COPY_IN(0x06, GT_A4), GT_COPY_IN(0x08, 0, 0, 0, 0)
#define GT_PR_IN(action)                                                                                               \
  GT_BY_BRIDGE(GT_PERSISTENT_RESERVE_IN, 10, action, GT_USAGE(0, 0x1F, 0, 0, 0, 0, 0, 0xFF, 0xFF))
#define GT_PR_OUT(action) GT_BY_BRIDGE(GT_PERSISTENT_RESERVE_OUT, 10, action, GT_USAGE(0, 0x1F, 0xFF, 0, 0, GT_A4))

#endif
