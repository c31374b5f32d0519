/* sd_notify datagrams, received by sockets of the kinds that a service manager offers. */
#include "core/notify.h"

#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "check.h"

/* name: without the leading '@' for an abstract socket. */
static int receiver(const char *name, int abstract) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t length = strlen(name);
  memcpy(address.sun_path + abstract, name, length);
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
  CHECK_EQ(bind(fd, (struct sockaddr *)&address, size), 0);
  return fd;
}

static void check_received(int fd, const char *state) {
  char got[256] = "";
  CHECK_EQ(recv(fd, got, sizeof got - 1, 0), (long long)strlen(state));
  CHECK(strcmp(got, state) == 0);
}

int main(void) {
  char folder[] = "/tmp/gantry-notify-XXXXXX", path[128], name[128];
  CHECK(mkdtemp(folder) != NULL);
  snprintf(path, sizeof path, "%s/socket", folder);
  snprintf(name, sizeof name, "@gantry-notify-test-%ld", (long)getpid());

  TEST("a state goes whole, in one datagram, to a socket with a path");
  int fd = receiver(path, 0);
  CHECK_EQ(gt_notify(path, "READY=1\nSTATUS=two lines"), 0);
  check_received(fd, "READY=1\nSTATUS=two lines");

  TEST("and to an abstract socket");
  int abstract = receiver(name + 1, 1);
  CHECK_EQ(gt_notify(name, "WATCHDOG=1"), 0);
  check_received(abstract, "WATCHDOG=1");

  TEST("a receiver that is full is told and not waited for");
  int error = 0;
  for (int i = 0; i < 100000 && !error; i++)
    error = gt_notify(path, "WATCHDOG=1");
  CHECK_EQ(error, -EAGAIN);

  TEST("addresses that are none are refused");
  CHECK_EQ(gt_notify("", "READY=1"), -EAFNOSUPPORT);
  CHECK_EQ(gt_notify("@", "READY=1"), -EAFNOSUPPORT);
  CHECK_EQ(gt_notify("vsock:2:1234", "READY=1"), -EAFNOSUPPORT);
  char longer[200];
  memset(longer, 'a', sizeof longer - 1);
  longer[0] = '/';
  longer[sizeof longer - 1] = 0;
  CHECK_EQ(gt_notify(longer, "READY=1"), -ENAMETOOLONG);
  unlink(path);
  CHECK_EQ(gt_notify(path, "READY=1"), -ENOENT);

  close(fd);
  close(abstract);
  rmdir(folder);
  return check_end();
}
