/* Receiving. One receive buffer serves all connections of a reactor: what is in it is consumed before the next read,
 * and only a PDU that must be put off makes a copy of what follows it. Data of a PDU that is whole in the buffer is
 * used where it lies; of one that is not, the rest is received to where it stays. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "core/bytes.h"
#include "core/crc32c.h"
#include "fabric/internal.h"

static bool reads(const gt_conn *conn) {
  return !conn->paused && (conn->state == GT_CONN_LOGIN || conn->state == GT_CONN_FULL);
}

static bool header_digest(const gt_conn *conn) { return conn->state == GT_CONN_FULL && conn->params.header_digest; }

/* Bytes of the header with its additional segments and digest, as far as what is there tells. */
static uint32_t header_size(const gt_conn *conn, const uint8_t *header, uint32_t have) {
  uint32_t ahs = have > 4 ? header[4] * 4u : 0;
  return GT_PDU_BHS + ahs + (header_digest(conn) ? GT_PDU_DIGEST : 0);
}

static bool header_sound(gt_conn *conn, const uint8_t *header, uint32_t size) {
  if (!header_digest(conn)) return true;
  uint32_t covered = size - GT_PDU_DIGEST;
  if (gt_load_le32(header + covered) == gt_crc32c(0, header, covered)) return true;
  GT_COUNT(conn->reactor, digest_errors, 1);
  return false;
}

/* RFC 7143 7.8: where the header is not to be trusted, nothing behind it is: the connection ends. */
static bool lengths_sound(gt_conn *conn, const uint8_t *bhs) {
  const gt_pdu_head *head = &conn->rx.head;
  uint32_t most = conn->state == GT_CONN_FULL ? conn->params.target_max_recv : GT_LOGIN_DATA_MAX;
  if (conn->state != GT_CONN_FULL && (head->ahs_len || head->opcode != GT_PDU_LOGIN_REQUEST)) {
    GT_COUNT(conn->reactor, protocol_errors, 1);
    gt_conn_doom(conn); /* RFC 7143 6.3: before the full-feature phase nothing but a login is answered */
    return false;
  }
  if (head->data_len <= most) return true;
  gt_protocol_error(conn, bhs);
  return false;
}

static void rx_reset(gt_rx *rx) {
  free(rx->control);
  free(rx->loose);
  rx->loose = NULL;
  rx->phase = GT_RX_HEADER;
  rx->have = 0;
  rx->into = NULL;
  rx->inside = NULL;
  rx->crc = 0;
  rx->text = rx->pieces = false;
  rx->command = NULL;
  rx->control = NULL;
}

static bool data_sound(gt_conn *conn, const uint8_t *data, const uint8_t *tail) {
  gt_rx *rx = &conn->rx;
  uint32_t padding = gt_pdu_padding(rx->head.data_len);
  if (rx->tail_len <= padding) return true;
  uint32_t crc = data ? gt_crc32c(0, data, rx->head.data_len) : rx->crc;
  if (gt_crc32c(crc, tail, padding) == gt_load_le32(tail + padding)) return true;
  GT_COUNT(conn->reactor, digest_errors, 1);
  return false;
}

static void finish(gt_conn *conn, const uint8_t *bhs, bool sound) {
  conn->rx.large = conn->rx.head.data_len >= GT_RX_LARGE;
  gt_end(conn, bhs, sound);
  rx_reset(&conn->rx);
}

/* The header is there, size bytes at `header`; n more bytes follow at `behind`. Returns how many of these were used, or
 * -1: put off. */
static ssize_t take_header(gt_conn *conn, const uint8_t *header, uint32_t size, const uint8_t *behind, size_t n) {
  gt_rx *rx = &conn->rx;
  gt_pdu_read_head(header, &rx->head);
  if (!header_sound(conn, header, size)) return gt_conn_doom(conn), 0;
  if (!lengths_sound(conn, header)) return 0;
  bool digest = conn->state == GT_CONN_FULL && conn->params.data_digest && rx->head.data_len;
  rx->tail_len = gt_pdu_padding(rx->head.data_len) + (digest ? GT_PDU_DIGEST : 0);
  size_t whole = (size_t)rx->head.data_len + rx->tail_len;
  rx->inside = rx->head.data_len && n >= whole ? behind : NULL;
  if (!gt_begin(conn, header, header + GT_PDU_BHS)) return -1;
  GT_COUNT(conn->reactor, pdus_in, 1);
  if (!whole || rx->inside) {
    bool sound = !whole || data_sound(conn, behind, behind + rx->head.data_len);
    if (whole && rx->into) memcpy(rx->into, behind, rx->head.data_len);
    finish(conn, header, sound);
    return (ssize_t)whole;
  }
  if (header != rx->header) memcpy(rx->header, header, size);
  rx->phase = GT_RX_DATA;
  rx->have = 0;
  return 0;
}

