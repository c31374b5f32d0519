/* iscsi-load key=value…: loads an iSCSI disk and prints one JSON object.
 *   host port target lun    where; defaults 127.0.0.1 3260 - 0      initiator   name of all sessions
 *   sessions depth          both 1                                   bytes       of one command, 4096
 *   mode                    read, write, mix                         order       sequential, random
 *   verify                  yes: every byte that is read             pid         whose processor time is counted
 *   span                    with verify: each slot stays within so many commands' worth of the disk
 *   seconds warm            5 and 0.3                                commands    ends after so many instead */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

enum { PATTERN_MAX = 16 << 20 };

void load_die(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("iscsi-load: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  exit(1);
}

uint64_t load_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t load_random(load *l) {
  l->random ^= l->random << 13;
  l->random ^= l->random >> 7;
  l->random ^= l->random << 17;
  return l->random;
}

/* ---- options ---- */

static uint32_t number(const char *key, const char *text, uint32_t max) {
  char *end;
  unsigned long value = strtoul(text, &end, 10);
  if (*text == 0 || *end || value > max) load_die("%s is a number up to %u", key, max);
  return (uint32_t)value;
}

static int word(const char *key, const char *text, const char *const *words) {
  for (int i = 0; words[i]; i++)
    if (strcmp(words[i], text) == 0) return i;
  load_die("%s cannot be \"%s\"", key, text);
}

static void option(load_options *o, const char *key, const char *value) {
  static const char *const modes[] = {"read", "write", "mix", NULL}, *const orders[] = {"sequential", "random", NULL};
  static const char *const answers[] = {"no", "yes", NULL};
  if (!strcmp(key, "host"))
    o->host = value;
  else if (!strcmp(key, "port"))
    o->port = value;
  else if (!strcmp(key, "target"))
    o->target = value;
  else if (!strcmp(key, "initiator"))
    o->initiator = value;
  else if (!strcmp(key, "lun"))
    o->lun = number(key, value, 255);
  else if (!strcmp(key, "sessions"))
    o->sessions = number(key, value, LOAD_SESSIONS_MAX);
  else if (!strcmp(key, "depth"))
    o->depth = number(key, value, LOAD_SLOTS_MAX);
  else if (!strcmp(key, "span"))
    o->span = number(key, value, UINT32_MAX);
  else if (!strcmp(key, "bytes"))
    o->bytes = number(key, value, PATTERN_MAX);
  else if (!strcmp(key, "pid"))
    o->pid = number(key, value, 1u << 30);
  else if (!strcmp(key, "commands"))
    o->commands = number(key, value, UINT32_MAX);
  else if (!strcmp(key, "mode"))
    o->mode = (enum load_mode)word(key, value, modes);
  else if (!strcmp(key, "order"))
    o->random = word(key, value, orders);
  else if (!strcmp(key, "verify"))
    o->verify = word(key, value, answers);
  else if (!strcmp(key, "seconds"))
    o->seconds = strtod(value, NULL);
  else if (!strcmp(key, "warm"))
    o->warm_seconds = strtod(value, NULL);
  else
    load_die("there is no option \"%s\"", key);
}

static load_options read_options(int argc, char **argv) {
  load_options o = {.host = "127.0.0.1", .port = "3260", .sessions = 1, .depth = 1, .bytes = 4096};
  o.initiator = "iqn.2024-01.test.gantry:load";
  o.seconds = 5;
  o.warm_seconds = 0.3;
  for (int i = 1; i < argc; i++) {
    char *equals = strchr(argv[i], '=');
    if (!equals) load_die("an option is key=value, not \"%s\"", argv[i]);
    *equals = 0;
    option(&o, argv[i], equals + 1);
  }
  if (!o.target || !o.sessions || !o.depth || !o.bytes) load_die("target, sessions, depth and bytes are needed");
  if (o.verify && o.mode != LOAD_MIX) load_die("verify=yes goes with mode=mix");
  return o;
}

/* ---- processor time ---- */

/* Seconds of user and system time of a process (proc(5), stat); 0 for none. */
static double process_seconds(uint32_t pid) {
  char path[64], text[1024];
  unsigned long user = 0, system = 0;
  if (!pid) return 0;
  snprintf(path, sizeof path, "/proc/%u/stat", pid);
  FILE *file = fopen(path, "r");
  size_t len = file ? fread(text, 1, sizeof text - 1, file) : 0;
  if (file) fclose(file);
  text[len] = 0;
  char *end = strrchr(text, ')'); /* the name may have spaces in it */
  if (!end || sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
    load_die("process %u is not there", pid);
  return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static double own_seconds(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* ---- the run ---- */

static void open_sessions(load *l) {
  l->sessions = calloc(l->options.sessions, sizeof *l->sessions);
  l->pattern = malloc(l->options.bytes);
  if (!l->sessions || !l->pattern) load_die("no memory");
  memset(l->pattern, 0x5A, l->options.bytes);
  uint64_t disk_bytes = 0;
  for (uint32_t i = 0; i < l->options.sessions; i++) {
    l->sessions[i].load = l;
    l->sessions[i].index = i;
    load_login(&l->sessions[i]);
    disk_bytes = load_capacity(&l->sessions[i]);
    load_session_prepare(&l->sessions[i]);
  }
  if (l->options.bytes % l->block_bytes) load_die("bytes is no multiple of %u", l->block_bytes);
  l->units = disk_bytes / l->options.bytes;
  l->units_per_slot = l->units / ((uint64_t)l->options.sessions * l->options.depth);
  if (l->options.span && l->options.span < l->units_per_slot) l->units_per_slot = l->options.span;
  if (l->units_per_slot == 0) load_die("the disk is too small");
  if (l->options.verify) l->generations = calloc(l->units, sizeof *l->generations);
  if (l->options.verify && !l->generations) load_die("no memory");
}

static void watch(int epoll, load_session *s) {
  bool out = s->pdu_head != s->pdu_tail;
  if (out == s->wants_out) return;
  s->wants_out = out;
  struct epoll_event event = {.events = out ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = s};
  epoll_ctl(epoll, EPOLL_CTL_MOD, s->fd, &event);
}

static void turn(int epoll, load_session *s, uint32_t events) {
  if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) load_session_receive(s);
  load_session_issue(s);
  load_session_send(s);
  watch(epoll, s);
}

static bool busy(const load *l) {
  for (uint32_t i = 0; i < l->options.sessions; i++)
    if (l->sessions[i].outstanding) return true;
  return false;
}

/* Until the time is over, or nothing is outstanding any more. */
static void run_until(load *l, int epoll, uint64_t end_ns) {
  struct epoll_event events[64];
  while (load_ns() < end_ns) {
    int n = epoll_wait(epoll, events, 64, 100);
    for (int i = 0; i < n; i++)
      turn(epoll, events[i].data.ptr, events[i].events);
    if (n == 0 && load_ns() > end_ns) return;
    if ((l->stopping || (l->limit && l->begun == l->limit)) && !busy(l)) return;
  }
}

static double percentile(const load *l, double part) {
  uint64_t want = (uint64_t)((double)l->stats.commands * part), seen = 0;
  for (unsigned i = 0; i < LOAD_BUCKETS; i++) {
    seen += l->stats.latency[i];
    if (seen > want) return (double)(UINT64_C(16) + (i & 15)) * (double)(UINT64_C(1) << (i / 16)) / 16 / 1000;
  }
  return 0;
}

static void measure(load *l, int epoll) {
  const load_options *o = &l->options;
  uint64_t second = 1000000000u, now = load_ns();
  if (!o->commands) run_until(l, epoll, now + (uint64_t)(o->warm_seconds * (double)second));
  double target = process_seconds(o->pid), own = own_seconds();
  uint64_t begun_ns = load_ns();
  l->counting = true;
  run_until(l, epoll, begun_ns + (uint64_t)(o->seconds * (double)second));
  l->counting = false;
  double seconds = (double)(load_ns() - begun_ns) / 1e9;
  target = process_seconds(o->pid) - target;
  own = own_seconds() - own;
  l->stopping = true;
  run_until(l, epoll, load_ns() + 60 * second);
  if (busy(l)) load_die("commands were not answered within 60 s");
  if (o->commands && l->stats.commands != o->commands) load_die("not all commands were done in time");
  printf("{\"commands\":%llu,\"seconds\":%.6f,\"targetCpuSeconds\":%.3f,\"clientCpuSeconds\":%.3f,"
         "\"p50Us\":%.1f,\"p99Us\":%.1f,\"verified\":%llu}\n",
         (unsigned long long)l->stats.commands, seconds, target, own, percentile(l, 0.5), percentile(l, 0.99),
         (unsigned long long)l->stats.verified);
}

int main(int argc, char **argv) {
  static load l;
  l.options = read_options(argc, argv);
  l.random = 88172645463325252u;
  l.limit = l.options.commands;
  open_sessions(&l);
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  for (uint32_t i = 0; i < l.options.sessions; i++) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &l.sessions[i]};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, l.sessions[i].fd, &event)) load_die("epoll: %s", strerror(errno));
  }
  l.counting = l.options.commands > 0;
  for (uint32_t i = 0; i < l.options.sessions; i++)
    turn(epoll, &l.sessions[i], 0);
  measure(&l, epoll);
  return 0;
}
