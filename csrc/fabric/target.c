/* What the supervisor sees: portals, events, answers. */
#include "fabric/target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/bytes.h"
#include "fabric/internal.h"

static uint32_t or_else(uint32_t value, uint32_t fallback) { return value ? value : fallback; }

static gt_target_options complete(const gt_target_options *given) {
  gt_target_options o = *given;
  const size_t unit = 16u << 20;
  o.reactors = or_else(o.reactors, 1);
  o.connections = or_else(o.connections, 512);
  o.queue_depth = or_else(o.queue_depth, 128);
  if (o.queue_depth > GT_QUEUE_DEPTH_MAX) o.queue_depth = GT_QUEUE_DEPTH_MAX;
  if (!o.pool_bytes) o.pool_bytes = 128u << 20;
  o.pool_bytes = (o.pool_bytes + unit - 1) / unit * unit;
  o.login_timeout_ms = or_else(o.login_timeout_ms, 15000);
  o.stall_timeout_ms = or_else(o.stall_timeout_ms, 30000);
  o.ping_after_ms = or_else(o.ping_after_ms, 30000);
  o.ping_timeout_ms = or_else(o.ping_timeout_ms, 300000);
  o.data_timeout_ms = or_else(o.data_timeout_ms, 60000);
  return o;
}

static int explain(int error, const char *what, char *err, size_t err_len) {
  if (err && err_len) snprintf(err, err_len, "%s: %s", what, strerror(-error));
  return error;
}

static void discard(gt_target *target) {
  while (target->events) {
    gt_event_entry *next = target->events->next;
    free(target->events->event.data);
    free(target->events);
    target->events = next;
  }
  pthread_mutex_destroy(&target->lock);
  free(target->reactors);
  free(target->conns);
  free(target);
}

int gt_target_open(const gt_target_options *options, gt_target **out, char *err, size_t err_len) {
  gt_target *target = calloc(1, sizeof *target);
  if (!target) return explain(-ENOMEM, "no memory for the iSCSI target", err, err_len);
  target->options = complete(options);
  target->events_end = &target->events;
  pthread_mutex_init(&target->lock, NULL);
  target->reactors = calloc(target->options.reactors, sizeof *target->reactors);
  target->conns = calloc(target->options.connections, sizeof *target->conns);
  int error = target->reactors && target->conns ? 0 : -ENOMEM;
  uint32_t running = 0;
  while (!error && running < target->options.reactors) {
    error = gt_reactor_open(&target->reactors[running], target, running);
    if (!error) running++;
  }
  if (!error) return *out = target, 0;
  while (running > 0)
    gt_reactor_close(&target->reactors[--running]);
  discard(target);
  return explain(error, "cannot start the threads of the iSCSI target", err, err_len);
}

void gt_target_close(gt_target *target) {
  /* The first one accepts and hands over to the others: it stops first. */
  for (uint32_t i = 0; i < target->options.reactors; i++)
    gt_reactor_close(&target->reactors[i]);
  discard(target);
}

/* ---- portals: on the first reactor ---- */

int gt_target_listen(gt_target *target, uint32_t portal, const char *host, uint16_t port, char *err, size_t err_len) {
  uint16_t bound = 0;
  if (portal >= GT_PORTALS_MAX) return explain(-EINVAL, "there are 64 portals at most", err, err_len);
  if (target->listeners[portal]) return explain(-EBUSY, "this portal listens already", err, err_len);
  gt_mail *mail = calloc(1, sizeof *mail);
  if (!mail) return explain(-ENOMEM, "no memory for a portal", err, err_len);
  int fd = gt_portal_bind(host, port, &bound, err, err_len);
  if (fd < 0) return free(mail), fd;
  mail->kind = GT_MAIL_LISTEN;
  mail->portal = portal;
  mail->fd = fd;
  target->listeners[portal] = 1;
  gt_reactor_post(&target->reactors[0], mail);
  return bound;
}

int gt_target_unlisten(gt_target *target, uint32_t portal) {
  if (portal >= GT_PORTALS_MAX || !target->listeners[portal]) return -ENOENT;
  gt_mail *mail = calloc(1, sizeof *mail);
  if (!mail) return -ENOMEM;
  mail->kind = GT_MAIL_UNLISTEN;
  mail->portal = portal;
  target->listeners[portal] = 0;
  gt_reactor_post(&target->reactors[0], mail);
  return 0;
}

/* ---- connections ---- */