static void put_off(gt_conn *conn) {
  conn->paused = true;
  conn->reactor->stalled = true;
  if (conn->hungry) GT_COUNT(conn->reactor, starved, 1);
}

/* Returns the bytes consumed. */
static size_t eat_header(gt_conn *conn, const uint8_t *p, size_t n) {
  gt_rx *rx = &conn->rx;
  if (!rx->have && n >= GT_PDU_BHS) {
    uint32_t size = header_size(conn, p, GT_PDU_BHS);
    if (n >= size) {
      ssize_t used = take_header(conn, p, size, p + size, n - size);
      if (used < 0) return put_off(conn), 0;
      return size + (size_t)used;
    }
  }
  size_t at = 0;
  for (uint32_t size; rx->have < (size = header_size(conn, rx->header, rx->have)) && at < n;) {
    /* The length of the additional segments is in the first bytes: those first. */
    size_t piece = (rx->have < GT_PDU_BHS ? GT_PDU_BHS : size) - rx->have;
    if (piece > n - at) piece = n - at;
    memcpy(rx->header + rx->have, p + at, piece);
    rx->have += (uint32_t)piece;
    at += piece;
  }
  if (rx->have < GT_PDU_BHS || rx->have < header_size(conn, rx->header, rx->have)) return at;
  ssize_t used = take_header(conn, rx->header, rx->have, p + at, n - at);
  if (used < 0) return put_off(conn), at;
  return at + (size_t)used;
}

static void took_data(gt_conn *conn, const uint8_t *p, size_t piece) {
  gt_rx *rx = &conn->rx;
  if (rx->into && rx->into + rx->have != p) memcpy(rx->into + rx->have, p, piece);
  if (!rx->into && rx->tail_len >= GT_PDU_DIGEST) rx->crc = gt_crc32c(rx->crc, p, piece);
  rx->have += (uint32_t)piece;
}

static size_t eat_data(gt_conn *conn, const uint8_t *p, size_t n) {
  gt_rx *rx = &conn->rx;
  uint32_t length = rx->head.data_len;
  size_t at = 0;
  if (rx->have < length) {
    at = length - rx->have < n ? length - rx->have : n;
    took_data(conn, p, at);
  }
  if (rx->have < length) return at;
  size_t piece = length + rx->tail_len - rx->have;
  if (piece > n - at) piece = n - at;
  if (piece) memcpy(rx->tail + (rx->have - length), p + at, piece);
  rx->have += (uint32_t)piece;
  if (rx->have == length + rx->tail_len) finish(conn, rx->header, data_sound(conn, rx->into, rx->tail));
  return at + piece;
}

static bool header_waits(const gt_conn *conn) {
  const gt_rx *rx = &conn->rx;
  return rx->phase == GT_RX_HEADER && rx->have >= GT_PDU_BHS && rx->have == header_size(conn, rx->header, rx->have);
}

static size_t eat(gt_conn *conn, const uint8_t *p, size_t n) {
  size_t at = 0;
  while (reads(conn) && (at < n || header_waits(conn))) {
    at += conn->rx.phase == GT_RX_HEADER ? eat_header(conn, p + at, n - at) : eat_data(conn, p + at, n - at);
    if (conn->answers_bytes >= GT_OUT_EAGER) gt_conn_flush(conn);
  }
  return at;
}

/* What follows a PDU that was put off, or a login that is being judged. */
static void keep(gt_conn *conn, const uint8_t *p, size_t n) {
  if (!n || conn->state == GT_CONN_DOOMED || conn->state == GT_CONN_LEAVING) return;
  conn->rx.left = malloc(n);
  if (!conn->rx.left) return gt_conn_doom(conn);
  memcpy(conn->rx.left, p, n);
  conn->rx.left_at = 0;
  conn->rx.left_len = n;
}

static void eat_left(gt_conn *conn) {
  gt_rx *rx = &conn->rx;
  rx->left_at += eat(conn, rx->left + rx->left_at, rx->left_len - rx->left_at);
  if (rx->left_at < rx->left_len) return;
  free(rx->left);
  rx->left = NULL;
}

/* Where the next bytes go. */
static size_t aim(gt_conn *conn, struct iovec iov[2]) {
  gt_rx *rx = &conn->rx;
  size_t count = 0;
  uint32_t missing = rx->phase == GT_RX_DATA && rx->have < rx->head.data_len ? rx->head.data_len - rx->have : 0;
  if (missing && rx->into) iov[count++] = (struct iovec){rx->into + rx->have, missing};
  bool large = rx->phase == GT_RX_DATA ? rx->head.data_len >= GT_RX_LARGE : rx->large;
  bool peek = large && (count || !missing);
  iov[count++] = (struct iovec){conn->reactor->rx, peek ? GT_RX_PEEK : GT_RX_BYTES};
  return count;
}

