/* Data that a disk in memory takes out of the socket to where it stays: the same answers, the same blocks and the same
 * order as of any other WRITE, whatever the peer, the file and the file system do meanwhile. */
#include <sys/mount.h>

#include "fabric_client.h"

enum { BLOCK = 512, BLOCKS = 16384, LONG = 256 << 10, LONG_BLOCKS = LONG / BLOCK, MIB = 1 << 20, ROUNDS = 150 };

#define KEYS(text) text, sizeof(text)
#define PLAIN KEYS("InitialR2T=No\0MaxRecvDataSegmentLength=1048576\0FirstBurstLength=262144\0MaxBurstLength=1048576")

static uint8_t pattern[2 * MIB];

typedef struct disk_rig {
  supervisor s;
  char path[64];
  int fd;
} disk_rig;

static size_t all_opcodes(gt_class_row *rows) {
  for (unsigned opcode = 0; opcode < 256; opcode++)
    rows[opcode] = (gt_class_row){(uint8_t)opcode, -1, 1, GT_FORWARD, 0};
  return 256;
}

static void open_rig(disk_rig *r, const char *folder, uint32_t reactors) {
  gt_class_row rows[256];
  char err[256] = "";
  gt_device *device;
  snprintf(r->path, sizeof r->path, "%s/gantry-in-place-XXXXXX", folder);
  r->fd = mkstemp(r->path);
  if (r->fd < 0) die("mkstemp");
  gt_disk_options disk = {.path = r->path, .blocks = BLOCKS, .block_bytes = BLOCK, .thin = true};
  if (gt_disk_open(&disk, &device, err, sizeof err)) die(err);
  r->s = supervisor_defaults();
  supervisor_open(&r->s, (gt_target_options){.reactors = reactors}, rows, all_opcodes(rows), device, true, 0);
}

static void close_rig(disk_rig *r) {
  supervisor_close(&r->s);
  unlink(r->path);
  close(r->fd);
}

static client *new_client(const disk_rig *r) {
  client *c = malloc(sizeof *c);
  if (!c) die("memory");
  client_login(c, r->s.port, PLAIN);
  client_settle(c);
  return c;
}

static void end_client(client *c) {
  close(c->fd);
  free(c);
}

/* What the file has at a block; the data of the test's own at `from`. */
static bool holds(const disk_rig *r, uint64_t lba, const uint8_t *want, size_t length) {
  static uint8_t found[2 * MIB];
  return pread(r->fd, found, length, (off_t)(lba * BLOCK)) == (ssize_t)length && !memcmp(found, want, length);
}

static void test_answers(void) {
  disk_rig r;
  open_rig(&r, "/dev/shm", 1);
  client *c = new_client(&r);
  static const uint8_t zeros[LONG];
  TEST("long writes one behind the other are where they belong, and what follows them is understood");
  uint32_t first = client_command(c, WRITES, GT_WRITE_10, 0, LONG_BLOCKS, LONG, pattern, LONG, 0);
  uint32_t second = client_command(c, WRITES, GT_WRITE_10, LONG_BLOCKS, LONG_BLOCKS, LONG, pattern + 77, LONG, 0);
  uint32_t third = client_command(c, 0x81, GT_TEST_UNIT_READY, 0, 0, 0, NULL, 0, 0);
  client_expect_good(c, first);
  client_expect_good(c, second);
  client_expect_good(c, third);
  CHECK(holds(&r, 0, pattern, LONG) && holds(&r, LONG_BLOCKS, pattern + 77, LONG));
  TEST("data beyond the blocks of the CDB is left, and told as residual");
  first = client_command(c, WRITES, GT_WRITE_10, 2048, LONG_BLOCKS - 64, LONG, pattern, LONG, 0);
  client_expect_good(c, first);
  CHECK_EQ(gt_load_be32(c->bhs + 44), 64 * BLOCK);
  CHECK(holds(&r, 2048, pattern, LONG - 64 * BLOCK) && holds(&r, 2048 + LONG_BLOCKS - 64, zeros, 64 * BLOCK));
  TEST("less than the CDB says is written to its last byte");
  first = client_command(c, WRITES, GT_WRITE_10, 4096, LONG_BLOCKS, LONG - 100, pattern, LONG - 100, 0);
  client_expect_good(c, first);
  CHECK(holds(&r, 4096, pattern, LONG - 100) && holds(&r, 4096 + LONG_BLOCKS, zeros, BLOCK));
  TEST("a write past the end touches nothing, and its data passes");
  first = client_command(c, WRITES, GT_WRITE_10, BLOCKS - 16, LONG_BLOCKS, LONG, pattern, LONG, 0);
  client_expect_sense(c, first, GT_KEY_ILLEGAL_REQUEST, GT_ASC_LBA_OUT_OF_RANGE);
  CHECK(holds(&r, BLOCKS - 16, zeros, 16 * BLOCK));
  TEST("a command that is no WRITE has its data, too");
  first = client_command(c, WRITES, 0x2F, 0, LONG_BLOCKS, LONG, pattern, LONG, 0); /* VERIFY(10), medium only */
  client_expect_good(c, first);
  first = client_command(c, WRITES, GT_WRITE_AND_VERIFY_10, 8192, LONG_BLOCKS, LONG, pattern + 5, LONG, 0);
  client_expect_good(c, first);
  CHECK(holds(&r, 8192, pattern + 5, LONG));
  end_client(c);
  close_rig(&r);
}

