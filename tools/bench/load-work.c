/* Which part of the disk a command is for, and what its data has to be. Every slot of every session has a part of the
 * disk of its own, in units of one command, so that what a read has to bring is known although all runs at once. */
#include <string.h>

#include "core/bytes.h"
#include "load.h"

/* What word number `word` of a unit is in its nth generation. */
static uint64_t word_of(uint64_t unit, uint32_t generation, uint64_t word) {
  uint64_t x = (unit << 24 ^ (uint64_t)generation << 48 ^ word) * UINT64_C(0x9E3779B97F4A7C15);
  return x ^ x >> 29;
}

static void fill(load *l, const load_slot *slot) {
  uint32_t generation = ++l->generations[slot->unit];
  for (uint64_t word = 0; word < l->options.bytes / 8; word++)
    gt_store_le64(slot->data + word * 8, word_of(slot->unit, generation, word));
}

static void verify(load *l, const load_slot *slot) {
  uint32_t generation = l->generations[slot->unit];
  for (uint64_t word = 0; word < l->options.bytes / 8; word++) {
    uint64_t want = word_of(slot->unit, generation, word), found = gt_load_le64(slot->data + word * 8);
    if (found != want)
      load_die("byte %llu of the disk is wrong: %016llx, not %016llx, after %u writes",
               (unsigned long long)(slot->unit * l->options.bytes + word * 8), (unsigned long long)found,
               (unsigned long long)want, generation);
  }
  l->stats.verified++;
}

static bool writes(load *l, uint64_t unit) {
  if (l->options.mode != LOAD_MIX) return l->options.mode == LOAD_WRITE;
  /* What was never written cannot be verified. */
  return (l->options.verify && l->generations[unit] == 0) || load_random(l) & 1;
}

void load_work_choose(load_session *s, uint32_t index) {
  load *l = s->load;
  load_slot *slot = &s->slots[index];
  uint64_t step = l->options.random ? load_random(l) : s->next_unit++;
  if (l->options.verify)
    slot->unit = (s->index * (uint64_t)l->options.depth + index) * l->units_per_slot + step % l->units_per_slot;
  else
    slot->unit = (s->index * (l->units / l->options.sessions) + step) % l->units;
  slot->write = writes(l, slot->unit);
  slot->received = 0;
  if (slot->write && l->options.verify) fill(l, slot);
}

static unsigned bucket_of(uint64_t ns) {
  unsigned octave = 63 - (unsigned)__builtin_clzll(ns | 16);
  unsigned bucket = octave * 16 + (unsigned)(ns >> (octave - 4) & 15);
  return bucket < LOAD_BUCKETS ? bucket : LOAD_BUCKETS - 1;
}

void load_work_done(load_session *s, uint32_t index) {
  load *l = s->load;
  const load_slot *slot = &s->slots[index];
  if (!slot->write && slot->received != l->options.bytes)
    load_die("a READ brought %u bytes of %u", slot->received, l->options.bytes);
  if (!slot->write && l->options.verify) verify(l, slot);
  if (!l->counting) return;
  l->stats.commands++;
  l->stats.latency[bucket_of(load_ns() - slot->begun_ns)]++;
}
