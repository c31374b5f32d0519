#include "uevent.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/netlink.h>

enum {
  KERNEL_GROUP = 1,   /* lib/kobject_uevent.c sends to group 1; udevd to group 2 */
  MESSAGE_MAX = 8192, /* UEVENT_BUFFER_SIZE and the head */
  ROOM = 1 << 20, /* a rescan of a large fabric sends thousands; those that do not fit are ENOBUFS, which counts too */
};

struct gt_uevents {
  int fd, stop_fd;
  pthread_t thread;
  void (*changed)(void *context);
  void *context;
};

bool gt_uevent_matters(const uint8_t *message, size_t length) {
  static const char key[] = "SUBSYSTEM=";
  for (size_t at = 0; at < length;) {
    size_t left = length - at, len = strnlen((const char *)message + at, left);
    const char *line = (const char *)message + at;
    if (len > sizeof key - 1 && memcmp(line, key, sizeof key - 1) == 0) {
      const char *value = line + sizeof key - 1;
      size_t value_len = len - (sizeof key - 1);
      /* The node, or what is behind it: LUNs of a host come as "scsi", class devices as "scsi_device". */
      return (value_len == 12 && memcmp(value, "scsi_generic", 12) == 0) ||
             (value_len == 11 && memcmp(value, "scsi_device", 11) == 0);
    }
    at += len + 1;
  }
  return false;
}

/* Everything that lies there. True: it matters, or some was lost. */
static bool take_all(int fd, uint8_t *message) {
  bool matters = false;
  for (;;) {
    struct sockaddr_nl from = {0};
    struct iovec part = {.iov_base = message, .iov_len = MESSAGE_MAX};
    struct msghdr head = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &part, .msg_iovlen = 1};
    ssize_t got = recvmsg(fd, &head, MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == ENOBUFS) {
      matters = true;
      continue;
    }
    if (got < 0) return matters;
    /* Port 0 is the kernel; others may send too. */
    if (from.nl_pid == 0) matters |= (head.msg_flags & MSG_TRUNC) || gt_uevent_matters(message, (size_t)got);
  }
}

static void *listen_main(void *argument) {
  gt_uevents *uevents = argument;
  uint8_t message[MESSAGE_MAX];
  for (;;) {
    struct pollfd wait[2] = {{.fd = uevents->fd, .events = POLLIN}, {.fd = uevents->stop_fd, .events = POLLIN}};
    if (poll(wait, 2, -1) < 0 && errno != EINTR) return NULL;
    if (wait[1].revents) return NULL;
    if (wait[0].revents && take_all(uevents->fd, message)) uevents->changed(uevents->context);
  }
}

static int open_socket(void) {
  int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
  if (fd < 0) return -errno;
  int room = ROOM;
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room))
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room); /* as much as one may have who is not root */
  struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = KERNEL_GROUP};
  if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  int error = errno;
  close(fd);
  return -error;
}

static int start_thread(gt_uevents *uevents) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(&uevents->thread, NULL, listen_main, uevents);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (!error) pthread_setname_np(uevents->thread, "gantry-uevent");
  return -error;
}

int gt_uevents_start(void (*changed)(void *context), void *context, gt_uevents **out) {
  gt_uevents *uevents = calloc(1, sizeof *uevents);
  if (!uevents) return -ENOMEM;
  uevents->changed = changed;
  uevents->context = context;
  uevents->fd = open_socket();
  uevents->stop_fd = uevents->fd < 0 ? -1 : eventfd(0, EFD_CLOEXEC);
  int error = uevents->fd < 0 ? uevents->fd : uevents->stop_fd < 0 ? -errno : start_thread(uevents);
  if (error) {
    if (uevents->stop_fd >= 0) close(uevents->stop_fd);
    if (uevents->fd >= 0) close(uevents->fd);
    free(uevents);
    return error;
  }
  *out = uevents;
  return 0;
}

void gt_uevents_stop(gt_uevents *uevents) {
  uint64_t one = 1;
  ssize_t written = write(uevents->stop_fd, &one, sizeof one);
  (void)written;
  pthread_join(uevents->thread, NULL);
  close(uevents->fd);
  close(uevents->stop_fd);
  free(uevents);
}