/* 64 KiB with the command, the rest as it is asked for; itt and the R2T's tag. */
static uint32_t begin_asked(client *c, uint32_t lba, uint32_t *ttt) {
  uint32_t itt = client_command(c, WRITES, GT_WRITE_10, lba, MIB / BLOCK, MIB, pattern, 64 << 10, 0);
  CHECK_EQ(client_receive(c), GT_PDU_R2T);
  *ttt = gt_load_be32(c->bhs + 20);
  return itt;
}

static void test_asked_for(void) {
  disk_rig r;
  open_rig(&r, "/dev/shm", 1);
  client *c = new_client(&r);
  uint32_t ttt, at = 64 << 10, part = 400 << 10;
  static const uint8_t zeros[MIB];
  TEST("data that was asked for, in two PDUs");
  uint32_t itt = begin_asked(c, 1024, &ttt);
  client_data(c, itt, ttt, 0, at, false, pattern + at, part, 0);
  client_data(c, itt, ttt, 1, at + part, true, pattern + at + part, MIB - at - part, 0);
  client_expect_good(c, itt);
  CHECK(holds(&r, 1024, pattern, MIB));
  TEST("data of a command that was aborted is nobody's");
  itt = begin_asked(c, 4096, &ttt);
  CHECK_EQ(client_task_management(c, GT_TMF_ABORT_TASK, 0, itt), GT_TMF_COMPLETE);
  client_data(c, itt, ttt, 0, at, true, pattern + at, MIB - at, 0);
  client_expect_good(c, client_command(c, 0x81, GT_TEST_UNIT_READY, 0, 0, 0, NULL, 0, 0));
  CHECK(holds(&r, 4096, zeros, MIB));
  TEST("a connection that is cut within the last data: nothing of the command is done");
  itt = begin_asked(c, 4096, &ttt);
  uint8_t bhs[48] = {GT_PDU_DATA_OUT, 0x80};
  gt_store_be24(bhs + 5, MIB - at);
  gt_store_be32(bhs + 16, itt);
  gt_store_be32(bhs + 20, ttt);
  gt_store_be32(bhs + 40, at);
  client_put(c, bhs, sizeof bhs);
  client_put(c, pattern, 200 << 10);
  shutdown(c->fd, SHUT_WR);
  client_closed(c);
  CHECK(holds(&r, 4096, zeros, MIB));
  end_client(c);
  close_rig(&r);
}

static void test_slow(void) {
  disk_rig r;
  open_rig(&r, "/dev/shm", 1);
  client *c = new_client(&r), *other = new_client(&r);
  TEST("a peer in the midst of its data holds nobody up, and is not forgotten");
  uint8_t bhs[48] = {GT_PDU_SCSI_COMMAND, WRITES}, two[2 * BLOCK] = {0};
  memset(two + BLOCK, 0x77, BLOCK);
  gt_store_be24(bhs + 5, LONG);
  gt_store_be32(bhs + 16, ++c->itt);
  gt_store_be32(bhs + 20, LONG);
  gt_store_be32(bhs + 24, c->cmdsn++);
  bhs[32] = GT_WRITE_10;
  gt_store_be16(bhs + 39, LONG_BLOCKS);
  client_put(c, bhs, sizeof bhs);
  for (uint32_t at = 0; at < LONG; at += 64 << 10) {
    client_put(c, pattern + at, 64 << 10);
    uint8_t cas[48] = {GT_PDU_SCSI_COMMAND, WRITES};
    gt_store_be32(cas + 16, ++other->itt);
    gt_store_be32(cas + 20, sizeof two);
    gt_store_be32(cas + 24, other->cmdsn++);
    cas[32] = GT_COMPARE_AND_WRITE;
    gt_store_be64(cas + 34, LONG_BLOCKS - 1);
    cas[45] = 1;
    client_send(other, cas, two, sizeof two, 0);
    CHECK_EQ(client_receive(other), GT_PDU_SCSI_RESPONSE);
    memset(two, 0x77, BLOCK);
    nanosleep(&(struct timespec){.tv_nsec = 150000000}, NULL); /* some of it within a tick, some not */
  }
  client_expect_good(c, c->itt);
  CHECK(holds(&r, 0, pattern, LONG));
  end_client(c);
  end_client(other);
  close_rig(&r);
}

