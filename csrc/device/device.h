/* Emulated logical units, the embedded default: a disk (SBC-3) and a tape drive (SSC-4) that other
 * people's clients can use. A device executes whole commands; it knows nothing of transports.
 *
 * Threads: gt_device_execute may be called by several threads (several nexuses); each device has one
 * lock of its own. A device is reference-counted; it is freed when the last reference goes. */
#ifndef GT_DEVICE_H
#define GT_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../transport/lu.h"

typedef struct gt_device gt_device;

/* State that the device keeps for each I_T nexus (unit attentions pending, and for REQUEST SENSE). The
 * slots are the device's; a nexus number comes from gt_device_attach and lies in [0, GT_NEXUS_MAX). */
enum { GT_NEXUS_MAX = 1040 };            /* all of the bridge (plane.h: 1024), and a few of this process for itself */
int gt_device_attach(gt_device *device); /* nexus number, or -EBUSY; new nexus: UNIT ATTENTION 29h/00h */
void gt_device_detach(gt_device *device, int nexus);
/* The I_T nexus is lost: what it held fast is free at once. Never waits; gt_device_detach may follow when it likes. */
void gt_device_lose(gt_device *device, int nexus);
/* Takes the most urgent unit attention of a nexus as ASC and ASCQ, for who reports it in the device's place; 0: none is
 * pending. */
uint16_t gt_device_take_attention(gt_device *device, int nexus);

/* Which target port a nexus comes by, for VPD 83h and REPORT TARGET PORT GROUPS. */
enum { GT_PORT_NAME_MAX = 236 }; /* an iSCSI name of 223 bytes, what follows it, and the end, in whole words of four */
typedef struct gt_port {
  uint16_t relative, group;    /* RELATIVE TARGET PORT IDENTIFIER, TARGET PORT GROUP */
  char name[GT_PORT_NAME_MAX]; /* SCSI name string, "iqn.…,t,0x0001" (RFC 7143 4.4.1); empty: none is told */
} gt_port;
/* The port is lent until the nexus is detached. Without one: port 1 of group 1, without a name. Never waits. */
void gt_device_set_port(gt_device *device, int nexus, const gt_port *port);
/* Logical unit reset (SAM-5 6.3.3) as far as it is the device's: mode parameters as at power on, medium removal
 * allowed. Takes effect before the next command; never waits. Who calls it aborts tasks and tells the nexuses. */
void gt_device_reset(gt_device *device);

/* Executes io->cdb to its end on the calling thread and fills in the answer (outcome GT_DELIVERED,
 * status, sense, resid). Never calls io->done. */
void gt_device_execute(gt_device *device, int nexus, gt_io *io);

gt_device *gt_device_ref(gt_device *device);
void gt_device_unref(gt_device *device);

typedef struct gt_disk_options {
  const char *path;                      /* file or block device; a file is created if `blocks` is not 0 */
  uint32_t block_bytes;                  /* 512 or 4096 */
  uint64_t blocks;                       /* 0: as many as the file has */
  const char *vendor, *product, *serial; /* INQUIRY; NULL: Gantry's own */
  bool thin;                             /* LBPME: UNMAP and WRITE SAME unmap punch holes */
  bool read_only;                        /* answers writes with DATA PROTECT, WRITE PROTECTED */
  uint32_t max_transfer_blocks;          /* VPD B0h; 0: 8 MiB */
  bool volatile_cache;                   /* what was not synchronized is lost with the process */
  bool removable;                        /* RMB: the medium can be ejected, loaded, and held fast */
  uint32_t physical_block_bytes;         /* READ CAPACITY(16); 0: 4096. A power of two times block_bytes */
} gt_disk_options;
int gt_disk_open(const gt_disk_options *options, gt_device **out, char *err, size_t err_len);

typedef struct gt_tape_options {
  const char *vendor, *product, *serial;
  uint32_t max_block_bytes; /* READ BLOCK LIMITS; 0: 8 MiB */
  bool volatile_cache;      /* a buffer in memory: what was not synchronized is lost with the process */
} gt_tape_options;
int gt_tape_open(const gt_tape_options *options, gt_device **out, char *err, size_t err_len);

/* A cartridge is a SIMH tape image (.tap) and, beside it, an index (.tap.idx) that is rebuilt whenever
 * it does not match. Loading makes UNIT ATTENTION 28h/00h for every nexus. */
typedef struct gt_cartridge_options {
  const char *path;
  uint64_t capacity_bytes;      /* 0: unlimited. Counts data bytes */
  uint64_t early_warning_bytes; /* before the end of medium; 0: 1/64 of the capacity, at least 4 MiB or 1/4 if that is
                                   less */
  bool write_protected;
  bool worm;
} gt_cartridge_options;
int gt_tape_load(gt_device *tape, const gt_cartridge_options *cartridge, char *err, size_t err_len);
int gt_tape_unload(gt_device *tape); /* -ENOMEDIUM, -EBUSY (PREVENT MEDIUM REMOVAL) */

/* Fault injection, for tests and drills: the next `count` commands with this opcode (0xFFFF: any) whose
 * LBA range (disk) or object number (tape) touches [first, last] end as given, after `skip` of them
 * passed. */
typedef struct gt_fault {
  uint16_t opcode;
  uint64_t first, last;
  uint32_t skip, count;
  uint8_t status;         /* SAM status to answer with; GOOD: only the delay */
  uint8_t key, asc, ascq; /* sense when status is CHECK CONDITION */
  uint8_t outcome;        /* gt_outcome: GT_TRANSPORT or GT_TIMED_OUT instead of an answer */
  bool after;             /* do the work first, then answer with the fault (a lost answer) */
  bool deferred;          /* sense response code 71h */
  uint32_t delay_ms;
} gt_fault;
int gt_device_inject(gt_device *device, const gt_fault *fault);
void gt_device_clear_faults(gt_device *device);

/* Paces a device as if it moved bytes_per_s at most (0: unpaced). */
void gt_device_pace(gt_device *device, uint64_t bytes_per_s);
/* Paces a tape drive as its motor: the tape moves at this speed out of a buffer of so many bytes, which WRITEs fill
 * (stream.h). Instead of gt_device_pace; 0: unpaced. */
void gt_tape_stream(gt_device *tape, uint64_t bytes_per_s, uint64_t buffer_bytes);
/* How often since then the tape began to move, and how often its buffer ran empty while nobody had asked for that. */
void gt_tape_stream_counts(gt_device *tape, uint64_t *starts, uint64_t *underruns);

#endif
