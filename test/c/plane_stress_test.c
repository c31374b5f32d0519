/* Three nexuses on threads of their own, and a supervisor that swaps verdicts, aborts, drains, resets, answers punts
 * and takes units away under them. What must hold: every task is answered exactly once, what a nexus wrote and was told
 * is good is what it reads, and all ends. */
#include "plane_rig.h"

enum { FRONTS = 3, DEPTH = 16, COMMANDS = 100000, UNITS = 3, SHARE = 512 };

typedef struct slot {
  job job;
  uint8_t data[512];
  uint32_t lba;
  bool busy, writes;
} slot;

/* One nexus on its thread. Each has blocks of its own on each unit, so that it knows what they hold. */
typedef struct server {
  front front;
  pthread_t thread;
  unsigned index;
  uint32_t seed;
  slot slots[DEPTH];
  /* What a block holds: 0 unknown, else the byte of its last good write. */
  uint8_t holds[UNITS][SHARE];
  bool pending[UNITS][SHARE];
  unsigned answered, good;
  _Atomic bool over;

} server;

typedef struct world {
  gt_plane *plane;
  server servers[FRONTS];
} world;

static uint32_t next(uint32_t *seed) { return (*seed = *seed * 1664525u + 1013904223u) >> 8; }

static void must(bool condition, const char *what) {
  if (condition) return;
  fprintf(stderr, "stress: %s\n", what);
  abort();
}

static void note_answer(server *s, slot *at) {
  const gt_io *io = &at->job.task.io;
  uint32_t unit = at->job.task.lun, own = at->lba - s->index * SHARE;
  bool good = io->outcome == GT_DELIVERED && io->status == GT_STATUS_GOOD;
  s->answered++;
  s->good += good;
  if (at->job.task.io.cdb[0] != GT_READ_10 && !at->writes) return;
  s->pending[unit][own] = false;
  uint8_t *holds = &s->holds[unit][own];
  if (at->writes)
    *holds = good ? at->data[0] : 0;
  else if (good && *holds)
    for (unsigned i = 0; i < 512; i++)
      must(at->data[i] == *holds, "a block holds what was written and told good");
}

static void answered(gt_task *task) {
  slot *at = task->owner;
  server *s = (server *)at->job.front;
  must(at->busy, "a task is answered once");
  at->busy = false;
  note_answer(s, at);
}

static void choose(server *s, slot *at) {
  uint32_t what = next(&s->seed) % 64, unit = next(&s->seed) % UNITS;
  static const uint8_t attributes[] = {1, 1, 1, 1, 0, 2, 3, 1};
  *at = (slot){.job.front = &s->front};
  at->job.task = (gt_task){.lun = unit, .answered = answered, .owner = at};
  at->job.task.attribute = attributes[next(&s->seed) % sizeof attributes];
  gt_io *io = &at->job.task.io;
  *io = (gt_io){.cdb_len = 16, .data = at->data, .data_len = 512};
  if (what < 2) {
    io->cdb[0] = 0x5E;
    io->dir = GT_DIR_IN;
  } else if (what == 2) {
    io->cdb[0] = GT_REQUEST_SENSE;
    io->cdb[4] = 18;
    io->dir = GT_DIR_IN;
  } else {
    uint32_t own = next(&s->seed) % SHARE;
    at->lba = s->index * SHARE + own;
    at->writes = what % 2;
    io->cdb[0] = at->writes ? GT_WRITE_10 : GT_READ_10;
    if (s->pending[unit][own]) {
      at->writes = false; /* what two of ours at a time do to a block is nobody's promise */
      io->cdb[0] = GT_TEST_UNIT_READY;
      io->data_len = 0;
      return;
    }
    s->pending[unit][own] = true;
    io->dir = at->writes ? GT_DIR_OUT : GT_DIR_IN;
    gt_store_be32(io->cdb + 2, at->lba);
    io->cdb[8] = 1;
    if (at->writes) memset(at->data, 1 + (int)(next(&s->seed) % 255), 512);
  }
}

static void send(server *s, slot *at) {
  choose(s, at);
  at->busy = true;
  if (gt_task_admit(s->front.nexus, &at->job.task) == GT_ADMIT_ANSWERED) {
    answered(&at->job.task);
    return;
  }
  uint32_t chance = next(&s->seed) % 256;
  if (chance == 0) { /* its data never came */
    gt_task_drop(&at->job.task);
    at->busy = false;
    if (at->writes || at->job.task.io.cdb[0] == GT_READ_10)
      s->pending[at->job.task.lun][at->lba - s->index * SHARE] = false;
    s->answered++;
    return;
  }
  gt_task_start(&at->job.task);
  if (chance == 1 && at->busy) gt_task_abort(&at->job.task);
}

static void count_reset(void *context) { ++*(unsigned *)context; }

static void *serve(void *argument) {
  server *s = argument;
  unsigned sent = 0, resets = 0, reset_over = 0;
  while (sent < COMMANDS) {
    bool any = false;
    for (unsigned i = 0; i < DEPTH && sent < COMMANDS; i++) {
      if (s->slots[i].busy) continue;
      send(s, &s->slots[i]);
      sent++;
      any = true;
    }
    if (sent % 1000 < DEPTH && !gt_nexus_reset_unit(s->front.nexus, next(&s->seed) % UNITS, count_reset, &reset_over))
      resets++;
    if (!any) home_wait(&s->front.home);
    gt_nexus_run(s->front.nexus);
  }
  front_close(&s->front);
  for (unsigned i = 0; i < DEPTH; i++)
    must(!s->slots[i].busy, "a closed nexus has answered everything");
  must(s->answered == sent, "as many answers as commands");
  must(resets == reset_over, "every reset is told once");
  atomic_store(&s->over, true);
  return NULL;
}

