/* A whole target in one process: plane, an emulated disk as LUN 0, iSCSI on loopback, and a supervisor in 100 lines
 * that lets everybody in. */
#ifndef FABRIC_RIG_H
#define FABRIC_RIG_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/bytes.h"
#include "fabric/pdu.h"
#include "fabric/target.h"
#include "plane_rig.h"

typedef struct supervisor {
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t cond;
  bool notified, stopping;
  gt_plane *plane;
  gt_target *target;
  gt_device *device;
  uint32_t first_burst, max_burst, max_recv, r2ts;
  bool no_immediate, initial_r2t, has_unit; /* has_unit: 0 is a unit of the test's own, which may come later */
  uint32_t last_nexus, texts, gone;
  int port;
  char path[64];
} supervisor;

static inline void supervisor_notify(void *context) {
  supervisor *s = context;
  pthread_mutex_lock(&s->lock);
  s->notified = true;
  pthread_cond_broadcast(&s->cond);
  pthread_mutex_unlock(&s->lock);
}

/* Value of a key in the data of a login, or fallback. */
static inline uint32_t login_number(const gt_target_event *e, const char *key, uint32_t fallback) {
  size_t width = strlen(key);
  for (uint32_t at = 0; at + width + 1 < e->data_len;
       at += (uint32_t)strnlen((char *)e->data + at, e->data_len - at) + 1) {
    if (memcmp(e->data + at, key, width) == 0 && e->data[at + width] == '=')
      return (uint32_t)strtoul((char *)e->data + at + width + 1, NULL, 0);
  }
  return fallback;
}

static inline bool login_says(const gt_target_event *e, const char *text) {
  return e->data_len && memmem(e->data, e->data_len, text, strlen(text)) != NULL;
}

static inline size_t login_keys(supervisor *s, const gt_target_event *e, gt_full_feature *p, char *out, size_t room) {
  uint32_t first = login_number(e, "FirstBurstLength", 65536), burst = login_number(e, "MaxBurstLength", 262144);
  uint32_t r2ts = login_number(e, "MaxOutstandingR2T", 1);
  p->header_digest = login_says(e, "HeaderDigest=CRC32C");
  p->data_digest = login_says(e, "DataDigest=CRC32C");
  p->initiator_max_recv = login_number(e, "MaxRecvDataSegmentLength", 8192);
  p->target_max_recv = s->max_recv;
  p->max_burst = burst < s->max_burst ? burst : s->max_burst;
  p->first_burst = first < s->first_burst ? first : s->first_burst;
  if (p->first_burst > p->max_burst) p->first_burst = p->max_burst;
  p->initial_r2t = s->initial_r2t || !login_says(e, "InitialR2T=No");
  p->immediate_data = !s->no_immediate && !login_says(e, "ImmediateData=No");
  p->max_outstanding_r2t = r2ts < s->r2ts ? r2ts : s->r2ts;
  int n = snprintf(
      out, room,
      "TargetPortalGroupTag=1%cHeaderDigest=%s%cDataDigest=%s%cMaxRecvDataSegmentLength=%u%cMaxBurstLength=%u%c"
      "FirstBurstLength=%u%cInitialR2T=%s%cImmediateData=%s%cMaxOutstandingR2T=%u%cMaxConnections=1%c"
      "ErrorRecoveryLevel=0%cDefaultTime2Wait=2%cDefaultTime2Retain=0%cDataPDUInOrder=Yes%c"
      "DataSequenceInOrder=Yes%c",
      0, p->header_digest ? "CRC32C" : "None", 0, p->data_digest ? "CRC32C" : "None", 0, p->target_max_recv, 0,
      p->max_burst, 0, p->first_burst, 0, p->initial_r2t ? "Yes" : "No", 0, p->immediate_data ? "Yes" : "No", 0,
      p->max_outstanding_r2t, 0, 0, 0, 0, 0, 0, 0);
  return (size_t)n;
}

static inline void supervisor_paths(supervisor *s, uint32_t nexus) {
  gt_verdict verdict = {.gate = 0xFFFF, .reservation = 0xFFFF, .visible = true};
  if (s->device || s->has_unit) gt_plane_set_path(s->plane, nexus, 0, 0, &verdict);
  pthread_mutex_lock(&s->lock);
  s->last_nexus = nexus;
  pthread_cond_broadcast(&s->cond);
  pthread_mutex_unlock(&s->lock);
}