static void test_cut_file(void) {
  disk_rig r;
  open_rig(&r, "/dev/shm", 1);
  client *c = new_client(&r);
  TEST("a file that was cut short has the write in the end, as by any other way");
  uint32_t itt = client_command(c, WRITES, GT_WRITE_10, 0, LONG_BLOCKS, LONG, pattern, LONG, 0);
  client_expect_good(c, itt);
  if (ftruncate(r.fd, 70000)) die("ftruncate");
  itt = client_command(c, WRITES, GT_WRITE_10, 0, LONG_BLOCKS, LONG, pattern + 9, LONG, 0);
  client_expect_good(c, itt);
  CHECK(holds(&r, 0, pattern + 9, LONG));
  end_client(c);
  close_rig(&r);
}

static void test_full(void) {
  char folder[] = "/tmp/gantry-full-XXXXXX";
  disk_rig r;
  if (!mkdtemp(folder)) die("mkdtemp");
  if (mount("none", folder, "tmpfs", 0, "size=1m")) {
    printf("SKIPPED a file system without room: it cannot be mounted (%s)\n", strerror(errno));
    rmdir(folder);
    return;
  }
  TEST("no room on the file system is DATA PROTECT, and the session goes on");
  open_rig(&r, folder, 1);
  client *c = new_client(&r);
  uint32_t itt = 0;
  int good = 0;
  for (uint32_t lba = 0; lba < 8 * LONG_BLOCKS; lba += LONG_BLOCKS) {
    itt = client_command(c, WRITES, GT_WRITE_10, lba, LONG_BLOCKS, LONG, pattern, LONG, 0);
    if (good == 0 || good * LONG + LONG <= MIB) {
      CHECK_EQ(client_receive(c), GT_PDU_SCSI_RESPONSE);
      if (c->bhs[3] == GT_STATUS_GOOD) {
        CHECK(holds(&r, lba, pattern, LONG));
        good++;
        continue;
      }
      break;
    }
    client_expect_sense(c, itt, GT_KEY_DATA_PROTECT, GT_ASC_SPACE_ALLOCATION_FAILED);
  }
  CHECK(good >= 2 && good <= 4);
  itt = client_command(c, WRITES, GT_WRITE_10, 0, LONG_BLOCKS, LONG, pattern + 3, LONG, 0);
  client_expect_good(c, itt);
  CHECK(holds(&r, 0, pattern + 3, LONG));
  end_client(c);
  close_rig(&r);
  umount2(folder, MNT_DETACH);
  rmdir(folder);
}

/* ---- three nexuses on the same blocks ---- */

/* A COMPARE AND WRITE is of so many blocks, zeros but for the counter in the last one, so that it takes its time. */
enum { SPAN = 128, COUNTER = LONG_BLOCKS - 1, SHARED = 2048, CHANGES = 200000 };

typedef struct changer {
  const disk_rig *r;
  pthread_t thread;
  _Atomic bool *over;
  uint8_t tag;
  uint64_t *changes;
  size_t count;
} changer;

static uint64_t read_counter(client *c) {
  client_command(c, READS, GT_READ_10, COUNTER, 1, BLOCK, NULL, 0, 0);
  CHECK_EQ(client_receive(c), GT_PDU_DATA_IN);
  CHECK_EQ(c->data_len, BLOCK);
  return gt_load_be64(c->data);
}

