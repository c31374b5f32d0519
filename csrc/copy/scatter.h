/* The scattering side's files to each other. */
#ifndef GT_SCATTER_H
#define GT_SCATTER_H

#include "internal.h"

/* Takes `bytes` that are there into the digests and moves the position past them; with 0 only closes members
 * that end here. */
void gt_scatter_digest(gt_copy *copy, uint64_t bytes);
/* The member that is open ends, the one with this tag (0: none) begins; nothing where it is the same. */
void gt_scatter_switch(gt_copy *copy, uint32_t tag);
/* HOLD and GT_SEG_HELD. The segment begins; `bytes` from the position on are taken; it is through. */
void gt_scatter_hold_open(gt_copy *copy, const gt_seg *seg);
void gt_scatter_hold(gt_copy *copy, uint64_t bytes);
void gt_scatter_tell_held(gt_copy *copy);
/* A mark was dropped: gather goes on if it waited for the room. */
void gt_scatter_marked(gt_copy *copy);
/* The first segment begins (no memory: failed), is through. */
void gt_scatter_open(gt_copy *copy, const gt_seg *seg);
void gt_scatter_drop(gt_copy *copy);
void gt_scatter_fail(gt_copy *copy, const gt_cmd *cmd);
void gt_scatter_consumed(gt_copy *copy);
void gt_scatter_no_memory(gt_copy *copy);
/* Nothing may be outstanding. Makes everything so far durable and says so; false: that failed. */
bool gt_scatter_checkpoint(gt_copy *copy, bool last);
/* By bytes or by time; else *until is when to look again. */
bool gt_scatter_checkpoint_due(gt_copy *copy, uint64_t *until);
bool gt_scatter_flush(gt_copy *copy, uint8_t lu);
/* The drive says where it is, and that is where we think it is. */
bool gt_scatter_position_agrees(gt_copy *copy, uint8_t lu);
/* Before the first thing that is written to the tape. */
bool gt_scatter_tape_begin(gt_copy *copy, uint8_t lu);

/* there: bytes from the position on that gather has made. They return what to wait for, with *need the position
 * that `produced` has to reach. */
enum gt_step gt_scatter_tape(gt_copy *copy, uint64_t there, uint64_t *need);
/* AS_GATHERED */
enum gt_step gt_scatter_as_gathered(gt_copy *copy, uint64_t there, uint64_t *need);
/* Sends the block that is ready. */
enum gt_step gt_scatter_tape_write(gt_copy *copy, uint64_t *need);
void gt_scatter_tape_cut(gt_copy *copy); /* ends the block being filled as it is */
/* FILEMARK, LOCATE, SPACE; nothing is outstanding. */
void gt_scatter_move(gt_copy *copy, const gt_seg *seg);
enum gt_step gt_scatter_extent(gt_copy *copy, const gt_seg *seg, uint64_t there, uint64_t *need);
enum gt_step gt_scatter_compare(gt_copy *copy, const gt_seg *seg, uint64_t there, uint64_t *need);

#endif
