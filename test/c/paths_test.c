/* Several paths to one unit: which command takes which, and that each is answered exactly once, whatever fails when. */
#include "paths_rig.h"

typedef struct scene {
  rig_unit *unit;
  gt_paths *paths;
  gt_lu *lu;
  rig_way *ways[GT_PATHS_MAX];
  atomic_uint closed, changes, released;
} scene;

static void changed(void *context) { atomic_fetch_add(&((scene *)context)->changes, 1); }
static void released(void *context) { atomic_fetch_add(&((scene *)context)->released, 1); }

static gt_paths_options options_of(scene *s, uint32_t check_ms) {
  gt_paths_options options = {.check_ms = check_ms, .changed = changed, .released = released, .context = s};
  static const uint8_t again[] = {GT_TEST_UNIT_READY, GT_INQUIRY, GT_READ_10, GT_WRITE_10};
  for (size_t i = 0; i < sizeof again; i++)
    options.again[again[i] >> 3] |= (uint8_t)(1 << (again[i] & 7));
  return options;
}

static void start(scene *s, int count, uint32_t check_ms) {
  memset(s, 0, sizeof *s);
  s->unit = calloc(1, sizeof *s->unit);
  if (!s->unit) abort();
  gt_paths_options options = options_of(s, check_ms);
  CHECK_EQ(gt_paths_new(&options, &s->paths), 0);
  for (int i = 0; i < count; i++) {
    s->ways[i] = rig_open(s->unit, &s->closed);
    CHECK_EQ(gt_paths_add(s->paths, (uint32_t)i + 1, &s->ways[i]->lu, false), 0);
  }
  if (count) CHECK_EQ(gt_paths_open(s->paths, &s->lu), 0);
}

static void end(scene *s) {
  if (s->lu) gt_lu_close(s->lu);
  gt_paths_unref(s->paths);
  CHECK_EQ(s->released, 1);
  free(s->unit);
}