static bool all_over(world *w) {
  for (unsigned i = 0; i < FRONTS; i++)
    if (!atomic_load(&w->servers[i].over)) return false;
  return true;
}

/* Notes that are asked for come as often as they are asked for; a punt that was taken is answered, or told to be gone.
 */
typedef struct tally {
  unsigned asked, told, taken, settled, gone;
  gt_punt punts[8];
  size_t count;
} tally;

/* Those of the last round, so that much may have happened to them meanwhile. */
static void answer_punts(world *w, uint32_t *seed, tally *t) {
  for (size_t i = 0; i < t->count; i++) {
    uint8_t data[16] = {1};
    int error = next(seed) % 4 ? gt_plane_answer(w->plane, t->punts[i].id, 0, NULL, 0, data, sizeof data)
                               : gt_plane_pass(w->plane, t->punts[i].id);
    t->settled += !error;
  }
  t->count = gt_plane_take_punts(w->plane, t->punts, 8);
  t->taken += (unsigned)t->count;
}

static void take_notes(world *w, tally *t) {
  gt_note notes[32];
  for (size_t count; (count = gt_plane_take_notes(w->plane, notes, 32));)
    for (size_t i = 0; i < count; i++) {
      t->told += notes[i].kind == GT_NOTE_ABORTED || notes[i].kind == GT_NOTE_DRAINED;
      t->gone += notes[i].kind == GT_NOTE_PUNT_GONE;
    }
}

static void meddle(world *w, uint32_t *seed, tally *t) {
  server *s = &w->servers[next(seed) % FRONTS];
  uint32_t unit = next(seed) % UNITS;
  gt_verdict v = everything;
  switch (next(seed) % 12) {
  case 0: v.write_protected = true; break;
  case 1: v.reservation = ALL_CLASSES & ~(1 << C_READ); break;
  case 2: v.gate &= ~(1 << C_READ); break;
  case 3: v.expires_ns = 1; break;
  case 4: v.expires_ns = UINT64_MAX - 1; break;
  case 5: t->asked += !gt_plane_abort(w->plane, unit, s->front.number, UINT32_MAX, GT_STATUS_TASK_ABORTED, 1); return;
  case 6: t->asked += !gt_plane_abort(w->plane, unit, UINT32_MAX, s->front.number, 0, 2); return;
  case 7: t->asked += !gt_plane_drain(w->plane, unit, UINT32_MAX, 1 << C_WRITE, 3); return;
  case 8: gt_plane_attention(w->plane, s->front.number, unit, 0x2A, (uint8_t)next(seed)); return;
  case 9:
    if (next(seed) % 8 == 0) gt_plane_clear_path(w->plane, s->front.number, unit);
    return;
  case 10: {
    gt_extent extents[64];
    gt_plane_take_writes(w->plane, unit, extents, 64);
    return;
  }
  default: break;
  }
  gt_plane_set_path(w->plane, s->front.number, unit, unit, &v);
}

static void add_units(gt_plane *plane) {
  gt_device *disks[UNITS];
  gt_lu *lu = NULL;
  for (int i = 0; i < UNITS; i++)
    disks[i] = plane_disk(i == 0 ? "s0.img" : i == 1 ? "s1.img" : "s2.img");
  CHECK_EQ(gt_plane_add_device(plane, 0, disks[0], true), 0);
  CHECK_EQ(gt_plane_add_device(plane, 1, disks[1], false), 0);
  CHECK_EQ(gt_virtual_open(disks[2], &lu), 0);
  CHECK_EQ(gt_plane_add_lu(plane, 2, lu, 0, 0), 0);
  for (int i = 0; i < UNITS; i++)
    gt_device_unref(disks[i]);
}

int main(void) {
  rig_begin();
  static world w;
  uint32_t seed = 42;
  tally t = {0};
  TEST("every task of three nexuses is answered once while a supervisor meddles, and data is what was written");
  w.plane = plane_open_with(50, NULL, NULL);
  add_units(w.plane);
  for (unsigned i = 0; i < FRONTS; i++) {
    server *s = &w.servers[i];
    s->index = i;
    s->seed = 1000 + i;
    front_open(&s->front, w.plane);
    for (uint32_t unit = 0; unit < UNITS; unit++)
      CHECK_EQ(gt_plane_set_path(w.plane, s->front.number, unit, unit, &everything), 0);
  }
  for (unsigned i = 0; i < FRONTS; i++)
    pthread_create(&w.servers[i].thread, NULL, serve, &w.servers[i]);
  for (unsigned round = 0; !all_over(&w); round++) {
    meddle(&w, &seed, &t);
    if (round % 4 == 0) answer_punts(&w, &seed, &t);
    take_notes(&w, &t);
    if (round % 4 == 0) nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
  }
  for (unsigned i = 0; i < FRONTS; i++)
    pthread_join(w.servers[i].thread, NULL);
  take_notes(&w, &t);
  TEST("aborts and drains are told as often as they were asked for");
  CHECK(t.asked > 0);
  CHECK_EQ(t.told, t.asked);
  TEST("every punt that was taken was answered or is told to be gone, once");
  CHECK(t.settled > 0);
  CHECK_EQ(t.settled + t.gone, t.taken);
  unsigned good = 0;
  for (unsigned i = 0; i < FRONTS; i++)
    good += w.servers[i].good;
  printf("%u good of %u, %u notes, %u punts gone of %u\n", good, FRONTS * COMMANDS, t.told, t.gone, t.taken);
  CHECK(good > FRONTS * COMMANDS / 10);
  gt_plane_close(w.plane);
  return rig_end();
}
