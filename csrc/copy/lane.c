#include "lane.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../core/scsi.h"
#include "internal.h"

enum { FIRST_PAUSE_MS = 10, LONGEST_PAUSE_MS = 1000, LINK_PAUSE_MS = 100, TOLD_EVERY_MS = 1000, PING_MS = 5000 };

static const uint64_t NS_PER_MS = 1000000;

int gt_lane_init(gt_lane *lane, struct gt_copy *copy, gt_park *park, bool gather, uint16_t depth) {
  lane->copy = copy;
  lane->park = park;
  lane->gather = gather;
  lane->depth = depth;
  lane->abort_grace_ms = GT_ABORT_GRACE_MS;
  lane->cmds = calloc(depth, sizeof *lane->cmds);
  lane->used = calloc(copy->options.lu_count, sizeof *lane->used);
  if (!lane->cmds || !lane->used) return -ENOMEM;
  lane->single.lane = lane;
  for (uint16_t i = 0; i < depth; i++) {
    lane->cmds[i].lane = lane;
    lane->cmds[i].next = lane->free;
    lane->free = &lane->cmds[i];
  }
  return 0;
}

void gt_lane_free(gt_lane *lane) {
  free(lane->cmds);
  free(lane->used);
}

static void clear(gt_cmd *cmd) {
  gt_lane *lane = cmd->lane;
  memset(cmd, 0, sizeof *cmd);
  cmd->lane = lane;
}

gt_cmd *gt_lane_get(gt_lane *lane) {
  gt_cmd *cmd = lane->free;
  if (!cmd) return NULL;
  lane->free = cmd->next;
  lane->in_use++;
  clear(cmd);
  return cmd;
}

void gt_lane_put(gt_cmd *cmd) {
  cmd->next = cmd->lane->free;
  cmd->lane->free = cmd;
  cmd->lane->in_use--;
}

static void finish(gt_cmd *cmd) {
  cmd->finished = true;
  if (cmd->ended) cmd->ended(cmd);
}

/* Tells of retries, at most once a second, and never waits for room to do so. */
static void tell_retried(gt_lane *lane, const gt_cmd *cmd, uint64_t now) {
  gt_count(&lane->stats.retries, 1);
  lane->retried++;
  if (lane->retried_ns && now - lane->retried_ns < TOLD_EVERY_MS * NS_PER_MS) return;
  gt_event event = {.type = GT_EV_RETRIED,
                    .lu = cmd->lu,
                    .status = cmd->io.status,
                    .outcome = cmd->io.outcome,
                    .gather_side = lane->gather,
                    .sense_len = cmd->io.sense_len,
                    .cdb_len = cmd->io.cdb_len,
                    .count = lane->retried};
  memcpy(event.sense, cmd->io.sense, sizeof event.sense);
  memcpy(event.cdb, cmd->io.cdb, sizeof event.cdb);
  if (!gt_events_try(&lane->copy->events, &event)) return;
  lane->retried = 0;
  lane->retried_ns = now;
}

static uint64_t back_off_ms(uint64_t first_ms, uint32_t tries) {
  uint64_t ms = first_ms << (tries < 8 ? tries : 8);
  return ms < LONGEST_PAUSE_MS ? ms : LONGEST_PAUSE_MS;
}

/* When the command is to be sent again; UINT64_MAX: no more. */
static uint64_t again_at(gt_cmd *cmd, uint64_t now) {
  const gt_copy_options *options = &cmd->lane->copy->options;
  if (gt_stopping(cmd->lane->copy) || cmd->lane->hopeless) return UINT64_MAX;
  if (cmd->verdict == GT_RETRY_LATER) {
    if (!cmd->busy_since_ns) cmd->busy_since_ns = now;
    if (now - cmd->busy_since_ns >= options->busy_limit_ms * NS_PER_MS) return UINT64_MAX;
    return now + back_off_ms(FIRST_PAUSE_MS, cmd->tries++) * NS_PER_MS;
  }
  if (cmd->tries + 1 >= options->retry_limit) return UINT64_MAX;
  uint32_t tries = cmd->tries++;
  return cmd->verdict == GT_RETRY_LINK ? now + back_off_ms(LINK_PAUSE_MS, tries) * NS_PER_MS : now;
}

/* A destination disk that lost power has lost its volatile write cache, and says no more of it than that it was reset
 * (SBC-3 4.15; 29h): what it answered since the last flush is to be written again, from the last checkpoint on. */
static bool lost_its_cache(const gt_cmd *cmd) {
  const gt_lane *lane = cmd->lane;
  bool reset = cmd->sense.key == GT_KEY_UNIT_ATTENTION && cmd->sense.asc >> 8 == GT_ASC_POWER_ON_OR_RESET >> 8;
  return reset && !lane->gather && lane->copy->scatter.cached[cmd->lu];
}

static void settle(gt_cmd *cmd) {
  gt_lane *lane = cmd->lane;
  cmd->verdict = (uint8_t)gt_judge(cmd->role, &cmd->io, &cmd->sense);
  if (lost_its_cache(cmd)) cmd->verdict = GT_HARD;
  if (cmd->verdict != GT_RETRY_NOW && cmd->verdict != GT_RETRY_LATER && cmd->verdict != GT_RETRY_LINK) {
    finish(cmd);
    return;
  }
  uint64_t now = gt_clock_ns(), again = again_at(cmd, now);
  if (again == UINT64_MAX) {
    cmd->verdict = GT_HARD;
    finish(cmd);
    return;
  }
  tell_retried(lane, cmd, now);
  cmd->again_ns = again;
  cmd->next = lane->waiting;
  lane->waiting = cmd;
}

