/* Connection and login phase of the iSCSI initiator (RFC 7143 6 and 13), by libiscsi, within one deadline. */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "iscsi_session.h"

enum { BHS_BYTES = 48, LOGIN_DATA_MAX = 8192, REDIRECTS = 4 };

typedef struct login {
  const gt_iscsi_options *options;
  struct iscsi_context *context;
  const char *portal;
  uint64_t deadline_ns;
  int connected, logged_in; /* 0: not yet, 1: yes, -1: failed */
  bool redirected, blind;
  bool header_digest, target_proved; /* keys seen in the target's answers */
  uint16_t status;                   /* Status-Class and Status-Detail, RFC 7143 11.13.5 */
  char *err;
  size_t err_len;
} login;

static int fail(const login *l, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int fail(const login *l, int error, const char *format, ...) {
  if (l->err && l->err_len) {
    va_list args;
    va_start(args, format);
    vsnprintf(l->err, l->err_len, format, args);
    va_end(args);
  }
  return -error;
}

static void on_connect(struct iscsi_context *context, int status, void *data, void *private_data) {
  (void)context, (void)data;
  login *l = private_data;
  l->connected = status == SCSI_STATUS_GOOD ? 1 : -1;
}

static void on_login(struct iscsi_context *context, int status, void *data, void *private_data) {
  (void)context, (void)data;
  login *l = private_data;
  l->redirected = status == SCSI_STATUS_REDIRECT;
  l->logged_in = status == SCSI_STATUS_GOOD ? 1 : -1;
}

static bool has_key(const char *text, size_t length, const char *prefix) {
  size_t wanted = strlen(prefix);
  for (size_t at = 0; at < length;) {
    size_t key = strnlen(text + at, length - at);
    if (key >= wanted && memcmp(text + at, prefix, wanted) == 0) return true;
    at += key + 1;
  }
  return false;
}

/* Looks at the Login Response that lies in the socket before the library reads it: the library goes on
 * without a header digest when the target answers None, and has no way to ask what was agreed. Returns
 * false while the PDU is not there as a whole (the library may then not read yet). */
static bool inspect_answer(login *l, int fd) {
  unsigned char pdu[BHS_BYTES + LOGIN_DATA_MAX];
  ssize_t got = recv(fd, pdu, sizeof pdu, MSG_PEEK | MSG_DONTWAIT);
  if (got <= 0 || l->blind) return true; /* end or error: for the library to find */
  if (got < BHS_BYTES) return false;
  size_t data = (size_t)pdu[5] << 16 | (size_t)pdu[6] << 8 | pdu[7];
  size_t padded = (data + 3) & ~(size_t)3; /* the library waits for the padding, too */
  if (padded > LOGIN_DATA_MAX) {           /* more than the default MaxRecvDataSegmentLength */
    l->blind = true;                       /* where the next PDU starts is not known from here on */
    return true;
  }
  if ((size_t)got < BHS_BYTES + padded) return false;
  l->status = (uint16_t)(pdu[36] << 8 | pdu[37]);
  const char *text = (const char *)pdu + BHS_BYTES;
  if (has_key(text, data, "HeaderDigest=CRC32C")) l->header_digest = true;
  if (has_key(text, data, "CHAP_R=")) l->target_proved = true;
  return true;
}

static int connect_error(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length)) return errno;
  return error ? error : ECONNRESET;
}

