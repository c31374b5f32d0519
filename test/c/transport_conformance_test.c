/* One suite over all transports.
 *
 *   transport_conformance_test                                       what needs no peer
 *   transport_conformance_test sg /dev/sgN disk|tape [tgtd|scsi_debug] [direct]  a real device; its data is lost
 *   transport_conformance_test iscsi PORTAL TARGET LUN disk|tape PID tgtd, pid PID, is stopped, resumed and
 *                                                                    in the end killed
 *   transport_conformance_test login PORTAL TARGET crc32c|none USER SECRET TARGET-USER TARGET-SECRET
 *                                                                    "-" for none; LUN 1 is a disk */
#include <dirent.h>
#include <signal.h>

#include "sg_fake.h"
#include "transport_cases.h"

/* --- emulated devices, by the virtual transport and by the sg transport over a stand-in for the driver --- */

enum { BLOCKS = 64 * 1024, BLOCK_BYTES = 512, TAPE_BLOCK_MAX = 8 << 20 };

/* Long enough that the case is through before it ends; a case waits for it, so no longer than that. */
enum { HOLD_MS = 1500 };

static void freeze_device(subject *s) {
  gt_fault fault = {.opcode = 0xFFFF, .last = UINT64_MAX, .count = 1, .delay_ms = HOLD_MS};
  CHECK_EQ(gt_device_inject(s->context, &fault), 0);
}
static void thaw_device(subject *s) { gt_device_clear_faults(s->context); }

static gt_lu *open_virtual(subject *s) {
  gt_lu *lu = NULL;
  CHECK_EQ(gt_virtual_open(s->context, &lu), 0);
  return lu;
}

static gt_lu *open_sg_fake(subject *s) { return sg_fake_open(s->context); }
static void freeze_sg_fake(subject *s) { atomic_store(&((sg_fake_host *)s->context)->frozen, true); }
static void thaw_sg_fake(subject *s) { atomic_store(&((sg_fake_host *)s->context)->frozen, false); }
static void remove_sg_fake(subject *s) { atomic_store(&((sg_fake_host *)s->context)->removed, true); }

static void conform_virtual(gt_device *device, int kind) {
  subject s = {.name = kind == DISK ? "virtual disk" : "virtual tape",
               .kind = kind,
               .open = open_virtual,
               .freeze = freeze_device,
               .thaw = thaw_device,
               .attention = true,
               .tells_overflow = true,
               .times_out = true,
               .largest = TAPE_BLOCK_MAX,
               .context = device};
  conform(&s);
}

static void conform_sg_fake(gt_device *device, int kind) {
  static sg_fake_host host;
  memset(&host, 0, sizeof host);
  host.depth = kind == TAPE ? 1 : SG_FAKE_QUEUE;
  host.device = device;
  subject s = {.name = kind == DISK ? "sg over an emulated disk" : "sg over an emulated tape",
               .kind = kind,
               .open = open_sg_fake,
               .freeze = freeze_sg_fake,
               .thaw = thaw_sg_fake,
               .kill = remove_sg_fake,
               .attention = true,
               .times_out = true,
               .largest = TAPE_BLOCK_MAX,
               .context = &host};
  conform(&s);
  sg_fake_end(&host);
}

static int run_emulated(void) {
  char folder[] = "/tmp/gantry-transport-XXXXXX", path[64], err[256] = "";
  if (!mkdtemp(folder)) return 1;
  gt_device *device = NULL;
  snprintf(path, sizeof path, "%s/disk", folder);
  gt_disk_options disk = {.path = path, .block_bytes = BLOCK_BYTES, .blocks = BLOCKS};
  CHECK_EQ(gt_disk_open(&disk, &device, err, sizeof err), 0);
  conform_virtual(device, DISK);
  conform_sg_fake(device, DISK);
  gt_device_unref(device);
  unlink(path);
  char index[80], attributes[80];
  snprintf(path, sizeof path, "%s/c.tap", folder);
  snprintf(index, sizeof index, "%s.idx", path);
  snprintf(attributes, sizeof attributes, "%s.mam", path);
  gt_tape_options tape = {.max_block_bytes = TAPE_BLOCK_MAX};
  gt_cartridge_options cartridge = {.path = path};
  CHECK_EQ(gt_tape_open(&tape, &device, err, sizeof err), 0);
  CHECK_EQ(gt_tape_load(device, &cartridge, err, sizeof err), 0);
  conform_virtual(device, TAPE);
  conform_sg_fake(device, TAPE);
  gt_device_unref(device);
  unlink(path);
  unlink(index);
  unlink(attributes);
  CHECK_EQ(rmdir(folder), 0);
  return check_end();
}

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

static bool stands_still(const char *tasks, const char *task) {
  char path[512], line[512] = "";
  snprintf(path, sizeof path, "%s/%s/stat", tasks, task);
  FILE *f = fopen(path, "r");
  if (!f) return true; /* a thread that ended */
  bool read = fgets(line, sizeof line, f);
  fclose(f);
  const char *state = strrchr(line, ')');
  return read && state && state[1] == ' ' && (state[2] == 'T' || state[2] == 't');
}