static void done(gt_io *io) {
  gt_cmd *cmd = io->owner;
  gt_lane *lane = cmd->lane;
  cmd->sent = false;
  if (--lane->outstanding == 0) gt_count(&lane->stats.busy_ns, gt_clock_ns() - lane->busy_from_ns);
  settle(cmd);
}

static bool refused_for_now(int error) { return error == -EAGAIN || error == -EBUSY || error == -ENOBUFS; }

static void submit(gt_cmd *cmd) {
  gt_lane *lane = cmd->lane;
  cmd->io.done = done;
  cmd->io.owner = cmd;
  cmd->io.outcome = GT_DELIVERED;
  cmd->io.status = GT_STATUS_GOOD;
  cmd->io.sense_len = 0;
  cmd->io.resid = 0;
  cmd->abort_ns = 0;
  int error = gt_lu_submit(lane->copy->lus[cmd->lu].lu, &cmd->io);
  if (error) {
    /* done will not be called. A full queue is the same as BUSY, anything else a broken link. */
    cmd->io.outcome = refused_for_now(error) ? GT_DELIVERED : GT_TRANSPORT;
    cmd->io.status = GT_STATUS_BUSY;
    settle(cmd);
    return;
  }
  cmd->sent = true;
  lane->active = cmd->lu;
  lane->used[cmd->lu] = true;
  if (lane->outstanding++ == 0) lane->busy_from_ns = gt_clock_ns();
  gt_count(&lane->stats.commands, 1);
}

void gt_lane_send(gt_cmd *cmd) {
  cmd->finished = false;
  submit(cmd);
}

/* Sends what is due; returns when the next one is, or 0 where a command found its end here: there is then something
 * to do instead of waiting. */
static uint64_t send_due(gt_lane *lane) {
  uint64_t next = UINT64_MAX;
  if (!lane->waiting) return next;
  uint64_t now = gt_clock_ns();
  bool cancelled = gt_stopping(lane->copy);
  gt_cmd *waiting = lane->waiting;
  lane->waiting = NULL;
  while (waiting) {
    gt_cmd *cmd = waiting;
    waiting = cmd->next;
    if (cancelled) {
      cmd->verdict = GT_HARD;
      finish(cmd);
      next = 0;
    } else if (cmd->again_ns <= now) {
      submit(cmd);
      if (cmd->finished) next = 0;
    } else {
      cmd->next = lane->waiting;
      lane->waiting = cmd;
    }
  }
  for (gt_cmd *cmd = lane->waiting; cmd; cmd = cmd->next)
    next = cmd->again_ns < next ? cmd->again_ns : next;
  return next;
}

static void abort_late(gt_lane *lane, gt_cmd *cmd, uint64_t now, uint64_t *next) {
  if (!cmd->sent) return;
  if (!cmd->abort_ns) {
    /* From the cancel, or for what was sent after it (a last flush) from its sending. */
    cmd->abort_ns = now + lane->abort_grace_ms * NS_PER_MS;
  } else if (cmd->abort_ns != UINT64_MAX && now >= cmd->abort_ns) {
    cmd->abort_ns = UINT64_MAX; /* asked once */
    gt_lu_abort(lane->copy->lus[cmd->lu].lu, &cmd->io);
  }
  if (cmd->abort_ns < *next) *next = cmd->abort_ns;
}

/* After a cancel: aborts what has been outstanding for too long. Returns when to look again. */
static uint64_t abort_overdue(gt_lane *lane) {
  uint64_t next = UINT64_MAX;
  if (!lane->outstanding || !gt_stopping(lane->copy)) return next;
  uint64_t now = gt_clock_ns();
  for (uint16_t i = 0; i < lane->depth; i++)
    abort_late(lane, &lane->cmds[i], now, &next);
  abort_late(lane, &lane->single, now, &next);
  return next;
}

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* A target that pings its initiator and hears nothing gives the session up (RFC 7143 11.18), and pings are answered
 * inside poll: units that are idle while the run is paused or waits for its other side are polled now and then. */
static void ping_idle(gt_lane *lane) {
  uint64_t now = gt_clock_ns();
  if (now < lane->pinged_ns + PING_MS * NS_PER_MS) return;
  lane->pinged_ns = now;
  for (unsigned lu = 0; lu < lane->copy->options.lu_count; lu++) {
    if (lane->used[lu]) gt_lu_poll(lane->copy->lus[lu].lu, 0);
  }
}

void gt_lane_wait(gt_lane *lane, uint32_t seen, uint64_t until_ns) {
  uint64_t until = least(until_ns, least(send_due(lane), abort_overdue(lane)));
  if (lane->outstanding) {
    gt_park_sleep(lane->park, seen, lane->copy->lus[lane->active].lu, until);
    return;
  }
  ping_idle(lane);
  gt_park_sleep(lane->park, seen, NULL, least(until, lane->pinged_ns + PING_MS * NS_PER_MS));
}

gt_cmd *gt_lane_single(gt_lane *lane, uint8_t lu, gt_role role, uint32_t timeout_ms) {
  clear(&lane->single);
  lane->single.lu = lu;
  lane->single.role = role;
  lane->single.io.timeout_ms = timeout_ms;
  return &lane->single;
}

gt_verdict gt_lane_run(gt_cmd *cmd) {
  gt_lane_send(cmd);
  while (!cmd->finished) {
    uint32_t seen = gt_park_look(cmd->lane->park);
    if (!cmd->finished) gt_lane_wait(cmd->lane, seen, UINT64_MAX);
  }
  return (gt_verdict)cmd->verdict;
}