static void received(gt_conn *conn, const struct iovec *iov, size_t count, size_t n) {
  size_t direct = 0;
  conn->heard_ns = conn->reactor->now_ns;
  conn->pinged_ns = 0;
  GT_COUNT(conn->reactor, bytes_in, n);
  if (count == 2) {
    direct = n < iov[0].iov_len ? n : iov[0].iov_len;
    eat_data(conn, iov[0].iov_base, direct);
  }
  if (direct == n) return;
  const uint8_t *p = iov[count - 1].iov_base;
  size_t used = eat(conn, p, n - direct);
  if (used < n - direct) keep(conn, p + used, n - direct - used);
}

/* ---- data that the unit takes ---- */

/* Bytes of the last data of a command that is carried out at once: these may stay in the socket until its unit takes
 * them to where they belong. A digest would have to be judged before. 0: there are none. */
static uint32_t takeable(const gt_conn *conn) {
  const gt_rx *rx = &conn->rx;
  if (rx->phase != GT_RX_DATA || rx->tail_len || rx->pieces || !gt_command_last_data(conn)) return 0;
  uint32_t missing = rx->head.data_len - rx->have;
  return missing >= GT_RX_TAKEN ? missing : 0;
}

static ssize_t take(gt_io *io, void *into, size_t length) {
  gt_conn *conn = ((gt_command *)((gt_task *)io)->owner)->conn;
  ssize_t n;
  if (length > io->absent) length = io->absent;
  while ((n = recv(conn->fd, into, length, MSG_DONTWAIT)) < 0 && errno == EINTR)
    continue;
  if (n < 0) return -errno;
  io->absent -= (uint32_t)n;
  conn->absent -= (uint32_t)n;
  return n;
}

/* What the unit did not want, for the command was refused or had less to move. */
static void skip_absent(gt_conn *conn) {
  while (conn->absent) {
    uint32_t most = conn->absent < GT_RX_BYTES ? conn->absent : GT_RX_BYTES;
    ssize_t n = recv(conn->fd, conn->reactor->rx, most, MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return gt_conn_doom(conn);
    conn->absent -= (uint32_t)n;
  }
}

/* All of it is in the socket: the command is carried out with it there, and nobody waits for a peer meanwhile. */
static void hand_on(gt_conn *conn, uint32_t missing) {
  gt_rx *rx = &conn->rx;
  gt_io *io = &rx->command->task.io;
  conn->heard_ns = conn->reactor->now_ns;
  conn->pinged_ns = 0;
  GT_COUNT(conn->reactor, bytes_in, missing);
  conn->absent = io->absent = missing;
  io->take = take;
  rx->have += missing;
  finish(conn, rx->header, true);
  skip_absent(conn);
}

static void set_low_water(gt_conn *conn, int bytes) {
  if (conn->low_water == bytes) return;
  conn->low_water = bytes;
  setsockopt(conn->fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes);
}

void gt_conn_wait_no_more(gt_conn *conn) {
  if (conn->low_water <= 1 || conn->readable) return;
  conn->rx.pieces = conn->readable = true;
  gt_reactor_ready(conn);
}

/* True: data has been handed on, or is waited for. The socket tells when all of it is there, or when it holds no more
 * (tcp(7)); the clock ends the wait for a peer that is slow. */
static bool took(gt_conn *conn) {
  uint32_t missing = takeable(conn);
  int there = 0;
  if (!missing) return false;
  if (ioctl(conn->fd, FIONREAD, &there)) there = 0;
  if (there >= (int)missing) return hand_on(conn, missing), true;
  if (conn->hung_up || conn->low_water == (int)missing) return conn->rx.pieces = true, false;
  conn->readable = false;
  set_low_water(conn, (int)missing);
  return true;
}

void gt_conn_read(gt_conn *conn) {
  if (!reads(conn) || !conn->readable || conn->rx.left || took(conn)) return;
  set_low_water(conn, 1);
  struct iovec iov[2];
  size_t count = aim(conn, iov), room = iov[0].iov_len + (count == 2 ? iov[1].iov_len : 0);
  struct msghdr message = {.msg_iov = iov, .msg_iovlen = count};
  ssize_t n = recvmsg(conn->fd, &message, MSG_DONTWAIT);
  if (n > 0) {
    conn->readable = (size_t)n == room || conn->hung_up;
    return received(conn, iov, count, (size_t)n);
  }
  if (n < 0 && errno == EINTR) return;
  conn->readable = false;
  if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) gt_conn_doom(conn);
}

void gt_conn_resume(gt_conn *conn) {
  conn->paused = conn->hungry = false;
  if (header_waits(conn) && !conn->rx.left) eat(conn, conn->rx.header, 0);
  if (conn->rx.left) eat_left(conn);
  gt_reactor_ready(conn);
}
