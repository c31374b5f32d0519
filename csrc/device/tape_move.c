/* REWIND, SPACE, LOCATE, LOAD UNLOAD, PREVENT ALLOW MEDIUM REMOVAL (SSC-4 5.4, 6.6, 6.4, 6.3; SPC-4 6.14). */
#include "device/tape.h"

#include <errno.h>

#include "core/bytes.h"

/* What was written is on the medium before the head goes elsewhere: REWIND, SPACE and LOCATE begin with a synchronize
 * operation (SSC-4). False: answered, and the head is where it was. */
static bool settled(gt_cmd *cmd) {
  gt_cartridge *cartridge = gt_tape_of(cmd)->cartridge;
  if (!cartridge->unsynced || !gt_cartridge_sync(cartridge)) return true;
  gt_fail(cmd, GT_KEY_MEDIUM_ERROR, GT_ASC_WRITE_ERROR);
  return false;
}

void gt_tape_rewind(gt_cmd *cmd) {
  if (settled(cmd)) gt_cartridge_rewind(gt_tape_of(cmd)->cartridge);
}

/* A movement that ended early, `residue` short of its count: a positive number in both directions (SSC-4
 * 6.6: early termination of any SPACE shall not result in a negative value). */
static void stopped_at_mark(gt_cmd *cmd, int64_t residue) {
  gt_tape_check(cmd, (gt_sense){.asc = GT_ASC_FILEMARK_DETECTED, .filemark = true}, residue);
}

static void stopped_at_beginning(gt_cmd *cmd, int64_t residue) {
  gt_cartridge_rewind(gt_tape_of(cmd)->cartridge);
  gt_tape_check(cmd, (gt_sense){.asc = GT_ASC_BEGINNING_OF_MEDIUM, .eom = true}, residue);
}

static void lost(gt_cmd *cmd) { gt_fail(cmd, GT_KEY_MEDIUM_ERROR, GT_ASC_UNRECOVERED_READ_ERROR); }

/* The first filemark in front of the head stops it. Checkpoints without one between are leapt over. */
static void blocks_forward(gt_cmd *cmd, uint64_t count) {
  gt_cartridge *cartridge = gt_tape_of(cmd)->cartridge;
  uint64_t start = cartridge->here.object, most = UINT64_MAX - start;
  uint64_t target = start + (count < most ? count : most);
  const gt_tap_place *leap = gt_tap_index_by_object(&cartridge->index, target);
  if (leap->object > start && leap->files == cartridge->here.files) cartridge->here = *leap;
  while (cartridge->here.object < target) {
    gt_tap_object object;
    int64_t residue = (int64_t)(target - cartridge->here.object);
    if (gt_cartridge_look(cartridge, &object)) return lost(cmd);
    if (object.kind != GT_TAP_RECORD && object.kind != GT_TAP_MARK) return gt_tape_at_end(cmd, residue);
    gt_cartridge_pass(cartridge, &object);
    if (object.kind == GT_TAP_MARK) return stopped_at_mark(cmd, residue);
  }
}

static void blocks_backward(gt_cmd *cmd, uint64_t count) {
  gt_cartridge *cartridge = gt_tape_of(cmd)->cartridge;
  gt_tap_place start = cartridge->here;
  uint64_t reachable = start.object; /* blocks between the head and the mark or beginning behind it */
  if (start.files) {
    if (gt_cartridge_seek_before_mark(cartridge, start.files)) return lost(cmd);
    reachable = start.object - cartridge->here.object - 1;
  }
  if (count <= reachable) {
    if (gt_cartridge_seek_object(cartridge, start.object - count)) lost(cmd);
  } else if (start.files) {
    stopped_at_mark(cmd, (int64_t)(count - reachable)); /* in front of the mark already */
  } else {
    stopped_at_beginning(cmd, (int64_t)(count - reachable));
  }
}

static void marks_forward(gt_cmd *cmd, uint64_t count) {
  gt_cartridge *cartridge = gt_tape_of(cmd)->cartridge;
  uint64_t reachable = cartridge->end.files - cartridge->here.files;
  if (count <= reachable) {
    if (gt_cartridge_seek_file(cartridge, cartridge->here.files + count)) lost(cmd);
    return;
  }
  cartridge->here = cartridge->end;
  gt_tape_at_end(cmd, (int64_t)(count - reachable));
}

static void marks_backward(gt_cmd *cmd, uint64_t count) {
  gt_cartridge *cartridge = gt_tape_of(cmd)->cartridge;
  uint64_t reachable = cartridge->here.files;
  if (count > reachable) return stopped_at_beginning(cmd, (int64_t)(count - reachable));
  if (gt_cartridge_seek_before_mark(cartridge, reachable - count + 1)) lost(cmd);
}