static gt_io command(uint8_t opcode, uint32_t number) {
  gt_io io = {.cdb = {opcode, (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number}, .timeout_ms = 1000};
  io.cdb_len = opcode == GT_READ_10 || opcode == GT_WRITE_10 ? 10 : 6;
  return io;
}

static uint8_t outcome_of(scene *s, uint8_t opcode) {
  gt_io io = command(opcode, 0);
  int error = gt_lu_execute(s->lu, &io);
  return error ? 0xFF : io.outcome;
}

static uint8_t state_of(scene *s, uint32_t id) {
  gt_paths_fact facts[GT_PATHS_MAX];
  size_t count = gt_paths_facts(s->paths, facts, NULL);
  for (size_t i = 0; i < count; i++)
    if (facts[i].id == id) return facts[i].state;
  return 0;
}

static void test_failure(int how, const char *name) {
  TEST(name);
  scene s;
  start(&s, 2, 60000);
  CHECK_EQ(outcome_of(&s, GT_WRITE_10), GT_DELIVERED);
  CHECK_EQ(state_of(&s, 1), GT_PATHS_ACTIVE);
  CHECK_EQ(state_of(&s, 2), GT_PATHS_STANDBY);
  atomic_store(&s.ways[0]->mode, how);
  CHECK_EQ(outcome_of(&s, GT_WRITE_10), GT_DELIVERED);
  CHECK_EQ(state_of(&s, 2), GT_PATHS_ACTIVE);
  CHECK_EQ(outcome_of(&s, GT_READ_10), GT_DELIVERED);
  CHECK_EQ(state_of(&s, 1), GT_PATHS_DEAD);
  CHECK_EQ(s.closed, 1);
  CHECK(s.changes >= 3);
  end(&s);
  CHECK_EQ(s.closed, 2);
}

static void test_once_is_not_repeated(void) {
  TEST("a command that must be carried out once is answered GT_TRANSPORT, and the next one goes over the other path");
  scene s;
  start(&s, 2, 60000);
  atomic_store(&s.ways[0]->mode, WAY_LOSES);
  CHECK_EQ(outcome_of(&s, GT_WRITE_6), GT_TRANSPORT);
  gt_io next = command(GT_WRITE_6, 1);
  atomic_store(&s.unit->told[0], 1);
  CHECK_EQ(gt_lu_execute(s.lu, &next), 0);
  CHECK_EQ(next.outcome, GT_DELIVERED);
  CHECK_EQ(s.unit->twice, 0);
  end(&s);
}

static void test_unsent_moves(void) {
  TEST("a command that the first path never took goes over the other one, whatever it is");
  scene s;
  start(&s, 2, 60000);
  atomic_store(&s.ways[0]->mode, WAY_GONE);
  CHECK_EQ(outcome_of(&s, GT_WRITE_6), GT_DELIVERED);
  end(&s);
}

static void test_last_path(void) {
  TEST("the last path stays while its transport takes commands; when it is gone the unit says -ENODEV, until one is "
       "added");
  scene s;
  start(&s, 1, 60000);
  atomic_store(&s.ways[0]->mode, WAY_LOSES);
  CHECK_EQ(outcome_of(&s, GT_READ_10), GT_TRANSPORT);
  CHECK_EQ(state_of(&s, 1), GT_PATHS_ACTIVE);
  atomic_store(&s.ways[0]->mode, WAY_FINE);
  CHECK_EQ(outcome_of(&s, GT_READ_10), GT_DELIVERED);
  atomic_store(&s.ways[0]->mode, WAY_GONE);
  gt_io io = command(GT_READ_10, 0);
  CHECK_EQ(gt_lu_execute(s.lu, &io), -ENODEV);
  CHECK_EQ(state_of(&s, 1), GT_PATHS_DEAD);
  rig_way *way = rig_open(s.unit, &s.closed);
  CHECK_EQ(gt_paths_add(s.paths, 2, &way->lu, false), 0);
  CHECK_EQ(outcome_of(&s, GT_WRITE_6), GT_DELIVERED);
  CHECK_EQ(state_of(&s, 2), GT_PATHS_ACTIVE);
  gt_paths_remove(s.paths, 1);
  CHECK_EQ(state_of(&s, 1), 0);
  rig_way *back = rig_open(s.unit, &s.closed);
  CHECK_EQ(gt_paths_add(s.paths, 1, &back->lu, false), 0); /* also before the poller has seen that it left */
  gt_lu_poll(s.lu, 0);
  CHECK_EQ(state_of(&s, 1), GT_PATHS_STANDBY);
  end(&s);
}

static void test_refusals(void) {
  TEST("what cannot be added is the caller's still: a number twice, too many, one that moves less, a closed unit");
  scene s;
  start(&s, 2, 60000);
  rig_way *way = rig_open(s.unit, &s.closed);
  CHECK_EQ(gt_paths_add(s.paths, 2, &way->lu, false), -EEXIST);
  way->lu.limits.max_transfer = 4096;
  CHECK_EQ(gt_paths_add(s.paths, 3, &way->lu, false), -EMSGSIZE);
  way->lu.limits.max_transfer = 1 << 20;
  for (uint32_t id = 3; id <= GT_PATHS_MAX; id++) {
    rig_way *more = rig_open(s.unit, &s.closed);
    CHECK_EQ(gt_paths_add(s.paths, id, &more->lu, false), 0);
  }
  CHECK_EQ(gt_paths_add(s.paths, 99, &way->lu, false), -ENOSPC);
  gt_lu *second = NULL;
  CHECK_EQ(gt_paths_open(s.paths, &second), -EALREADY);
  gt_lu_close(s.lu);
  s.lu = NULL;
  CHECK_EQ(gt_paths_add(s.paths, 100, &way->lu, false), -ESHUTDOWN);
  bool closed = false;
  gt_paths_fact facts[GT_PATHS_MAX];
  CHECK_EQ(gt_paths_facts(s.paths, facts, &closed), 0);
  CHECK(closed);
  CHECK_EQ(s.closed, GT_PATHS_MAX);
  gt_lu_close(&way->lu);
  end(&s);
}

static void test_empty(void) {
  TEST("a unit without a path cannot be opened; one that was added and never opened is closed with the last share");
  scene s;
  start(&s, 0, 0);
  CHECK_EQ(gt_paths_open(s.paths, &s.lu), -ENODEV);
  rig_way *way = rig_open(s.unit, &s.closed), *removed = rig_open(s.unit, &s.closed);
  CHECK_EQ(gt_paths_add(s.paths, 1, &way->lu, false), 0);
  CHECK_EQ(gt_paths_add(s.paths, 2, &removed->lu, false), 0);
  gt_paths_remove(s.paths, 2);
  CHECK_EQ(s.closed, 1);
  end(&s);
  CHECK_EQ(s.closed, 2);
}

/* The first command over way `to` says whether it is told of the reset. */
static uint8_t status_after_loss(bool answered_meanwhile) {
  scene s;
  start(&s, 1, 60000);
  rig_way *way = rig_open(s.unit, &s.closed);
  atomic_store(&way->attentions, 2);
  CHECK_EQ(gt_paths_add(s.paths, 2, &way->lu, true), 0);
  CHECK_EQ(way->attentions, 0);
  if (answered_meanwhile) CHECK_EQ(outcome_of(&s, GT_WRITE_10), GT_DELIVERED);
  atomic_store(&s.ways[0]->mode, WAY_GONE);
  CHECK_EQ(outcome_of(&s, GT_INQUIRY), GT_DELIVERED);
  gt_io io = command(GT_WRITE_10, 0);
  CHECK_EQ(gt_lu_execute(s.lu, &io), 0);
  CHECK_EQ(io.outcome, GT_DELIVERED);
  gt_sense sense;
  if (io.status) CHECK(gt_sense_parse(io.sense, io.sense_len, &sense) && sense.asc == GT_ASC_POWER_ON_OR_RESET);
  gt_io after = command(GT_WRITE_10, 0);
  CHECK_EQ(gt_lu_execute(s.lu, &after), 0);
  CHECK_EQ(after.status, GT_STATUS_GOOD);
  end(&s);
  return io.status;
}

static void test_attention(void) {
  TEST("29h of a new path is taken away, unless nothing proves that the unit itself was not reset");
  CHECK_EQ(status_after_loss(true), GT_STATUS_GOOD);
  CHECK_EQ(status_after_loss(false), GT_STATUS_CHECK_CONDITION);
}

static void test_check(void) {
  TEST("a path that waits is asked now and then, and one that does not answer is dead before it is needed");
  scene s;
  start(&s, 2, 1);
  for (int i = 0; i < 200 && !s.unit->inquiries; i++) {
    usleep(1000);
    gt_lu_poll(s.lu, 0);
  }
  CHECK(s.unit->inquiries > 0);
  CHECK_EQ(state_of(&s, 2), GT_PATHS_STANDBY);
  atomic_store(&s.ways[1]->mode, WAY_LOSES);
  for (int i = 0; i < 200 && s.closed == 0; i++) {
    usleep(1000);
    gt_lu_poll(s.lu, 0);
  }
  CHECK_EQ(state_of(&s, 2), GT_PATHS_DEAD);
  CHECK_EQ(s.closed, 1);
  CHECK_EQ(outcome_of(&s, GT_READ_10), GT_DELIVERED);
  end(&s);
}

static void count_done(gt_io *io) { ++*(int *)io->owner; }

static void test_abort_and_close(void) {
  TEST("abort and close answer what is outstanding, once");
  scene s;
  start(&s, 2, 60000);
  atomic_store(&s.ways[0]->mode, WAY_HANGS);
  int done = 0;
  gt_io io[3];
  for (int i = 0; i < 3; i++) {
    io[i] = command(GT_WRITE_10, 0);
    io[i].done = count_done;
    io[i].owner = &done;
    CHECK_EQ(gt_lu_submit(s.lu, &io[i]), 0);
  }
  CHECK_EQ(gt_lu_abort(s.lu, &io[1]), 0);
  gt_lu_poll(s.lu, 0);
  CHECK_EQ(done, 1);
  CHECK_EQ(io[1].outcome, GT_ABORTED);
  CHECK_EQ(gt_lu_abort(s.lu, &io[1]), -ENOENT);
  gt_paths_remove(s.paths, 1);
  gt_lu_poll(s.lu, 0);
  CHECK_EQ(done, 1); /* the path has them still: the same buffer may not be with two */
  CHECK_EQ(s.closed, 0);
  gt_lu_close(s.lu);
  s.lu = NULL;
  CHECK_EQ(done, 3);
  CHECK_EQ(io[0].outcome, GT_ABORTED);
  end(&s);
}

static void *wake_later(void *argument) {
  usleep(20000);
  gt_lu_wake(argument);
  return NULL;
}

static void test_wake(void) {
  TEST("wake ends a poll that waits for a path, and a path that is added does too");
  scene s;
  start(&s, 2, 60000);
  atomic_store(&s.ways[0]->mode, WAY_HANGS);
  int done = 0;
  gt_io io = command(GT_READ_10, 0);
  io.done = count_done;
  io.owner = &done;
  CHECK_EQ(gt_lu_submit(s.lu, &io), 0);
  CHECK_EQ(gt_lu_poll(s.lu, 0), 0);
  pthread_t thread;
  pthread_create(&thread, NULL, wake_later, s.lu);
  CHECK_EQ(gt_lu_poll(s.lu, -1), 0);
  pthread_join(thread, NULL);
  gt_lu_wake(s.lu);
  CHECK_EQ(gt_lu_poll(s.lu, -1), 0); /* one that comes before the poll counts */
  atomic_store(&s.ways[0]->mode, WAY_FINE);
  CHECK_EQ(gt_lu_poll(s.lu, -1), 1);
  end(&s);
}

/* ---- everything at once ---- */

enum { LOAD = 24, LOAD_FAILURES = 1500 };

typedef struct load_slot {
  gt_io io;
  struct load *load;
  bool busy;
} load_slot;

typedef struct load {
  scene *s;
  load_slot slots[LOAD];
  uint32_t sent, answered, once, twice_answered;
  uint32_t outcomes[4];
  uint64_t seed;
  atomic_bool over;
} load;

static void load_done(gt_io *io) {
  load_slot *slot = io->owner;
  load *l = slot->load;
  if (!slot->busy) l->twice_answered++;
  slot->busy = false;
  l->answered++;
  l->outcomes[io->outcome & 3]++;
  if (io->cdb[0] == GT_WRITE_6) atomic_store(&l->s->unit->told[rig_number(io)], 1);
  /* GOOD that was never carried out would be a lie. */
  if (io->cdb[0] == GT_WRITE_6 && io->outcome == GT_DELIVERED)
    CHECK(atomic_load(&l->s->unit->done_once[rig_number(io)]));
}

static void load_fill(load *l) {
  for (int i = 0; i < LOAD && l->once < STREAM - LOAD; i++) {
    load_slot *slot = &l->slots[i];
    if (slot->busy) continue;
    bool once = rig_random(&l->seed) % 3 == 0;
    slot->io = command(once ? GT_WRITE_6 : GT_WRITE_10, once ? l->once : 0);
    slot->io.done = load_done;
    slot->io.owner = slot;
    slot->busy = true;
    slot->load = l;
    if (gt_lu_submit(l->s->lu, &slot->io)) {
      slot->busy = false; /* no path for the moment */
      usleep(200);
      return;
    }
    l->once += once;
    l->sent++;
  }
}

/* Paths that are well stay open, so that only this thread, which lets them fail, knows which it may touch. */
static void *unsettle(void *argument) {
  load *l = argument;
  scene *s = l->s;
  uint64_t seed = 88172645463325252u;
  rig_way *well[3] = {s->ways[0], s->ways[1]};
  uint32_t ids[3] = {1, 2}, next = 10;
  atomic_uint refused = 0;
  while (!atomic_load(&l->over)) {
    usleep((unsigned)(rig_random(&seed) % 500));
    gt_paths_fact facts[GT_PATHS_MAX];
    size_t count = gt_paths_facts(s->paths, facts, NULL);
    for (size_t i = 0; i < count; i++)
      if (facts[i].state == GT_PATHS_DEAD) gt_paths_remove(s->paths, facts[i].id);
    unsigned which = (unsigned)(rig_random(&seed) % 3);
    if (well[which]) {
      int how = (int)(rig_random(&seed) % 4);
      if (how == 0)
        gt_paths_remove(s->paths, ids[which]);
      else
        atomic_store(&well[which]->mode, how == 1 ? WAY_LOSES : how == 2 ? WAY_GONE : WAY_BROKEN);
      well[which] = NULL;
      continue;
    }
    rig_way *way = rig_open(s->unit, &s->closed);
    if (gt_paths_add(s->paths, next, &way->lu, rig_random(&seed) & 1)) {
      way->closed = &refused;
      gt_lu_close(&way->lu);
      continue;
    }
    well[which] = way;
    ids[which] = next++;
  }
  return NULL;
}

static void test_load(void) {
  TEST("under load, with paths that fail and come back, every command is answered once and none out of place");
  scene s;
  start(&s, 2, 1);
  load *l = calloc(1, sizeof *l);
  if (!l) abort();
  l->s = &s;
  l->seed = 2463534242u;
  pthread_t thread;
  pthread_create(&thread, NULL, unsettle, l);
  while (s.closed < LOAD_FAILURES) {
    load_fill(l);
    gt_lu_poll(s.lu, 10);
  }
  atomic_store(&l->over, true);
  pthread_join(thread, NULL);
  gt_lu_close(s.lu);
  s.lu = NULL;
  CHECK_EQ(l->answered, l->sent);
  CHECK_EQ(l->twice_answered, 0);
  CHECK_EQ(s.unit->twice, 0);
  CHECK_EQ(s.unit->out_of_order, 0);
  printf("  delivered %u, transport %u, paths closed %u\n", l->outcomes[GT_DELIVERED], l->outcomes[GT_TRANSPORT],
         s.closed);
  CHECK(l->outcomes[GT_DELIVERED] > l->sent / 2 && l->outcomes[GT_TRANSPORT] > 0);
  end(&s);
  free(l);
}

int main(void) {
  alarm(100);
  test_failure(WAY_LOSES, "a command whose answer is lost goes over the other path, and the first one is closed");
  test_failure(WAY_GONE, "the same when the first path takes nothing any more");
  test_failure(WAY_BROKEN, "the same when it cannot even be waited for");
  test_once_is_not_repeated();
  test_unsent_moves();
  test_last_path();
  test_refusals();
  test_empty();
  test_attention();
  test_check();
  test_abort_and_close();
  test_wake();
  test_load();
  return check_end();
}
