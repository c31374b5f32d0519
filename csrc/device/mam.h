/* Medium auxiliary memory (SPC-4 7.4): attributes of a cartridge, in a file beside its image. What is written there is
 * on stable storage, whole or not at all, before it is said to be. The tape's lock is held around every call. */
#ifndef GT_MAM_H
#define GT_MAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GT_MAM_BYTES = 8192, GT_MAM_SERIAL = 32, GT_MAM_HEADER = 5 };
enum gt_mam_format { GT_MAM_BINARY = 0, GT_MAM_ASCII = 1, GT_MAM_TEXT = 2 };

/* Which attributes a host may write, and what they look like. */
typedef struct gt_mam_rule {
  uint16_t id, length; /* its one length; for BINARY of variable length the longest */
  uint8_t format;
  bool variable;
} gt_mam_rule;
extern const gt_mam_rule gt_mam_rules[];
extern const size_t gt_mam_rule_count;
const gt_mam_rule *gt_mam_rule_of(uint16_t id);

typedef struct gt_mam {
  char *path, *fresh_path;
  bool kept;       /* false: the cartridge is write protected, and nothing is stored */
  bool unreadable; /* something else lies there, or it is damaged: nobody reads or writes attributes */
  uint64_t loads, bytes_written, bytes_read; /* of all its life */
  uint64_t load_written, load_read;          /* since it was loaded */
  char serial[GT_MAM_SERIAL + 1];            /* empty: it has none */
  /* Host attributes as they go over the wire (id, format, length, value), ascending. */
  uint8_t attributes[GT_MAM_BYTES];
  uint32_t used;
} gt_mam;

/* Reads what lies beside `image`, or begins anew; counts the load. NULL: no memory. */
gt_mam *gt_mam_open(const char *image, bool write_protected);
/* Stores the counts, and frees. */
void gt_mam_close(gt_mam *mam);
/* 0 or a negative errno, and then the file is as it was. */
int gt_mam_store(gt_mam *mam);
/* The attribute as it stands in `attributes`, or NULL. */
const uint8_t *gt_mam_find(const gt_mam *mam, uint16_t id);
/* Puts an attribute in its place (length 0: takes it away). False: there is no room. Not stored yet. */
bool gt_mam_put(gt_mam *mam, uint16_t id, uint8_t format, const uint8_t *value, uint16_t length);

#endif