static gt_conn *free_conn(gt_target *target, uint32_t *slot) {
  for (*slot = 0; *slot < target->options.connections; (*slot)++) {
    if (!target->conns[*slot].id) return &target->conns[*slot];
  }
  return NULL;
}

/* Numbers are slot plus a multiple of the number of slots: found at once, and new each time for 2^32 connections. */
gt_conn *gt_target_adopt(gt_target *target, gt_reactor *reactor) {
  uint32_t slot;
  pthread_mutex_lock(&target->lock);
  gt_conn *conn = free_conn(target, &slot);
  if (conn) {
    uint32_t rounds = UINT32_MAX / target->options.connections - 1;
    memset(conn, 0, sizeof *conn);
    target->generation = target->generation % rounds + 1;
    conn->id = target->generation * target->options.connections + slot;
    conn->nexus_number = UINT32_MAX;
    conn->reactor = reactor;
    conn->waiting_end = &conn->waiting;
  }
  pthread_mutex_unlock(&target->lock);
  if (!conn) return NULL;
  reactor->mine[reactor->mine_count++] = conn;
  atomic_fetch_add(&reactor->connections, 1);
  return conn;
}

static gt_conn *find(gt_target *target, uint32_t id) {
  gt_conn *conn = &target->conns[id % target->options.connections];
  return id && conn->id == id ? conn : NULL;
}

/* ---- events ---- */

void gt_target_emit(gt_conn *conn, uint8_t kind, const uint8_t *header, uint8_t *data, uint32_t data_len) {
  gt_target *target = conn->reactor->target;
  gt_event_entry *entry = calloc(1, sizeof *entry);
  if (!entry) {
    free(data);
    return gt_conn_doom(conn);
  }
  entry->event = (gt_target_event){.kind = kind, .connection = conn->id, .portal = conn->portal};
  memcpy(entry->event.peer, conn->peer, sizeof entry->event.peer);
  if (header) memcpy(entry->event.header, header, GT_ISCSI_BHS);
  entry->event.data = data;
  entry->event.data_len = data_len;
  pthread_mutex_lock(&target->lock);
  entry->event.nexus = conn->nexus_number;
  if (kind == GT_EVENT_LOGIN) conn->told = true;
  *target->events_end = entry;
  target->events_end = &entry->next;
  bool notify = !target->notified;
  target->notified = true;
  pthread_mutex_unlock(&target->lock);
  if (notify) target->options.notify(target->options.context);
}

size_t gt_target_take(gt_target *target, gt_target_event *out, size_t max) {
  size_t count = 0;
  pthread_mutex_lock(&target->lock);
  for (; count < max && target->events; count++) {
    gt_event_entry *entry = target->events;
    out[count] = entry->event;
    target->events = entry->next;
    if (!target->events) target->events_end = &target->events;
    free(entry);
  }
  /* Something is left: the taker comes again by itself, having got all that it had room for. */
  if (!target->events) target->notified = false;
  pthread_mutex_unlock(&target->lock);
  return count;
}

void gt_target_release(gt_target_event *event) {
  free(event->data);
  event->data = NULL;
}

/* ---- answers ---- */

static void nexus_wake(void *context) {
  gt_conn *conn = context;
  atomic_store_explicit(&conn->woken, true, memory_order_release);
  atomic_store(&conn->reactor->nexus_woken, true);
  gt_reactor_wake(conn->reactor);
}

static int open_nexus(gt_target *target, gt_conn *conn, uint32_t *nexus) {
  if (!conn->nexus) {
    int error = gt_nexus_open(target->options.plane, nexus_wake, conn, &conn->nexus_number, &conn->nexus);
    if (error) return error;
  }
  *nexus = conn->nexus_number;
  return 0;
}

/* Only while the supervisor has its login: then the reactor leaves the nexus alone. */
static gt_conn *find_answering(gt_target *target, uint32_t id) {
  gt_conn *conn = find(target, id);
  return conn && conn->told && !conn->gone ? conn : NULL;
}

int gt_target_open_nexus(gt_target *target, uint32_t connection, uint32_t *nexus) {
  pthread_mutex_lock(&target->lock);
  gt_conn *conn = find_answering(target, connection);
  int error = conn ? open_nexus(target, conn, nexus) : -ENOENT;
  pthread_mutex_unlock(&target->lock);
  return error;
}

static bool sound(const gt_full_feature *p) {
  return p->initiator_max_recv >= 512 && p->initiator_max_recv < 1u << 24 && p->target_max_recv >= 512 &&
         p->target_max_recv <= GT_SEGMENT_MAX && p->max_burst >= 512 && p->max_burst < 1u << 24 &&
         p->first_burst >= 512 && p->first_burst <= p->max_burst && p->max_outstanding_r2t >= 1;
}

