/* What TCP over the loopback of this machine can do, as one JSON object: bytes a second of one stream, and ping-pongs
 * of 48 bytes (an iSCSI header) a second. No target on this machine can be faster. loopback SECONDS */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 256 * 1024, PING = 48 };

static double now_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void die(const char *what) {
  perror(what);
  exit(1);
}

static void open_pair(int pair[2]) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof at;
  int one = 1, door = socket(AF_INET, SOCK_STREAM, 0);
  if (door < 0 || bind(door, (struct sockaddr *)&at, len) || listen(door, 1)) die("listen");
  getsockname(door, (struct sockaddr *)&at, &len);
  pair[0] = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(pair[0], (struct sockaddr *)&at, len)) die("connect");
  pair[1] = accept(door, NULL, NULL);
  if (pair[1] < 0) die("accept");
  close(door);
  for (int i = 0; i < 2; i++)
    setsockopt(pair[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static void *swallow(void *context) {
  static char bytes[CHUNK];
  while (read(*(int *)context, bytes, sizeof bytes) > 0)
    continue;
  return NULL;
}

static void *echo(void *context) {
  char bytes[PING];
  int fd = *(int *)context;
  ssize_t n;
  while ((n = read(fd, bytes, sizeof bytes)) > 0 && write(fd, bytes, (size_t)n) == n)
    continue;
  return NULL;
}

static double stream(int fd, double seconds) {
  static char bytes[CHUNK];
  double begun = now_s(), total = 0;
  while (now_s() - begun < seconds) {
    ssize_t n = write(fd, bytes, sizeof bytes);
    if (n <= 0) die("write");
    total += (double)n;
  }
  return total / (now_s() - begun);
}

static double ping_pong(int fd, double seconds) {
  char bytes[PING] = {0};
  double begun = now_s(), total = 0;
  while (now_s() - begun < seconds) {
    if (write(fd, bytes, sizeof bytes) != PING) die("write");
    for (ssize_t got = 0; got < PING;) {
      ssize_t n = read(fd, bytes, (size_t)(PING - got));
      if (n <= 0) die("read");
      got += n;
    }
    total++;
  }
  return total / (now_s() - begun);
}

static double measure(void *(*other)(void *), double (*run)(int, double), double seconds) {
  int pair[2];
  pthread_t thread;
  open_pair(pair);
  if (pthread_create(&thread, NULL, other, &pair[1])) die("thread");
  double result = run(pair[0], seconds);
  shutdown(pair[0], SHUT_WR);
  pthread_join(thread, NULL);
  close(pair[0]);
  close(pair[1]);
  return result;
}

int main(int argc, char **argv) {
  double seconds = argc > 1 ? strtod(argv[1], NULL) : 1;
  double bytes = measure(swallow, stream, seconds), pings = measure(echo, ping_pong, seconds);
  printf("{\"bytesPerS\":%.0f,\"pingPongsPerS\":%.0f}\n", bytes, pings);
  return 0;
}
