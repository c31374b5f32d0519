/* One suite over all transports.
 *
 *   transport_conformance_test                                       what needs no peer
 *   transport_conformance_test sg /dev/sgN disk|tape                 a real device; its data is lost
 *   transport_conformance_test iscsi PORTAL TARGET LUN disk|tape PID tgtd, pid PID, is stopped, resumed and
 *                                                                    in the end killed */
#include <errno.h>
#include <signal.h>

#include "transport_cases.h"

/* --- iscsi --- */

typedef struct iscsi_peer {
  gt_iscsi_options options;
  pid_t pid;
} iscsi_peer;

static gt_lu *open_iscsi(subject *s) {
  iscsi_peer *peer = s->context;
  char err[256] = "";
  gt_lu *lu = NULL;
  if (gt_iscsi_open(&peer->options, &lu, err, sizeof err)) fprintf(stderr, "%s\n", err);
  return lu;
}

static void stop_peer(subject *s) { kill(((iscsi_peer *)s->context)->pid, SIGSTOP); }
static void continue_peer(subject *s) { kill(((iscsi_peer *)s->context)->pid, SIGCONT); }
static void kill_peer(subject *s) { kill(((iscsi_peer *)s->context)->pid, SIGKILL); }

static int run_iscsi(char **args) {
  iscsi_peer peer = {.options = {.portal = args[0],
                                 .target = args[1],
                                 .lun = (uint32_t)strtoul(args[2], NULL, 10),
                                 .initiator = "iqn.2024-01.test.gantry:conformance",
                                 .connect_timeout_ms = 10000},
                     .pid = (pid_t)strtol(args[4], NULL, 10)};
  subject s = {.name = "iscsi",
               .kind = strcmp(args[3], "tape") == 0 ? TAPE : DISK,
               .open = open_iscsi,
               .freeze = stop_peer,
               .thaw = continue_peer,
               .kill = kill_peer,
               .attention = true,
               .tells_overflow = false, /* tgtd refuses an allocation length larger than the data buffer */
               .times_out = true,
               .no_residual_of_illegal_opcode = true,
               .wrong_residual_of_tape_sense = true,
               .end_of_data_with_eom = true,
               .largest = 8 << 20,
               .context = &peer};
  if (s.kind == TAPE) s.largest = 4 << 20;
  conform(&s);
  return check_end();
}

/* --- sg on a real node --- */

static gt_lu *open_sg(subject *s) {
  char err[256] = "";
  gt_lu *lu = NULL;
  if (gt_sg_open(s->context, 1 << 20, false, &lu, err, sizeof err)) fprintf(stderr, "%s\n", err);
  return lu;
}

static int run_sg(char **args) {
  subject s = {.name = "sg",
               .kind = strcmp(args[1], "tape") == 0 ? TAPE : DISK,
               .open = open_sg,
               .largest = 1 << 20,
               .context = args[0]};
  conform(&s);
  return check_end();
}

int main(int argc, char **argv) {
  alarm(300); /* a case that hangs fails */
  if (argc == 7 && strcmp(argv[1], "iscsi") == 0) return run_iscsi(argv + 2);
  if (argc == 4 && strcmp(argv[1], "sg") == 0) return run_sg(argv + 2);
  printf("SKIPPED: no peer given\n");
  return 77;
}
