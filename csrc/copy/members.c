/* Where members of the stream begin and end, and their digests. */
#include "grains.h"
#include "scatter.h"

void gt_scatter_switch(gt_copy *copy, uint32_t tag) {
  gt_scatter *s = &copy->scatter;
  s->digest.aside = tag == GT_TAG_ASIDE;
  if (s->digest.aside || tag == s->digest.tag) return;
  if (s->digest.tag) {
    gt_event event = {.type = GT_EV_DIGEST, .stream_offset = copy->options.stream_offset + s->position};
    gt_digest_close(&s->digest, &event);
    gt_events_post(&copy->events, &event);
  }
  gt_digest_open(&s->digest, tag);
}

void gt_scatter_marked(gt_copy *copy) {
  if (atomic_load(&copy->marks_wanted) && atomic_exchange(&copy->marks_wanted, false))
    gt_park_signal(&copy->gather.park);
}

/* Do gather's marks say where members start? While nobody has given a tag yet, an untagged segment on both sides
 * ends a member that was resumed, but only once its bytes are here: the tags may still come, on either side. */
static bool marks_count(gt_copy *copy, bool bytes) {
  uint8_t side = atomic_load_explicit(&copy->program.tag_side, memory_order_relaxed);
  return side == GT_SIDE_GATHER || (side == GT_SIDE_NONE && bytes);
}

/* Members that start at the position. Returns where the next one does, UINT64_MAX: not known yet. */
static uint64_t next_member(gt_copy *copy, bool bytes) {
  const gt_mark *mark;
  while ((mark = gt_marks_peek(&copy->tags, 0)) && mark->position <= copy->scatter.position) {
    if (marks_count(copy, bytes))
      gt_scatter_switch(copy, mark->value);
    else if (!bytes)
      return UINT64_MAX;
    gt_marks_drop(&copy->tags);
    gt_scatter_marked(copy);
  }
  return mark ? mark->position : UINT64_MAX;
}

void gt_scatter_digest(gt_copy *copy, uint64_t bytes) {
  gt_scatter *s = &copy->scatter;
  uint64_t end = s->position + bytes;
  gt_scatter_hold(copy, bytes);
  if (!bytes) next_member(copy, false);
  /* Members that start right at the end are left for the next call: at a block's edge the open member is the one
   * that the last byte before it belongs to. */
  while (s->position < end) {
    uint64_t member = next_member(copy, true), until = member < end ? member : end;
    uint32_t crc32c = gt_grains_crc32c(&copy->ring, s->position, until);
    gt_digest_update(&s->digest, crc32c, gt_ring_at(&copy->ring, s->position), until - s->position);
    s->position = until;
  }
}

void gt_scatter_open(gt_copy *copy, const gt_seg *seg) {
  gt_scatter *s = &copy->scatter;
  s->seg_open = true;
  s->seg_left = seg->bytes;
  if (atomic_load_explicit(&copy->program.tag_side, memory_order_relaxed) == GT_SIDE_SCATTER)
    gt_scatter_switch(copy, seg->tag);
  gt_scatter_hold_open(copy, seg);
}