/* Runs the library until *step is not 0. */
static int pump(login *l, const int *step) {
  while (*step == 0) {
    uint64_t now = gt_now_ns();
    if (now >= l->deadline_ns)
      return fail(l, ETIMEDOUT,
                  "iSCSI portal %s did not %s in time; check the address and that the target is not stuck", l->portal,
                  l->connected == 1 ? "answer the login" : "accept the connection");
    struct pollfd wait = {.fd = iscsi_get_fd(l->context), .events = (short)iscsi_which_events(l->context)};
    if (poll(&wait, 1, gt_wait_ms(now, l->deadline_ns, -1)) <= 0) continue;
    if (l->connected != 1 && (wait.revents & (POLLERR | POLLHUP))) {
      int error = connect_error(wait.fd);
      return fail(l, error, "cannot connect to iSCSI portal %s: %s; check the address and that the target runs",
                  l->portal, strerror(error));
    }
    if ((wait.revents & POLLIN) && !inspect_answer(l, wait.fd)) {
      poll(NULL, 0, 1); /* the rest of the PDU is under way; POLLIN would be true all the time */
      continue;
    }
    if (iscsi_service(l->context, wait.revents) || (l->connected == 1 && *step == 0 && (wait.revents & POLLHUP)))
      return fail(l, ECONNRESET, "iSCSI portal %s closed the connection during login: %s", l->portal,
                  iscsi_get_error(l->context));
  }
  return 0;
}

static int login_refused(const login *l) {
  switch (l->status) {
  case 0x0201:
    return fail(l, EACCES, "target %s refused the CHAP name or secret; check both on either side", l->options->target);
  case 0x0202:
    return fail(l, EACCES, "target %s does not admit initiator %s; add it to the target's access list",
                l->options->target, l->options->initiator);
  case 0x0203:
  case 0x0204:
    return fail(l, ENOENT, "there is no target %s at portal %s; check the name", l->options->target, l->portal);
  case 0x0000: /* the library gave up, not the target */
    return fail(l, EACCES, "login to target %s failed: %s", l->options->target, iscsi_get_error(l->context));
  default:
    return fail(l, l->status >> 8 == 3 ? EAGAIN : EACCES, "target %s refused the login: %s", l->options->target,
                iscsi_get_error(l->context));
  }
}

/* Two sessions with one initiator name and one ISID would be one session to the target, which then ends the
 * older of them (RFC 7143 6.3.5). The library's own ISIDs come from rand(3), seeded by the time. */
static void choose_isid(struct iscsi_context *context) {
  uint32_t random[2] = {0, 0};
  if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) random[0] = (uint32_t)gt_now_ns();
  iscsi_set_isid_random(context, random[0] & 0xffffff, random[1] & 0xffff);
}

static int prepare(login *l) {
  const gt_iscsi_options *o = l->options;
  l->context = iscsi_create_context(o->initiator);
  if (!l->context) return fail(l, ENOMEM, "no memory for an iSCSI session");
  struct iscsi_context *c = l->context;
  iscsi_set_noautoreconnect(c, 1);
  choose_isid(c);
  enum iscsi_header_digest digest = o->header_digest ? ISCSI_HEADER_DIGEST_CRC32C : ISCSI_HEADER_DIGEST_NONE_CRC32C;
  int bad = iscsi_set_targetname(c, o->target) | iscsi_set_session_type(c, ISCSI_SESSION_NORMAL) |
            iscsi_set_header_digest(c, digest);
  if (o->chap_user) bad |= iscsi_set_initiator_username_pwd(c, o->chap_user, o->chap_secret);
  if (o->target_chap_user) bad |= iscsi_set_target_username_pwd(c, o->target_chap_user, o->target_chap_secret);
  return bad ? fail(l, EINVAL, "iSCSI options were not accepted: %s", iscsi_get_error(c)) : 0;
}

static int attempt(login *l) {
  int result = prepare(l);
  if (result) return result;
  if (iscsi_connect_async(l->context, l->portal, on_connect, l))
    return fail(l, EINVAL, "cannot connect to iSCSI portal %s: %s", l->portal, iscsi_get_error(l->context));
  result = pump(l, &l->connected);
  if (result) return result;
  if (l->connected < 0)
    return fail(l, ECONNREFUSED, "cannot connect to iSCSI portal %s: %s", l->portal, iscsi_get_error(l->context));
  if (iscsi_login_async(l->context, on_login, l))
    return fail(l, EPROTO, "cannot log in to %s: %s", l->options->target, iscsi_get_error(l->context));
  result = pump(l, &l->logged_in);
  if (result || l->redirected) return result;
  if (l->logged_in < 0) return login_refused(l);
  if (l->options->header_digest && !l->header_digest)
    return fail(l, EPROTO, "target %s does not do CRC32C header digests; allow them there or do not ask for them",
                l->options->target);
  if (l->options->target_chap_user && !l->target_proved)
    return fail(l, EACCES, "target %s did not prove its own identity by CHAP; configure mutual CHAP there",
                l->options->target);
  return 0;
}

