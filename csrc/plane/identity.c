/* INQUIRY where the supervisor is the copy manager of the device (SPC-4 5.17.2): the device's own words, in which the
 * standard data say that third-party copies are carried out (3PC) and the list of vital product data has the page that
 * says which (8Fh). That page is the supervisor's; what a device has of its own there is of no use behind the bridge.
 */
#include "plane/impl.h"

#include <string.h>

#include "core/bytes.h"

enum {
  EVPD = 0x01,
  PAGE_LIST = 0x00,
  THIRD_PARTY_COPY = 0x8F,
  LIST_HEADER = 4,
  STANDARD_3PC_AT = 5,
  STANDARD_3PC = 0x08,
  /* Before SPC-3 the allocation length was one byte: a device of that time is asked for no more. */
  OLD_ALLOCATION_MAX = 255,
};

/* Copies go from and to disks and tapes. The first byte of every INQUIRY answer has PERIPHERAL QUALIFIER 000b there. */
static bool has_copies(uint8_t qualifier_and_type) {
  return qualifier_and_type == GT_TYPE_DISK || qualifier_and_type == GT_TYPE_TAPE;
}

static bool concerns(const gt_task *task) {
  return task->handling == GT_IDENTITY && task->path->unit && task->nexus->plane->classes.copies;
}

bool gt_identity_is_punted(const gt_task *task) {
  const uint8_t *cdb = task->io.cdb;
  if (!concerns(task) || cdb[1] != EVPD || cdb[2] != THIRD_PARTY_COPY) return false;
  uint8_t type = atomic_load_explicit(&task->path->unit->type, memory_order_relaxed);
  return type == GT_TYPE_UNKNOWN || has_copies(type);
}

bool gt_identity_lend(gt_task *task, gt_page_loan *loan) {
  gt_io *io = &task->io;
  if (!concerns(task) || io->cdb[1] != EVPD || io->cdb[2] != PAGE_LIST || io->dir == GT_DIR_OUT) return false;
  *loan = (gt_page_loan){
      .data = io->data, .data_len = io->data_len, .allocation = gt_load_be16(io->cdb + 3), .dir = io->dir};
  uint16_t room = loan->allocation > OLD_ALLOCATION_MAX ? sizeof loan->list : OLD_ALLOCATION_MAX;
  gt_store_be16(io->cdb + 3, room);
  io->dir = GT_DIR_IN;
  io->data = loan->list;
  io->data_len = room;
  return true;
}

/* What of the list is there; how long it is now. A list that did not come whole, or of another type of device, stays.
 */
static size_t add_page(uint8_t *list, size_t moved) {
  size_t pages = moved < LIST_HEADER ? 0 : gt_load_be16(list + 2), at = LIST_HEADER;
  if (!pages || pages > moved - LIST_HEADER || !has_copies(list[0]) || list[1] != PAGE_LIST) return moved;
  size_t end = LIST_HEADER + pages;
  if (end == GT_PAGE_LIST_MAX || memchr(list + LIST_HEADER, THIRD_PARTY_COPY, pages)) return end;
  while (at < end && list[at] < THIRD_PARTY_COPY)
    at++;
  memmove(list + at + 1, list + at, end - at);
  list[at] = THIRD_PARTY_COPY;
  gt_store_be16(list + 2, (uint16_t)(pages + 1));
  return end + 1;
}

void gt_identity_give_back(gt_task *task, gt_page_loan *loan) {
  gt_io *io = &task->io;
  int64_t moved = (int64_t)io->data_len - io->resid;
  if (moved > (int64_t)io->data_len) moved = io->data_len;
  bool good = io->outcome == GT_DELIVERED && io->status == GT_STATUS_GOOD && moved > 0;
  io->data = loan->data;
  io->data_len = loan->data_len;
  io->dir = loan->dir;
  gt_store_be16(io->cdb + 3, loan->allocation);
  gt_move_data(io, loan->list, good ? add_page(loan->list, (size_t)moved) : 0, loan->allocation);
}

void gt_identity_polish(gt_task *task) {
  gt_io *io = &task->io;
  if (!concerns(task) || io->cdb[1] || io->status != GT_STATUS_GOOD || io->dir != GT_DIR_IN || !io->data) return;
  int64_t moved = (int64_t)io->data_len - io->resid;
  uint8_t *data = io->data;
  if (io->data_len <= STANDARD_3PC_AT || moved <= STANDARD_3PC_AT || !has_copies(data[0])) return;
  data[STANDARD_3PC_AT] |= STANDARD_3PC;
}