static bool all_stand_still(pid_t pid) {
  char tasks[64];
  snprintf(tasks, sizeof tasks, "/proc/%d/task", (int)pid);
  DIR *dir = opendir(tasks);
  if (!dir) return true;
  bool still = true;
  for (struct dirent *entry; (entry = readdir(dir));)
    if (entry->d_name[0] != '.' && !stands_still(tasks, entry->d_name)) still = false;
  closedir(dir);
  return still;
}

/* A thread on another processor goes on for a moment after the signal, which is enough to answer a command. */
static void stop_peer(subject *s) {
  pid_t pid = ((iscsi_peer *)s->context)->pid;
  kill(pid, SIGSTOP);
  for (int i = 0; i < 5000 && !all_stand_still(pid); i++)
    usleep(1000);
}

static void continue_peer(subject *s) { kill(((iscsi_peer *)s->context)->pid, SIGCONT); }
static void kill_peer(subject *s) { kill(((iscsi_peer *)s->context)->pid, SIGKILL); }

/* What tgtd does in its own way; a bridge of ours does as the standards say. */
static void as_tgtd(subject *s) {
  s->tells_overflow = false; /* it refuses an allocation length larger than the data buffer */
  s->no_residual_of_illegal_opcode = true;
  s->junk_at_tape_mark = true;
  s->nothing_of_a_longer_block = true;
  s->end_of_data_with_eom = true;
  if (s->kind == TAPE) s->largest = 4 << 20;
}

static int run_iscsi(char **args, bool tgtd) {
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
               .tells_overflow = true,
               .times_out = true,
               .largest = 8 << 20,
               .context = &peer};
  if (tgtd) as_tgtd(&s);
  conform(&s);
  return check_end();
}

/* --- sg on a real node --- */

typedef struct sg_node {
  const char *path;
  bool direct;
} sg_node;

static gt_lu *open_sg(subject *s) {
  char err[256] = "";
  gt_lu *lu = NULL;
  const sg_node *node = s->context;
  if (gt_sg_open(node->path, 1 << 20, node->direct, &lu, err, sizeof err)) fprintf(stderr, "%s\n", err);
  return lu;
}

static int run_sg(char **args, int count) {
  sg_node node = {.path = args[0]};
  subject s = {.name = "sg",
               .kind = strcmp(args[1], "tape") == 0 ? TAPE : DISK,
               .open = open_sg,
               .largest = 1 << 20,
               .fills_room = true,
               .context = &node};
  for (int i = 2; i < count; i++) {
    if (strcmp(args[i], "tgtd") == 0) as_tgtd(&s);
    if (strcmp(args[i], "scsi_debug") == 0) s.no_residual_of_illegal_opcode = s.no_residual_of_refusal = true;
    if (strcmp(args[i], "direct") == 0) node.direct = true;
  }
  conform(&s);
  return check_end();
}

/* One login; prints what came of it. With success, data has to pass both ways as well. */
static int run_login(char **args) {
  const char *chap[4];
  for (int i = 0; i < 4; i++)
    chap[i] = strcmp(args[3 + i], "-") == 0 ? NULL : args[3 + i];
  iscsi_peer peer = {.options = {.portal = args[0],
                                 .target = args[1],
                                 .lun = 1,
                                 .initiator = "iqn.2024-01.test.gantry:login",
                                 .header_digest = strcmp(args[2], "crc32c") == 0,
                                 .chap_user = chap[0],
                                 .chap_secret = chap[1],
                                 .target_chap_user = chap[2],
                                 .target_chap_secret = chap[3],
                                 .connect_timeout_ms = 10000}};
  char err[256] = "";
  gt_lu *lu = NULL;
  int result = gt_iscsi_open(&peer.options, &lu, err, sizeof err);
  if (result) {
    CHECK(lu == NULL && *err);
    printf("refused %d: %s\n", result, err);
    return check_end();
  }
  subject s = {.name = "login", .kind = DISK, .context = &peer};
  read_capacity(&s, lu);
  write_and_read_back(&s, lu, 0, 512 * 1024);
  gt_lu_close(lu);
  printf("logged in\n");
  return check_end();
}

int main(int argc, char **argv) {
  alarm(300); /* a case that hangs fails */
  if (argc == 7 && strcmp(argv[1], "iscsi") == 0) return run_iscsi(argv + 2, true);
  if (argc == 7 && strcmp(argv[1], "bridge") == 0) return run_iscsi(argv + 2, false);
  if (argc >= 4 && strcmp(argv[1], "sg") == 0) return run_sg(argv + 2, argc - 2);
  if (argc == 9 && strcmp(argv[1], "login") == 0) return run_login(argv + 2);
  if (argc == 1) return run_emulated();
  fprintf(stderr, "usage: %s [sg /dev/sgN disk|tape | iscsi|bridge PORTAL TARGET LUN disk|tape PID]\n", argv[0]);
  return 2;
}
