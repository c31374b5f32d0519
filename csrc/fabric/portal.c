/* Listening sockets, and connections as they come out of them. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fabric/internal.h"

enum { BACKLOG = 128, ACCEPT_AT_ONCE = 64 };

typedef union gt_address {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
  struct sockaddr_storage room;
} gt_address;

static socklen_t parse(const char *host, uint16_t port, gt_address *out) {
  memset(out, 0, sizeof *out);
  if (inet_pton(AF_INET, host, &out->v4.sin_addr) == 1) {
    out->v4.sin_family = AF_INET;
    out->v4.sin_port = htons(port);
    return sizeof out->v4;
  }
  if (inet_pton(AF_INET6, host, &out->v6.sin6_addr) != 1) return 0;
  out->v6.sin6_family = AF_INET6;
  out->v6.sin6_port = htons(port);
  return sizeof out->v6;
}

static int fail(int fd, const char *what, const char *host, uint16_t port, char *err, size_t err_len) {
  int error = errno;
  if (fd >= 0) close(fd);
  if (err && err_len) snprintf(err, err_len, "cannot %s %s port %u: %s", what, host, port, strerror(error));
  return -error;
}

int gt_portal_bind(const char *host, uint16_t port, uint16_t *bound, char *err, size_t err_len) {
  gt_address address;
  socklen_t length = parse(host, port, &address);
  int yes = 1;
  if (!length) {
    errno = EINVAL;
    return fail(-1, "listen on (give a numeric address)", host, port, err, err_len);
  }
  int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail(fd, "open a socket for", host, port, err, err_len);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(fd, &address.any, length)) return fail(fd, "bind", host, port, err, err_len);
  if (listen(fd, BACKLOG)) return fail(fd, "listen on", host, port, err, err_len);
  length = sizeof address;
  if (getsockname(fd, &address.any, &length)) return fail(fd, "ask for the port of", host, port, err, err_len);
  *bound = ntohs(address.any.sa_family == AF_INET ? address.v4.sin_port : address.v6.sin6_port);
  return fd;
}

static void name_peer(const gt_address *address, char *out, size_t room) {
  char host[INET6_ADDRSTRLEN] = "?";
  bool v4 = address->any.sa_family == AF_INET;
  const void *bytes = v4 ? (const void *)&address->v4.sin_addr : (const void *)&address->v6.sin6_addr;
  inet_ntop(address->any.sa_family, bytes, host, sizeof host);
  snprintf(out, room, v4 ? "%s:%u" : "[%s]:%u", host, ntohs(v4 ? address->v4.sin_port : address->v6.sin6_port));
}

void gt_conn_adopt(gt_reactor *reactor, int fd, uint32_t portal, const char *peer) {
  gt_conn *conn = gt_target_adopt(reactor->target, reactor);
  if (!conn) {
    close(fd);
    GT_COUNT(reactor, refused, 1);
    return;
  }
  conn->fd = fd;
  conn->portal = portal;
  memcpy(conn->peer, peer, sizeof conn->peer);
  conn->born_ns = conn->heard_ns = conn->moved_ns = conn->data_ns = reactor->now_ns;
  conn->state = GT_CONN_LOGIN;
  conn->readable = conn->writable = true;
  conn->low_water = 1;
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                              .data.u64 = (uint64_t)(conn - reactor->target->conns)};
  if (epoll_ctl(reactor->epoll, EPOLL_CTL_ADD, fd, &event)) gt_conn_doom(conn);
  GT_COUNT(reactor, accepted, 1);
  gt_reactor_ready(conn);
}

static gt_reactor *least_busy(gt_target *target) {
  gt_reactor *best = &target->reactors[0];
  for (uint32_t i = 1; i < target->options.reactors; i++) {
    gt_reactor *other = &target->reactors[i];
    if (atomic_load(&other->connections) < atomic_load(&best->connections)) best = other;
  }
  return best;
}

static void hand_over(gt_reactor *from, int fd, uint32_t portal, const char *peer) {
  gt_reactor *to = least_busy(from->target);
  if (to == from) return gt_conn_adopt(to, fd, portal, peer);
  gt_mail *mail = calloc(1, sizeof *mail);
  if (!mail) {
    close(fd);
    return;
  }
  mail->kind = GT_MAIL_ADOPT;
  mail->fd = fd;
  mail->portal = portal;
  memcpy(mail->peer, peer, sizeof mail->peer);
  gt_reactor_post(to, mail);
}

/* A host that is gone answers no segment: TCP tells of that within a minute, also of one that was silent before. A host
 * whose initiator alone stands still goes on answering, and has longer (ping_timeout_ms): clients that sleep between
 * commands are no dead ones. */
static void set_up(int fd) {
  enum { UNANSWERED_MS = 30000, IDLE_S = 30, EVERY_S = 10, TIMES = 3 };
  static const struct {
    int level, name, value;
  } options[] = {{IPPROTO_TCP, TCP_NODELAY, 1},         {IPPROTO_TCP, TCP_USER_TIMEOUT, UNANSWERED_MS},
                 {SOL_SOCKET, SO_KEEPALIVE, 1},         {IPPROTO_TCP, TCP_KEEPIDLE, IDLE_S},
                 {IPPROTO_TCP, TCP_KEEPINTVL, EVERY_S}, {IPPROTO_TCP, TCP_KEEPCNT, TIMES}};
  for (size_t i = 0; i < sizeof options / sizeof *options; i++)
    setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof options[i].value);
}

void gt_portal_accept(gt_reactor *reactor, uint32_t portal) {
  for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
    gt_address address;
    socklen_t length = sizeof address;
    char peer[64] = "";
    int fd = accept4(reactor->listeners[portal], &address.any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return; /* none left, or no descriptor: looked at again at the next event or tick */
    set_up(fd);
    name_peer(&address, peer, sizeof peer);
    hand_over(reactor, fd, portal, peer);
  }
}