static void end_of_data(gt_cmd *cmd) {
  gt_cartridge *cartridge = gt_tape_of(cmd)->cartridge;
  cartridge->here = cartridge->end;
  if (cartridge->damaged) gt_fail(cmd, GT_KEY_MEDIUM_ERROR, GT_ASC_END_OF_DATA_NOT_FOUND);
}

static void space(gt_cmd *cmd, int64_t count) {
  uint64_t distance = count < 0 ? (uint64_t) - (count + 1) + 1 : (uint64_t)count;
  if (!settled(cmd)) return;
  switch (cmd->cdb[1] & 0x0F) {
  case 0:
    if (count > 0)
      blocks_forward(cmd, distance);
    else if (count < 0)
      blocks_backward(cmd, distance);
    return;
  case 1:
    if (count > 0)
      marks_forward(cmd, distance);
    else if (count < 0)
      marks_backward(cmd, distance);
    return;
  case 3: return end_of_data(cmd);
  default: return gt_fail_field(cmd, 1, 3);
  }
}

void gt_tape_space_6(gt_cmd *cmd) {
  uint32_t count = gt_load_be24(cmd->cdb + 2);
  space(cmd, count & 0x800000 ? (int64_t)count - 0x1000000 : (int64_t)count);
}

void gt_tape_space_16(gt_cmd *cmd) { space(cmd, (int64_t)gt_load_be64(cmd->cdb + 4)); }

/* The answer of a LOCATE; at the end of data before the place asked for it is BLANK CHECK. */
static void located(gt_cmd *cmd, int error) {
  if (error == -ENODATA && !gt_tape_of(cmd)->cartridge->damaged)
    return gt_fail(cmd, GT_KEY_BLANK_CHECK, GT_ASC_END_OF_DATA);
  if (error) lost(cmd);
}

/* BT asks for an address of the vendor's own kind, as READ POSITION's service action 01h tells it: here the same object
 * number. The Linux st driver asks in no other way (`mt tell`, `mt seek`). There is one partition, number 0. */
void gt_tape_locate_10(gt_cmd *cmd) {
  if (cmd->cdb[1] & 0x02 && cmd->cdb[8]) return gt_fail_field(cmd, 8, -1);
  if (!settled(cmd)) return;
  located(cmd, gt_cartridge_seek_object(gt_tape_of(cmd)->cartridge, gt_load_be32(cmd->cdb + 3)));
}

void gt_tape_locate_16(gt_cmd *cmd) {
  gt_cartridge *cartridge = gt_tape_of(cmd)->cartridge;
  uint64_t identifier = gt_load_be64(cmd->cdb + 4);
  if (cmd->cdb[1] & 0x02 && cmd->cdb[3]) return gt_fail_field(cmd, 3, -1);
  if (!settled(cmd)) return;
  switch (cmd->cdb[1] >> 3 & 0x03) { /* DEST_TYPE */
  case 0: return located(cmd, gt_cartridge_seek_object(cartridge, identifier));
  case 1: return located(cmd, gt_cartridge_seek_file(cartridge, identifier));
  case 3: return end_of_data(cmd);
  default: return gt_fail_field(cmd, 1, 4);
  }
}

/* LOAD and RETEN; an unloaded cartridge stays in the drive, not ready, until it is loaded or taken out. */
void gt_tape_load_unload(gt_cmd *cmd) {
  gt_tape *tape = gt_tape_of(cmd);
  bool load = cmd->cdb[4] & 0x01;
  if (!tape->cartridge || (!load && tape->unloaded)) {
    if (load) gt_fail(cmd, GT_KEY_NOT_READY, GT_ASC_MEDIUM_NOT_PRESENT);
    return;
  }
  if (!load && gt_removal_prevented(&tape->base)) {
    gt_tape_alert(tape, GT_ALERT_NO_REMOVAL);
    return gt_fail(cmd, GT_KEY_ILLEGAL_REQUEST, GT_ASC_MEDIUM_REMOVAL_PREVENTED);
  }
  gt_cartridge_rewind(tape->cartridge);
  if (!load && gt_cartridge_settle(tape->cartridge)) return gt_fail(cmd, GT_KEY_MEDIUM_ERROR, GT_ASC_WRITE_ERROR);
  if (load && tape->unloaded) gt_device_attention(&tape->base, GT_UA_MEDIUM_CHANGED, cmd->nexus);
  tape->unloaded = !load;
}

int gt_tape_unload(gt_device *device) {
  gt_tape *tape = (gt_tape *)device;
  int result = -ENOMEDIUM;
  if (device->class->type != GT_TYPE_TAPE) return -ENODEV;
  pthread_mutex_lock(&device->lock);
  if (tape->cartridge && gt_removal_prevented(device)) {
    result = -EBUSY;
  } else if (tape->cartridge) {
    result = gt_cartridge_close(tape->cartridge);
    tape->cartridge = NULL;
  }
  pthread_mutex_unlock(&device->lock);
  return result;
}
