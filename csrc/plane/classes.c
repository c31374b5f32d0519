/* The supervisor's table of operation codes: found in the time of one look-up where an opcode has no service actions.
 */
#include "plane/impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"

enum { VARIABLE_LENGTH = 0x7F, ROWS_MAX = 4096 };

static bool row_is_sound(const gt_class_row *row) {
  const uint8_t flags = GT_CLASS_NO_ATTENTION | GT_CLASS_WRITES | GT_CLASS_SLOW | GT_CLASS_PATIENT;
  if (row->class_ >= GT_CLASSES || row->handling > GT_IDENTITY || row->flags & ~flags) return false;
  if (row->flags & GT_CLASS_PATIENT && row->handling != GT_PUNT) return false;
  return row->action >= -1 && (row->opcode == VARIABLE_LENGTH || row->action <= 0x1F);
}

static int compare(const void *a, const void *b) {
  const gt_class_row *left = a, *right = b;
  if (left->opcode != right->opcode) return left->opcode < right->opcode ? -1 : 1;
  return (left->action > right->action) - (left->action < right->action);
}

/* A row for all of an opcode beside one for an action of it is a contradiction. */
static bool rows_agree(const gt_class_row *rows, size_t count) {
  for (size_t i = 1; i < count; i++) {
    if (rows[i].opcode != rows[i - 1].opcode) continue;
    if (rows[i - 1].action == -1 || rows[i].action == rows[i - 1].action) return false;
  }
  return true;
}

int gt_classes_set(gt_classes *classes, const gt_class_row *rows, size_t count) {
  if (!count || count > ROWS_MAX) return -EINVAL;
  for (size_t i = 0; i < count; i++)
    if (!row_is_sound(&rows[i])) return -EINVAL;
  gt_class_row *own = malloc(count * sizeof *own);
  if (!own) return -ENOMEM;
  memcpy(own, rows, count * sizeof *own);
  qsort(own, count, sizeof *own, compare);
  if (!rows_agree(own, count)) {
    free(own);
    return -EINVAL;
  }
  free(classes->rows);
  memset(classes, 0, sizeof *classes);
  classes->rows = own;
  for (size_t i = count; i-- > 0;) {
    classes->first[own[i].opcode] = (uint16_t)i;
    classes->count[own[i].opcode]++;
    if (own[i].opcode == GT_THIRD_PARTY_COPY_OUT && own[i].handling == GT_PUNT) classes->copies = true;
  }
  return 0;
}

static int action_of(const uint8_t *cdb, size_t length) {
  if (cdb[0] != VARIABLE_LENGTH) return cdb[1] & 0x1F;
  return length >= 10 ? gt_load_be16(cdb + 8) : -2;
}

const gt_class_row *gt_classes_find(const gt_classes *classes, const uint8_t *cdb, size_t length, bool *opcode_known) {
  uint16_t count = classes->count[cdb[0]];
  *opcode_known = count != 0;
  if (!count) return NULL;
  const gt_class_row *row = &classes->rows[classes->first[cdb[0]]];
  if (row->action == -1) return row;
  int action = action_of(cdb, length);
  for (const gt_class_row *end = row + count; row < end; row++)
    if (row->action == action) return row;
  return NULL;
}

int gt_plane_classes(gt_plane *plane, const gt_class_row *rows, size_t count) {
  return gt_classes_set(&plane->classes, rows, count);
}