static bool change(client *c, uint64_t from, uint64_t to) {
  uint8_t bhs[48] = {GT_PDU_SCSI_COMMAND, WRITES}, both[2 * SPAN * BLOCK] = {0};
  gt_store_be64(both + (SPAN - 1) * BLOCK, from);
  gt_store_be64(both + (2 * SPAN - 1) * BLOCK, to);
  gt_store_be32(bhs + 16, ++c->itt);
  gt_store_be32(bhs + 20, sizeof both);
  gt_store_be32(bhs + 24, c->cmdsn++);
  bhs[32] = GT_COMPARE_AND_WRITE;
  gt_store_be64(bhs + 34, COUNTER - SPAN + 1);
  bhs[45] = SPAN;
  client_send(c, bhs, both, sizeof both, 0);
  CHECK_EQ(client_receive(c), GT_PDU_SCSI_RESPONSE);
  return c->bhs[3] == GT_STATUS_GOOD;
}

/* Two ordinary writes of the same blocks at a time are the initiators' own affair, and go into the same memory: that is
 * no race of the target's making, but ThreadSanitizer cannot know it. */
#ifdef __SANITIZE_THREAD__
#define PLACE_OF(me) (SHARED + ((me)->tag == 0x11 ? 0 : LONG_BLOCKS))
#else
#define PLACE_OF(me) SHARED
#endif

static void *run_changer(void *context) {
  changer *me = context;
  client *c = new_client(me->r);
  uint8_t *mine = malloc(LONG);
  if (!mine) die("memory");
  memset(mine, me->tag, LONG);
  while (!*me->over) {
    for (int i = 0; i < 20 && me->count < CHANGES; i++) {
      uint64_t value = read_counter(c);
      if (change(c, value, value + 1)) me->changes[me->count++] = value;
    }
    client_expect_good(c, client_command(c, WRITES, GT_WRITE_10, PLACE_OF(me), LONG_BLOCKS, LONG, mine, LONG, 0));
  }
  free(mine);
  end_client(c);
  return NULL;
}

static int ascending(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static void check_changes(const changer *who, size_t count) {
  uint64_t *all = malloc(2 * CHANGES * sizeof *all);
  size_t n = 0;
  if (!all) die("memory");
  for (size_t i = 0; i < count; i++) {
    memcpy(all + n, who[i].changes, who[i].count * sizeof *all);
    n += who[i].count;
  }
  qsort(all, n, sizeof *all, ascending);
  for (size_t i = 1; i < n; i++)
    CHECK(all[i] != all[i - 1]); /* two that both found it so: one of them was lost */
  CHECK(n > 0);
  free(all);
}

static void test_together(void) {
  disk_rig r;
  _Atomic bool over = false;
  open_rig(&r, "/dev/shm", 2);
  TEST("no COMPARE AND WRITE is lost between long writes, and none undoes one");
  client *c = new_client(&r);
  uint8_t *data = malloc(LONG), block[BLOCK];
  changer who[2] = {{.r = &r, .over = &over, .tag = 0x11}, {.r = &r, .over = &over, .tag = 0x22}};
  for (int i = 0; i < 2; i++) {
    who[i].changes = malloc(CHANGES * sizeof *who[i].changes);
    if (!data || !who[i].changes || pthread_create(&who[i].thread, NULL, run_changer, &who[i])) die("thread");
  }
  memset(data, 0, LONG);
  for (uint64_t round = 1; round <= ROUNDS; round++) {
    gt_store_be64(data + COUNTER * BLOCK, round << 32);
    client_expect_good(c, client_command(c, WRITES, GT_WRITE_10, 0, LONG_BLOCKS, LONG, data, LONG, 0));
    CHECK_EQ(read_counter(c) >> 32, round);
  }
  over = true;
  for (int i = 0; i < 2; i++)
    pthread_join(who[i].thread, NULL);
  check_changes(who, 2);
  for (int i = 0; i < LONG_BLOCKS; i++) {
    CHECK_EQ(pread(r.fd, block, BLOCK, (SHARED + i) * BLOCK), BLOCK);
    CHECK((block[0] == 0x11 || block[0] == 0x22) && memcmp(block, block + 1, BLOCK - 1) == 0);
  }
  for (int i = 0; i < 2; i++)
    free(who[i].changes);
  free(data);
  end_client(c);
  close_rig(&r);
}

int main(void) {
  for (size_t i = 0; i < sizeof pattern; i++)
    pattern[i] = (uint8_t)(i * 7 + i / 251);
  test_answers();
  test_asked_for();
  test_slow();
  test_cut_file();
  test_full();
  test_together();
  return check_end();
}