static int check_text(const login *l, const char *what, const char *text, bool required) {
  if (!text || !*text) return required ? fail(l, EINVAL, "%s is missing", what) : 0;
  if (strlen(text) >= MAX_STRING_SIZE) return fail(l, EINVAL, "%s is longer than %d bytes", what, MAX_STRING_SIZE - 1);
  return 0;
}

static int check(const login *l) {
  const gt_iscsi_options *o = l->options;
  int bad = check_text(l, "iSCSI portal", o->portal, true);
  if (!bad) bad = check_text(l, "iSCSI target name", o->target, true);
  if (!bad) bad = check_text(l, "iSCSI initiator name", o->initiator, true);
  if (!bad) bad = check_text(l, "CHAP secret", o->chap_secret, o->chap_user != NULL);
  if (!bad) bad = check_text(l, "target's CHAP secret", o->target_chap_secret, o->target_chap_user != NULL);
  if (!bad) bad = check_text(l, "CHAP name", o->chap_user, o->target_chap_user != NULL);
  if (!bad) bad = check_text(l, "target's CHAP name", o->target_chap_user, false);
  /* RFC 7143 9.2.1: the secrets of the two directions must differ, or a reflection passes for proof. */
  if (!bad && o->target_chap_user && strcmp(o->chap_secret, o->target_chap_secret) == 0)
    return fail(l, EINVAL, "both directions of CHAP have the same secret; choose two");
  return bad;
}

int gt_iscsi_login(const gt_iscsi_options *options, struct iscsi_context **out, char *err, size_t err_len) {
  char portal[MAX_STRING_SIZE + 1];
  uint32_t timeout_ms = options->connect_timeout_ms ? options->connect_timeout_ms : 10000;
  uint64_t deadline_ns = gt_now_ns() + (uint64_t)timeout_ms * 1000000u;
  login l = {.options = options, .portal = options->portal, .err = err, .err_len = err_len};
  int result = check(&l);
  for (int hop = 0; result == 0 && hop <= REDIRECTS; hop++) {
    l = (login){.options = options, .portal = l.portal, .deadline_ns = deadline_ns, .err = err, .err_len = err_len};
    result = attempt(&l);
    if (result == 0 && !l.redirected) {
      *out = l.context;
      return 0;
    }
    if (result == 0) { /* RFC 7143 11.13.5: Target moved */
      snprintf(portal, sizeof portal, "%s", iscsi_get_target_address(l.context));
      l.portal = portal;
      if (hop == REDIRECTS) result = fail(&l, ELOOP, "target %s redirects the login without end", options->target);
    }
    if (l.context) iscsi_destroy_context(l.context);
  }
  return result;
}

static void on_logout(struct iscsi_context *context, int status, void *data, void *private_data) {
  (void)context, (void)status, (void)data;
  *(bool *)private_data = true;
}

static void say_goodbye(struct iscsi_context *context, bool *out) {
  uint64_t deadline_ns = gt_now_ns() + 1000000000u;
  if (iscsi_logout_async(context, on_logout, out)) return;
  while (!*out && iscsi_is_logged_in(context)) {
    uint64_t now = gt_now_ns();
    struct pollfd wait = {.fd = iscsi_get_fd(context), .events = (short)iscsi_which_events(context)};
    if (now >= deadline_ns || poll(&wait, 1, gt_wait_ms(now, deadline_ns, -1)) < 0) return;
    if (iscsi_service(context, wait.revents) || (wait.revents & (POLLHUP | POLLERR))) return;
  }
}

void gt_iscsi_logout(struct iscsi_context *context) {
  bool out = false; /* the library may point at it until the context is gone */
  say_goodbye(context, &out);
  iscsi_destroy_context(context);
}
