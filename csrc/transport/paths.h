/* Several paths to one logical unit, as one gt_lu: commands go over the active path; when it fails, another one takes
 * over, and what the supervisor's table says may be carried out twice is sent again there. Everything else is answered
 * GT_TRANSPORT, for nobody knows what became of it.
 *
 * Threads: gt_paths_open gives a gt_lu, which has a poller like every other (lu.h). All functions here may be called by
 * any thread, also while the poller works; add sends commands and may take as long as they do.
 *
 * Ownership: gt_paths is counted. The gt_lu holds a share of its own until it is closed. A path that was added is
 * closed by the poller, or with the last share. */
#ifndef GT_PATHS_H
#define GT_PATHS_H

#include "lu.h"

enum { GT_PATHS_MAX = 8, GT_OPCODE_BYTES = 32 };

typedef struct gt_paths gt_paths;

typedef struct gt_paths_options {
  /* One bit for each operation code, 1 << (opcode & 7) in byte opcode / 8: carried out twice, it is as if once. */
  uint8_t again[GT_OPCODE_BYTES];
  uint32_t check_ms; /* how often a path that waits is asked whether it is still there; 0: 10000 */
  /* A path came, failed, or another one is active. Any thread; must not block or call back. NULL: nobody is told. */
  void (*changed)(void *context);
  void (*released)(void *context); /* the last share is gone; NULL: nobody is told */
  void *context;
} gt_paths_options;

/* A share of it is the caller's. */
int gt_paths_new(const gt_paths_options *options, gt_paths **out);
gt_paths *gt_paths_ref(gt_paths *paths);
void gt_paths_unref(gt_paths *paths);

/* Another path, under a number that no other one has that was not removed. From success on lu belongs to paths. The
 * caller has made sure that it leads to the same logical unit (gt_lu_is). settle: nobody else uses the path, so that
 * its unit attention of a new nexus (29h) is taken away here; should no answer of another path prove afterwards that
 * the unit itself was not reset, the first command over this one is told of it after all. -EEXIST; -ENOSPC: too many
 * paths; -EMSGSIZE: it moves less in one command than what was promised when the unit was opened; -ESHUTDOWN: the unit
 * is closed. */
int gt_paths_add(gt_paths *paths, uint32_t id, gt_lu *lu, bool settle);

/* Nothing more is sent over the path; it is closed when what was sent is answered. Also forgets one that is dead. */
void gt_paths_remove(gt_paths *paths, uint32_t id);

/* Once. Limits are the least of the paths that there are. -ENODEV: there is none; -EALREADY. */
int gt_paths_open(gt_paths *paths, gt_lu **out);

typedef enum gt_paths_state { GT_PATHS_STANDBY = 1, GT_PATHS_ACTIVE = 2, GT_PATHS_DEAD = 3 } gt_paths_state;
typedef struct gt_paths_fact {
  uint32_t id;
  uint8_t state;     /* gt_paths_state; dead: it is closed, or will be; remove it and add it anew */
  uint32_t failures; /* commands that it lost */
} gt_paths_fact;
/* closed (may be NULL): the unit was closed, nothing can be added any more. */
size_t gt_paths_facts(gt_paths *paths, gt_paths_fact out[GT_PATHS_MAX], bool *closed);

/* ---- which logical unit it is ---- */

/* A designator of association logical unit in VPD page 83h (SPC-4 7.8.6), or GT_BY_SERIAL: the unit serial number of
 * page 80h together with the vendor of standard INQUIRY data. */
enum { GT_BY_SERIAL = 0xFF, GT_IDENTITY_MAX = 252, GT_VENDOR_BYTES = 8 };
typedef struct gt_identity {
  uint8_t type; /* DESIGNATOR TYPE, or GT_BY_SERIAL */
  uint8_t len;
  uint8_t value[GT_IDENTITY_MAX];   /* without the spaces and zeros at its end, where it is text */
  char vendor[GT_VENDOR_BYTES + 1]; /* of GT_BY_SERIAL, without the spaces at its end */
} gt_identity;
/* Asks the unit (by the poller). 0: it is; -ENXIO: it is another one; -EIO: it does not tell. */
int gt_lu_is(gt_lu *lu, const gt_identity *identity);

#endif
