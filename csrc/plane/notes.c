/* What the supervisor is told. Notes that must not be lost come in memory that was there before, those of punts in the
 * punt's own slot; refusals are counted, in a table that an attacker cannot make grow. */
#include "plane/impl.h"

#include <stdlib.h>

gt_note_node *gt_note_new(uint8_t kind, uint32_t unit, uint64_t cookie) {
  gt_note_node *node = calloc(1, sizeof *node);
  if (node) node->note = (gt_note){.kind = kind, .nexus = UINT32_MAX, .unit = unit, .cookie = cookie};
  return node;
}

void gt_note_push(gt_plane *plane, gt_note_node *node) {
  gt_notes *notes = &plane->notes;
  node->next = NULL;
  pthread_mutex_lock(&notes->lock);
  bool first = !notes->first && !notes->refusals.pending;
  *notes->last = node;
  notes->last = &node->next;
  pthread_mutex_unlock(&notes->lock);
  if (first) gt_plane_told(plane);
}

static uint32_t hash(uint32_t nexus, uint32_t lun, uint8_t why) {
  uint32_t mixed = (nexus * 0x9E3779B1u) ^ (lun * 0x85EBCA77u) ^ (why * 0xC2B2AE3Du);
  return mixed ^ mixed >> 15;
}

/* The entry of these three, made if there is room within a few probes; else NULL. Entries are never moved, and one that
 * was taken leaves a hole, so that every probe is looked at. */
static gt_note *entry_of(gt_refusals *refusals, uint32_t nexus, uint32_t lun, uint8_t why) {
  gt_note *unused = NULL;
  uint32_t at = hash(nexus, lun, why);
  for (uint32_t i = 0; i < GT_REFUSAL_PROBES; i++) {
    gt_note *entry = &refusals->entries[(at + i) % GT_REFUSALS];
    if (!entry->count) {
      if (!unused) unused = entry;
      continue;
    }
    if (entry->nexus == nexus && entry->lun == lun && entry->why == why) return entry;
  }
  if (unused) *unused = (gt_note){.kind = GT_NOTE_REFUSED, .nexus = nexus, .lun = lun, .why = why};
  return unused;
}

void gt_note_refusal(gt_plane *plane, uint32_t nexus, uint32_t lun, uint32_t unit, uint8_t why, uint8_t opcode) {
  gt_notes *notes = &plane->notes;
  gt_refusals *refusals = &notes->refusals;
  pthread_mutex_lock(&notes->lock);
  gt_note *entry = entry_of(refusals, nexus, lun, why);
  if (!entry) entry = entry_of(refusals, nexus, UINT32_MAX, why);
  if (!entry) {
    entry = &refusals->rest;
    if (!entry->count) *entry = (gt_note){.kind = GT_NOTE_REFUSED, .nexus = UINT32_MAX, .lun = UINT32_MAX, .why = why};
  }
  bool fresh = entry->count++ == 0;
  bool first = fresh && !refusals->pending && !notes->first;
  if (fresh) {
    entry->opcode = opcode;
    entry->unit = unit;
    refusals->pending++;
  }
  pthread_mutex_unlock(&notes->lock);
  if (first) gt_plane_told(plane);
}

static size_t take_refusals(gt_refusals *refusals, gt_note *out, size_t max) {
  size_t taken = 0;
  for (size_t i = 0; i <= GT_REFUSALS && taken < max && refusals->pending; i++) {
    gt_note *entry = i < GT_REFUSALS ? &refusals->entries[i] : &refusals->rest;
    if (!entry->count) continue;
    out[taken++] = *entry;
    entry->count = 0;
    refusals->pending--;
  }
  return taken;
}

/* Both locks, so that who finds a note of an abort or of a nexus that ended finds the punts that ended with it first.
 */
size_t gt_plane_take_notes(gt_plane *plane, gt_note *out, size_t max) {
  gt_notes *notes = &plane->notes;
  gt_note_node *used = NULL;
  pthread_mutex_lock(&plane->punts.lock);
  pthread_mutex_lock(&notes->lock);
  size_t taken = gt_punts_take_gone(&plane->punts, out, max);
  while (taken < max && notes->first) {
    gt_note_node *node = notes->first;
    notes->first = node->next;
    if (!notes->first) notes->last = &notes->first;
    out[taken++] = node->note;
    node->next = used;
    used = node;
  }
  if (taken < max) taken += take_refusals(&notes->refusals, out + taken, max - taken);
  pthread_mutex_unlock(&notes->lock);
  pthread_mutex_unlock(&plane->punts.lock);
  for (gt_note_node *next; used; used = next) {
    next = used->next;
    free(used);
  }
  return taken;
}

void gt_notes_free(gt_notes *notes) {
  for (gt_note_node *next; notes->first; notes->first = next) {
    next = notes->first->next;
    free(notes->first);
  }
  pthread_mutex_destroy(&notes->lock);
}