static gt_mail *new_answer(uint32_t connection, const uint8_t *header, const void *data, size_t data_len) {
  gt_mail *mail = calloc(1, sizeof *mail);
  if (!mail) return NULL;
  mail->kind = GT_MAIL_ANSWER;
  mail->connection = connection;
  if (!header) return mail;
  mail->control = gt_control_new((uint32_t)data_len, GT_STAMP_NOT);
  if (!mail->control) return free(mail), NULL;
  memcpy(mail->control->header, header, GT_PDU_BHS);
  mail->control->header[4] = 0;
  gt_store_be24(mail->control->header + 5, (uint32_t)data_len);
  if (data_len) memcpy(mail->control->data, data, data_len);
  return mail;
}

static int prepare_entry(gt_target *target, uint32_t connection, const gt_full_feature *enter, uint32_t *nexus) {
  uint32_t number = UINT32_MAX;
  pthread_mutex_lock(&target->lock);
  gt_conn *conn = find_answering(target, connection);
  int error = conn ? 0 : -ENOENT;
  if (!error && enter && !enter->discovery) error = open_nexus(target, conn, &number);
  pthread_mutex_unlock(&target->lock);
  if (!error && nexus) *nexus = number;
  return error;
}

/* A letter to a connection that is no more is thrown away there. */
static void post(gt_target *target, uint32_t connection, gt_mail *mail) {
  pthread_mutex_lock(&target->lock);
  gt_conn *conn = find(target, connection);
  gt_reactor *reactor = conn ? conn->reactor : &target->reactors[0];
  pthread_mutex_unlock(&target->lock);
  gt_reactor_post(reactor, mail);
}

int gt_target_answer(gt_target *target, uint32_t connection, const uint8_t header[GT_ISCSI_BHS], const void *data,
                     size_t data_len, const gt_full_feature *enter, uint32_t *nexus) {
  if (data_len > GT_TEXT_DATA_MAX || (enter && !sound(enter))) return -EINVAL;
  gt_mail *mail = new_answer(connection, header, data, data_len);
  if (!mail) return -ENOMEM;
  int error = prepare_entry(target, connection, enter, nexus);
  if (error) {
    free(mail->control);
    free(mail);
    return error;
  }
  mail->enter = enter != NULL;
  if (enter) mail->params = *enter;
  post(target, connection, mail);
  return 0;
}

void gt_target_refuse(gt_target *target, uint32_t connection, const uint8_t *header, const void *data,
                      size_t data_len) {
  gt_mail *mail = new_answer(connection, header, data, data_len <= GT_TEXT_DATA_MAX ? data_len : 0);
  if (!mail) return;
  mail->last = true;
  post(target, connection, mail);
}

void gt_target_close_nexus(gt_target *target, uint32_t nexus, int async_event) {
  gt_mail *mail = calloc(1, sizeof *mail);
  if (!mail) return;
  mail->kind = GT_MAIL_CLOSE_NEXUS;
  mail->async_event = async_event;
  pthread_mutex_lock(&target->lock);
  for (uint32_t i = 0; i < target->options.connections; i++) {
    const gt_conn *conn = &target->conns[i];
    if (conn->id && conn->nexus_number == nexus && nexus != UINT32_MAX) mail->connection = conn->id;
  }
  pthread_mutex_unlock(&target->lock);
  post(target, mail->connection, mail);
}

/* ---- figures ---- */

#define ADD(what) out->what += atomic_load_explicit(&counters->what, memory_order_relaxed)

void gt_target_stat(gt_target *target, gt_target_stats *out) {
  *out = (gt_target_stats){0};
  for (uint32_t i = 0; i < target->options.reactors; i++) {
    const gt_counters *counters = &target->reactors[i].counters;
    ADD(accepted), ADD(refused), ADD(pdus_in), ADD(pdus_out), ADD(bytes_in), ADD(bytes_out), ADD(rejects);
    ADD(digest_errors), ADD(protocol_errors), ADD(timeouts), ADD(starved);
    out->connections += atomic_load(&target->reactors[i].connections);
  }
  pthread_mutex_lock(&target->lock);
  for (uint32_t i = 0; i < target->options.connections; i++)
    out->sessions += target->conns[i].id && target->conns[i].nexus_number != UINT32_MAX;
  pthread_mutex_unlock(&target->lock);
}