static inline void supervisor_login(supervisor *s, const gt_target_event *e) {
  uint8_t header[48] = {GT_PDU_LOGIN_RESPONSE, e->header[1] & 0x8F};
  char keys[1024] = "AuthMethod=None";
  size_t length = 16;
  unsigned stage = e->header[1] >> 2 & 3, next = e->header[1] & 3;
  gt_full_feature p = {.cid = gt_load_be16(e->header + 20), .tsih = 1, .exp_cmdsn = gt_load_be32(e->header + 24)};
  memcpy(header + 8, e->header + 8, 6);
  memcpy(header + 16, e->header + 16, 4);
  p.statsn = gt_load_be32(e->header + 28) + 1;
  gt_store_be32(header + 24, p.statsn - 1);
  gt_store_be32(header + 28, p.exp_cmdsn);
  gt_store_be32(header + 32, p.exp_cmdsn + 31);
  if (stage == 1) length = login_keys(s, e, &p, keys, sizeof keys);
  bool enter = stage == 1 && next == 3 && e->header[1] & 0x80;
  if (enter) {
    uint32_t nexus = UINT32_MAX;
    gt_store_be16(header + 14, p.tsih);
    p.discovery = login_says(e, "SessionType=Discovery");
    if (!p.discovery && !gt_target_open_nexus(s->target, e->connection, &nexus)) supervisor_paths(s, nexus);
  }
  gt_target_answer(s->target, e->connection, header, keys, length, enter ? &p : NULL, NULL);
}

static inline void supervisor_text(supervisor *s, const gt_target_event *e) {
  uint8_t header[48] = {GT_PDU_TEXT_RESPONSE, 0x80};
  memcpy(header + 16, e->header + 16, 4);
  gt_store_be32(header + 20, GT_PDU_NO_TAG);
  s->texts++;
  /* No more than every client here takes in one data segment: to split an answer is the supervisor's own affair. */
  uint32_t length = e->data_len < 4096 ? e->data_len : 4096;
  gt_target_answer(s->target, e->connection, header, e->data, length, NULL, NULL);
}

static inline void supervisor_event(supervisor *s, gt_target_event *e) {
  if (e->kind == GT_EVENT_LOGIN) supervisor_login(s, e);
  if (e->kind == GT_EVENT_TEXT) supervisor_text(s, e);
  if (e->kind == GT_EVENT_GONE) {
    pthread_mutex_lock(&s->lock);
    s->gone++;
    pthread_cond_broadcast(&s->cond);
    pthread_mutex_unlock(&s->lock);
  }
  gt_target_release(e);
}

static inline void *supervisor_run(void *context) {
  supervisor *s = context;
  gt_target_event events[16];
  gt_note notes[16];
  pthread_mutex_lock(&s->lock);
  while (!s->stopping) {
    if (!s->notified) {
      pthread_cond_wait(&s->cond, &s->lock);
      continue;
    }
    s->notified = false;
    pthread_mutex_unlock(&s->lock);
    size_t n;
    while ((n = gt_target_take(s->target, events, 16)) > 0) {
      for (size_t i = 0; i < n; i++)
        supervisor_event(s, &events[i]);
    }
    while (gt_plane_take_notes(s->plane, notes, 16) > 0)
      continue;
    pthread_mutex_lock(&s->lock);
  }
  pthread_mutex_unlock(&s->lock);
  return NULL;
}

static inline supervisor supervisor_defaults(void) {
  return (supervisor){.lock = PTHREAD_MUTEX_INITIALIZER,
                      .cond = PTHREAD_COND_INITIALIZER,
                      .first_burst = 1 << 20,
                      .max_burst = 4 << 20,
                      .max_recv = 1 << 20,
                      .r2ts = 4};
}

static inline void die(const char *what) {
  fprintf(stderr, "%s\n", what);
  exit(2);
}

/* rows: the classes; inline_ok as gt_plane_add_device has it. options: plane and notify are filled in. */
static inline void supervisor_open(supervisor *s, gt_target_options options, const gt_class_row *rows, size_t row_count,
                                   gt_device *device, bool inline_ok, uint16_t port) {
  char err[256] = "";
  s->device = device;
  if (gt_plane_open(&(gt_plane_options){.notify = supervisor_notify, .context = s}, &s->plane)) die("plane");
  if (gt_plane_classes(s->plane, rows, row_count)) die("classes");
  if (device && gt_plane_add_device(s->plane, 0, device, inline_ok)) die("unit");
  options.plane = s->plane;
  options.notify = supervisor_notify;
  options.context = s;
  if (gt_target_open(&options, &s->target, err, sizeof err)) die(err);
  if (pthread_create(&s->thread, NULL, supervisor_run, s)) die("thread");
  s->port = gt_target_listen(s->target, 3, "127.0.0.1", port, err, sizeof err);
  if (s->port < 0) die(err);
}

static inline void supervisor_close(supervisor *s) {
  pthread_mutex_lock(&s->lock);
  s->stopping = true;
  pthread_cond_broadcast(&s->cond);
  pthread_mutex_unlock(&s->lock);
  pthread_join(s->thread, NULL); /* one controlling thread: from here on this one */
  gt_target_close(s->target);
  gt_plane_close(s->plane);
  if (s->device) gt_device_unref(s->device);
}

#endif
