/* `gantry-fsmap freeze`: holds a file system frozen (FIFREEZE) until stdin ends, and makes as sure as one
 * can that it never stays frozen: a writer to a frozen file system cannot even be killed.
 *
 *   keeper     this process. Thaws when stdin ends or says something, on SIGTERM, SIGINT and SIGHUP, and
 *              when the time is over.
 *   watchdog   a child in a session of its own, with nothing in common with the keeper but one socket. Thaws
 *              when the keeper is gone (the socket ends: also after kill -9) or when the time and
 *              GRACE_MS more are over (the keeper is stopped or stuck). It was forked, and holds all that it
 *              needs, before the freeze.
 *
 * stdout: "frozen", then "thawed: asked" if and only if it stayed frozen until it was asked to thaw: only
 * then is what was mapped meanwhile consistent. Otherwise "thawed: watchdog", "thawed: signal" or
 * "thawed: lost" (somebody else thawed it), and exit code 3. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fsmap.h"

enum { GRACE_MS = 500, WATCHDOG_MAX_MS = 24 * 3600 * 1000 };

static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_BOOTTIME, &t);
  return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

static int left_ms(int64_t deadline) {
  int64_t left = deadline - now_ms();
  return left < 0 ? 0 : left > WATCHDOG_MAX_MS ? WATCHDOG_MAX_MS : (int)left;
}

/* The watchdog's whole life. A byte from the keeper means that nothing is frozen any more. */
static _Noreturn void watch(int socket, int mount, int64_t deadline) {
  setsid();
  prctl(PR_SET_NAME, "fsmap-watchdog");
  for (int s = 1; s < NSIG; s++)
    signal(s, SIG_IGN); /* what can be ignored */
  for (int fd = 0; fd < 3; fd++)
    close(fd);                        /* or the agent would wait for the end of our stdout */
  mlockall(MCL_CURRENT | MCL_FUTURE); /* best effort: swap may lie on the frozen file system */
  struct pollfd wait = {.fd = socket, .events = POLLIN};
  char byte;
  int ready, patience = left_ms(deadline);
  while ((ready = poll(&wait, 1, patience)) <= 0) {
    /* EINVAL (not frozen) proves nothing while the keeper may still be inside FIFREEZE: so it goes on. */
    if (ready == 0) ioctl(mount, FITHAW, 0);
    patience = left_ms(deadline) ? left_ms(deadline) : 100;
  }
  if (read(socket, &byte, 1) == 1) _exit(0);
  /* The keeper is dead, so now EINVAL is final. Anything else is tried again: giving up is worse. */
  while (ioctl(mount, FITHAW, 0) != 0 && errno != EINVAL)
    usleep(100000);
  _exit(0);
}

/* Starts the watchdog. Returns the keeper's end of the socket, or a negative errno. */
static int start_watchdog(int mount, int64_t deadline, pid_t *pid) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return -errno;
  *pid = fork();
  if (*pid < 0) return -errno;
  if (*pid == 0) {
    close(pair[0]);
    watch(pair[1], mount, deadline);
  }
  close(pair[1]);
  return pair[0];
}

static const char *hold(int socket, int signals, int64_t deadline) {
  struct pollfd wait[3] = {
      {.fd = STDIN_FILENO, .events = POLLIN}, {.fd = socket, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
  int ready;
  while ((ready = poll(wait, 3, left_ms(deadline))) < 0 && errno == EINTR)
    continue;
  if (ready <= 0) return "watchdog";
  if (wait[1].revents) return "lost"; /* the watchdog never writes: it is dead */
  if (wait[2].revents) return "signal";
  return "asked";
}

static void say(const char *text, const char *reason) {
  printf("%s%s\n", text, reason);
  fflush(stdout);
}

/* Freezes, holds, thaws. Returns the exit code. */
static int keep(int mount, int socket, int signals, int64_t deadline) {
  if (ioctl(mount, FIFREEZE, 0) != 0) {
    fprintf(stderr, "gantry-fsmap: cannot freeze: %s%s\n", strerror(errno),
            errno == EBUSY ? " (somebody else holds it frozen)" : "");
    return 1;
  }
  say("frozen", "");
  const char *reason = hold(socket, signals, deadline);
  if (ioctl(mount, FITHAW, 0) != 0) {
    if (errno != EINVAL) fprintf(stderr, "gantry-fsmap: cannot thaw: %s\n", strerror(errno));
    reason = "lost";
  }
  say("thawed: ", reason);
  return strcmp(reason, "asked") == 0 ? 0 : 3;
}

/* SIGPIPE is ignored and the others wait in a descriptor, so that no signal that can be caught ends the
 * keeper without a thaw. */
static int catch_signals(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  sigaddset(&set, SIGQUIT);
  signal(SIGPIPE, SIG_IGN);
  if (sigprocmask(SIG_BLOCK, &set, NULL) != 0) return -errno;
  int fd = signalfd(-1, &set, SFD_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

static int open_mount(const char *path) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fprintf(stderr, "gantry-fsmap: cannot open %s: %s\n", path, strerror(errno));
  return fd;
}

static bool parse_ms(const char *text, long *ms) {
  char *end;
  errno = 0;
  *ms = strtol(text, &end, 10);
  return !errno && end != text && *end == 0 && *ms >= 1 && *ms <= WATCHDOG_MAX_MS;
}

int gt_freeze_main(int argc, char **argv) {
  long ms;
  if (argc != 3 || strcmp(argv[1], "--watchdog-ms") != 0 || !parse_ms(argv[2], &ms)) return 2;
  int mount = open_mount(argv[0]);
  if (mount < 0) return 1;
  int64_t deadline = now_ms() + ms;
  pid_t watchdog = -1;
  int signals = catch_signals();
  int socket = signals < 0 ? signals : start_watchdog(mount, deadline + GRACE_MS, &watchdog);
  if (socket < 0) {
    fprintf(stderr, "gantry-fsmap: cannot start the watchdog: %s\n", strerror(-socket));
    return 1;
  }
  int code = keep(mount, socket, signals, deadline);
  if (send(socket, "", 1, MSG_NOSIGNAL) != 1) close(socket);
  waitpid(watchdog, NULL, 0);
  return code;
}

int gt_thaw_main(int argc, char **argv) {
  if (argc != 1) return 2;
  int mount = open_mount(argv[0]);
  if (mount < 0) return 1;
  if (ioctl(mount, FITHAW, 0) == 0) return 0;
  fprintf(stderr, "gantry-fsmap: cannot thaw %s: %s\n", argv[0],
          errno == EINVAL ? "it is not frozen" : strerror(errno));
  return 1;
}
