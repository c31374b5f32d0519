/* The emulated tape drive, shared by its files: tape.c (life, table), tape_io.c (READ, WRITE, WRITE
 * FILEMARKS, ERASE), tape_move.c (REWIND, SPACE, LOCATE, LOAD UNLOAD), tape_report.c, tape_log.c (READ POSITION and
 * what else it says of itself), tape_attributes.c (READ ATTRIBUTE, WRITE ATTRIBUTE). Everything here is under the
 * device's lock. */
#ifndef GT_TAPE_H
#define GT_TAPE_H

#include "device/cartridge.h"
#include "device/impl.h"
#include "device/write_buffer.h"

typedef struct gt_tape {
  gt_device base;
  gt_cartridge *cartridge; /* NULL: none in the drive */
  gt_write_buffer *buffer; /* NULL: the drive has none */
  bool unloaded;           /* LOAD UNLOAD: it is in the drive, and not ready */
  bool unbuffered;         /* BUFFERED MODE is zero: GOOD means on the medium */
  uint32_t block_length;   /* of the mode block descriptor; 0: variable only */
  uint32_t max_block_bytes;
  /* LOG SENSE: since the drive is there, or LOG SELECT reset them. */
  uint64_t bytes_written, bytes_read;
  uint32_t write_errors, read_errors;
  uint64_t alerts; /* TapeAlert flags that are active; flag 1 is the top bit */
} gt_tape;

enum { GT_TAPE_DENSITY = 0x80 /* vendor-specific */ };
/* TapeAlert flags (SSC-4 8.2.3, annex A). */
enum { GT_ALERT_READ_FAILURE = 5, GT_ALERT_WRITE_FAILURE = 6, GT_ALERT_WRITE_PROTECT = 9, GT_ALERT_NO_REMOVAL = 10 };
static inline void gt_tape_alert(gt_tape *tape, unsigned flag) { tape->alerts |= 1ull << (64 - flag); }

static inline gt_tape *gt_tape_of(const gt_cmd *cmd) { return (gt_tape *)cmd->device; }

/* May the medium be written at the head's place? False: answered. */
bool gt_tape_may_write(gt_cmd *cmd);
/* CHECK CONDITION with a residue in INFORMATION; `sense` says the rest. */
void gt_tape_check(gt_cmd *cmd, gt_sense sense, int64_t residue);
/* What the end of the recorded data looks like: BLANK CHECK, or MEDIUM ERROR where it is damage. */
void gt_tape_at_end(gt_cmd *cmd, int64_t residue);
/* Answers for an errno of the cartridge. */
void gt_tape_medium_error(gt_cmd *cmd, uint16_t asc, int64_t residue);

void gt_tape_read(gt_cmd *cmd);
void gt_tape_write(gt_cmd *cmd);
void gt_tape_write_filemarks(gt_cmd *cmd);
void gt_tape_erase(gt_cmd *cmd);
void gt_tape_rewind(gt_cmd *cmd);
void gt_tape_space_6(gt_cmd *cmd);
void gt_tape_space_16(gt_cmd *cmd);
void gt_tape_locate_10(gt_cmd *cmd);
void gt_tape_locate_16(gt_cmd *cmd);
void gt_tape_load_unload(gt_cmd *cmd);
void gt_tape_position_short(gt_cmd *cmd);
void gt_tape_position_long(gt_cmd *cmd);
void gt_tape_position_extended(gt_cmd *cmd);
void gt_tape_block_limits(gt_cmd *cmd);
void gt_tape_density(gt_cmd *cmd);
void gt_tape_log_sense(gt_cmd *cmd);
void gt_tape_log_select(gt_cmd *cmd);
void gt_tape_read_attribute(gt_cmd *cmd);
void gt_tape_write_attribute(gt_cmd *cmd);

#endif
