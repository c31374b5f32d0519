#include "notify.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int gt_notify(const char *socket_path, const char *state) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t length = strlen(socket_path);
  if (length < 2 || (socket_path[0] != '/' && socket_path[0] != '@')) return -EAFNOSUPPORT;
  if (length >= sizeof address.sun_path) return -ENAMETOOLONG;
  memcpy(address.sun_path, socket_path, length);
  /* unix(7): the name of an abstract socket starts with a zero byte and ends with the length. */
  if (socket_path[0] == '@') address.sun_path[0] = 0;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  size_t address_length = offsetof(struct sockaddr_un, sun_path) + length + (socket_path[0] == '/');
  ssize_t sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&address,
                        (socklen_t)address_length);
  int error = sent < 0 ? -errno : 0;
  close(fd);
  return error;
}
