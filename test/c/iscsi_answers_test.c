/* What the iscsi transport makes of answers, against a target that answers as it is told. */
#include <errno.h>
#include <signal.h>
#include <time.h>

#include "iscsi_fake.h"
#include "transport/lu.h"

static const char PLAIN[] = "HeaderDigest=None\0ImmediateData=Yes\0InitialR2T=No\0FirstBurstLength=16777215\0"
                            "MaxBurstLength=16777215\0MaxRecvDataSegmentLength=65536\0";

static gt_iscsi_options options_for(const iscsi_fake *fake) {
  return (gt_iscsi_options){.portal = fake->portal,
                            .target = "iqn.2024-01.test:fake",
                            .lun = 3,
                            .initiator = "iqn.2024-01.test:initiator",
                            .connect_timeout_ms = 5000};
}

static gt_lu *open_fake(iscsi_fake *fake) {
  gt_iscsi_options options = options_for(fake);
  gt_lu *lu = NULL;
  char err[256] = "";
  if (gt_iscsi_open(&options, &lu, err, sizeof err)) fprintf(stderr, "%s\n", err);
  CHECK(lu != NULL);
  return lu;
}

static int opens;
static void counted(gt_io *io) {
  opens--;
  ++*(int *)io->owner;
}

typedef struct answer {
  const char *name;
  uint8_t status, response, flags;
  uint32_t residual;
  uint8_t sense_bytes, outcome, got_sense;
  int32_t resid;
} answer;

enum { O = 0x04, U = 0x02 };

static const answer answers[] = {
    {"GOOD", 0x00, 0, 0, 0, 0, GT_DELIVERED, 0, 0},
    {"GOOD with underflow", 0x00, 0, U, 100, 0, GT_DELIVERED, 0, 100},
    {"GOOD with overflow", 0x00, 0, O, 100, 0, GT_DELIVERED, 0, -100},
    {"CHECK CONDITION with 18 bytes of sense", 0x02, 0, 0, 0, 18, GT_DELIVERED, 18, 0},
    {"CHECK CONDITION with underflow", 0x02, 0, U, 512, 18, GT_DELIVERED, 18, 512},
    {"CHECK CONDITION with overflow", 0x02, 0, O, 7, 18, GT_DELIVERED, 18, -7},
    {"CHECK CONDITION with more sense than there is room for", 0x02, 0, 0, 0, 252, GT_DELIVERED, GT_SENSE_MAX, 0},
    {"CHECK CONDITION without sense", 0x02, 0, 0, 0, 0, GT_DELIVERED, 0, 0},
    {"BUSY", 0x08, 0, U, 512, 0, GT_DELIVERED, 0, 512},
    {"RESERVATION CONFLICT", 0x18, 0, U, 512, 0, GT_DELIVERED, 0, 512},
    {"TASK SET FULL", 0x28, 0, U, 512, 0, GT_DELIVERED, 0, 512},
    {"ACA ACTIVE", 0x30, 0, U, 512, 0, GT_DELIVERED, 0, 512},
    {"TASK ABORTED", 0x40, 0, U, 512, 0, GT_DELIVERED, 0, 512},
    {"a status that does not exist", 0x3E, 0, 0, 0, 0, GT_TRANSPORT, 0, 512},
    {"response 01h, target failure, with residual", 0x00, 1, U, 512, 0, GT_TRANSPORT, 0, 512},
};

static gt_io ordered(uint8_t order, void *data, uint32_t size, gt_dir dir) {
  gt_io io = {.cdb = {0xC0, order}, .cdb_len = 16, .dir = (uint8_t)dir, .timeout_ms = 20000};
  io.data = data;
  io.data_len = size;
  return io;
}

static void test_answers(iscsi_fake *fake) {
  for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
    const answer *a = &answers[i];
    TEST(a->name);
    gt_lu *lu = open_fake(fake);
    if (!lu) return;
    uint8_t data[512];
    gt_io io = ordered(FAKE_ANSWER, data, sizeof data, GT_DIR_IN);
    io.cdb[2] = a->status;
    io.cdb[3] = a->response;
    io.cdb[4] = a->flags;
    gt_store_be32(io.cdb + 5, a->residual);
    io.cdb[9] = a->sense_bytes;
    CHECK_EQ(gt_lu_execute(lu, &io), 0);
    CHECK_EQ(io.outcome, a->outcome);
    if (a->outcome == GT_DELIVERED) CHECK_EQ(io.status, a->status);
    CHECK_EQ(io.sense_len, a->got_sense);
    CHECK_EQ(io.resid, a->resid);
    if (a->got_sense) CHECK(io.sense[0] == 0xF0 && io.sense[6] == 4 && io.sense[a->got_sense - 1] == a->got_sense - 1);
    gt_lu_close(lu);
  }
}

static void test_data_in(iscsi_fake *fake) {
  TEST("data with status: residual, and nothing written past the room");
  gt_lu *lu = open_fake(fake);
  uint8_t data[1024];
  memset(data, 0, sizeof data);
  gt_io io = ordered(FAKE_DATA, data, 512, GT_DIR_IN);
  io.cdb[4] = U;
  gt_store_be32(io.cdb + 5, 412);
  gt_store_be32(io.cdb + 9, 100);
  CHECK_EQ(gt_lu_execute(lu, &io), 0);
  CHECK_EQ(io.outcome, GT_DELIVERED);
  CHECK_EQ(io.resid, 412);
  CHECK(data[99] == 0xA5 && data[100] == 0);
  TEST("a target that sends more than was asked for loses the session, not our memory");
  memset(data, 0, sizeof data);
  gt_store_be32(io.cdb + 9, 600);
  CHECK_EQ(gt_lu_execute(lu, &io), 0);
  CHECK_EQ(io.outcome, GT_TRANSPORT);
  CHECK_EQ(data[512], 0);
  CHECK_EQ(gt_lu_submit(lu, &io), -ENOTCONN);
  gt_lu_close(lu);
}

static void test_read_without_data(iscsi_fake *fake) {
  static const struct {
    const char *name;
    uint8_t order, response, flags, outcome;
    uint32_t residual, bytes;
  } reads[] = {{"a read that is GOOD with all its data", FAKE_DATA, 0, 0, GT_DELIVERED, 0, 512},
               {"a read that is GOOD with underflow", FAKE_DATA, 0, U, GT_DELIVERED, 412, 100},
               {"a read that is GOOD with less data, and does not say so", FAKE_DATA, 0, 0, GT_TRANSPORT, 0, 100},
               {"a read that is GOOD without any data", FAKE_ANSWER, 0, 0, GT_TRANSPORT, 0, 0},
               {"a read with response 01h, target failure", FAKE_ANSWER, 1, 0, GT_TRANSPORT, 0, 0}};
  for (size_t i = 0; i < sizeof reads / sizeof *reads; i++) {
    TEST(reads[i].name);
    gt_lu *lu = open_fake(fake);
    uint8_t data[512];
    gt_io io = ordered(reads[i].order, data, sizeof data, GT_DIR_IN);
    io.cdb[0] = 0x88; /* READ(16) */
    io.cdb[3] = reads[i].response;
    io.cdb[4] = reads[i].flags;
    gt_store_be32(io.cdb + 5, reads[i].residual);
    gt_store_be32(io.cdb + 9, reads[i].bytes);
    if (reads[i].order == FAKE_ANSWER) io.cdb[9] = 0;
    CHECK_EQ(gt_lu_execute(lu, &io), 0);
    CHECK_EQ(io.outcome, reads[i].outcome);
    gt_lu_close(lu);
  }
}

static void test_lost(iscsi_fake *fake) {
  static const struct {
    const char *name;
    uint8_t order, argument;
  } ways[] = {{"the target hangs up", FAKE_HANG_UP, 0},
              {"the connection ends inside a PDU", FAKE_HALF_PDU, 0},
              {"a PDU of an unknown kind", FAKE_STRANGE, 0},
              {"a Reject", FAKE_REJECT, 0x09}};
  for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
    TEST(ways[w].name);
    gt_lu *lu = open_fake(fake);
    enum { OPS = 10 };
    gt_io ios[OPS];
    int done[OPS] = {0};
    uint8_t data[512];
    opens = OPS;
    for (int i = 0; i < OPS; i++) {
      ios[i] = ordered(i == 4 ? ways[w].order : FAKE_HOLD, data, sizeof data, GT_DIR_IN);
      ios[i].cdb[2] = ways[w].argument;
      ios[i].done = counted;
      ios[i].owner = &done[i];
      CHECK_EQ(gt_lu_submit(lu, &ios[i]), 0);
    }
    while (opens)
      gt_lu_poll(lu, -1);
    for (int i = 0; i < OPS; i++) {
      CHECK_EQ(done[i], 1);
      CHECK_EQ(ios[i].outcome, GT_TRANSPORT);
    }
    CHECK_EQ(gt_lu_submit(lu, &ios[0]), -ENOTCONN);
    CHECK_EQ(gt_lu_poll(lu, -1), 0);
    gt_lu_close(lu);
  }
}

/* What comes of a command that is held, when it is aborted or times out. */
static void end_held(iscsi_fake *fake, uint8_t tmf_answer, bool by_timeout, uint8_t outcome, uint8_t other_outcome) {
  gt_lu *lu = open_fake(fake);
  uint8_t data[512];
  unsigned tmfs = atomic_load(&fake->tmfs);
  gt_io other = ordered(FAKE_ANSWER, data, 0, GT_DIR_NONE), io = ordered(FAKE_HOLD, data, sizeof data, GT_DIR_IN);
  io.cdb[2] = tmf_answer;
  int done = 0, other_done = 0;
  io.done = other.done = counted;
  io.owner = &done;
  other.owner = &other_done;
  if (by_timeout) io.timeout_ms = 100;
  opens = 1;
  CHECK_EQ(gt_lu_submit(lu, &io), 0);
  gt_lu_poll(lu, 0);
  if (!by_timeout) CHECK_EQ(gt_lu_abort(lu, &io), 0);
  while (opens)
    gt_lu_poll(lu, -1);
  CHECK_EQ(done, 1);
  CHECK_EQ(io.outcome, outcome);
  CHECK_EQ(atomic_load(&fake->tmfs), tmfs + 1);
  opens = 1;
  if (other_outcome == GT_DELIVERED) {
    CHECK_EQ(gt_lu_execute(lu, &other), 0);
    CHECK_EQ(other.outcome, GT_DELIVERED);
  } else
    CHECK_EQ(gt_lu_submit(lu, &other), -ENOTCONN);
  gt_lu_close(lu);
}

static void test_abort(iscsi_fake *fake) {
  TEST("ABORT TASK done: aborted, and the session goes on");
  end_held(fake, 0, false, GT_ABORTED, GT_DELIVERED);
  TEST("ABORT TASK for a task that does not exist any more: aborted, and the session goes on");
  end_held(fake, 1, false, GT_ABORTED, GT_DELIVERED);
  TEST("ABORT TASK refused: aborted, and the session is given up");
  end_held(fake, 5, false, GT_ABORTED, GT_TRANSPORT);
  TEST("timeout, ABORT TASK done: timed out, and the session goes on");
  end_held(fake, 0, true, GT_TIMED_OUT, GT_DELIVERED);
  TEST("timeout, and ABORT TASK is not answered: timed out, and the session is given up");
  end_held(fake, 0xEE, true, GT_TIMED_OUT, GT_TRANSPORT);
}

static void spoil(gt_io *io) {
  opens--;
  memset(io->data, 0xFF, io->data_len); /* ours again */
}

static void test_early_answer(iscsi_fake *fake) {
  TEST("a write that is refused early is not given back while its data is still to be sent");
  enum { BYTES = 12 << 20 };
  gt_lu *lu = open_fake(fake);
  uint8_t *data = malloc(BYTES);
  memset(data, 0x5A, BYTES);
  atomic_store(&fake->data_out, 0);
  atomic_store(&fake->resume, false);
  gt_io io = ordered(FAKE_PAUSE_ANSWER, data, BYTES, GT_DIR_OUT);
  io.cdb[2] = 0x02;
  io.cdb[9] = 18;
  io.done = spoil;
  opens = 1;
  CHECK_EQ(gt_lu_submit(lu, &io), 0);
  struct timespec tick = {.tv_nsec = 1000000};
  for (int i = 0; i < 200; i++) { /* the answer is there long before: the target does not read */
    gt_lu_poll(lu, 0);
    nanosleep(&tick, NULL);
  }
  CHECK_EQ(opens, 1);
  atomic_store(&fake->resume, true);
  while (opens)
    gt_lu_poll(lu, -1);
  CHECK_EQ(io.outcome, GT_DELIVERED);
  CHECK_EQ(io.status, 0x02);
  CHECK_EQ(io.sense_len, 18);
  io = ordered(FAKE_ANSWER, NULL, 0, GT_DIR_NONE);
  CHECK_EQ(gt_lu_execute(lu, &io), 0); /* comes after all data */
  CHECK_EQ(io.outcome, GT_DELIVERED);
  CHECK_EQ(atomic_load(&fake->data_out), BYTES);
  CHECK_EQ(atomic_load(&fake->wrong_data), 0);
  gt_lu_close(lu);
  free(data);
}

static void test_trickle(void) {
  TEST("answers that come byte by byte are understood, login and padding included");
  iscsi_fake fake = {.keys = "HeaderDigest=None\0ImmediateData=Yes\0InitialR2T=Yes\0", .trickle = true};
  fake_start(&fake);
  gt_lu *lu = open_fake(&fake);
  if (lu) {
    uint8_t data[64];
    gt_io io = ordered(FAKE_DATA, data, 61, GT_DIR_IN);
    gt_store_be32(io.cdb + 9, 61);
    CHECK_EQ(gt_lu_execute(lu, &io), 0);
    CHECK_EQ(io.outcome, GT_DELIVERED);
    CHECK(data[0] == 0xA5 && data[60] == 0xA5);
    gt_lu_close(lu);
  }
  fake_end(&fake);
}

static void test_close(iscsi_fake *fake) {
  TEST("close logs out");
  unsigned before = atomic_load(&fake->logouts);
  gt_lu *lu = open_fake(fake);
  gt_lu_close(lu);
  CHECK_EQ(atomic_load(&fake->logouts), before + 1);
}

typedef struct refusal {
  const char *name, *keys;
  uint16_t status;
  bool digest, mutual, silent;
  int error;
  const char *says;
} refusal;

static const refusal refusals[] = {
    {"authentication failure", "", 0x0201, false, false, false, -EACCES, "CHAP name or secret"},
    {"authorization failure", "", 0x0202, false, false, false, -EACCES, "does not admit initiator"},
    {"target not found", "", 0x0203, false, false, false, -ENOENT, "no target iqn.2024-01.test:fake"},
    {"out of resources", "", 0x0302, false, false, false, -EAGAIN, "refused the login"},
    {"no header digest", "HeaderDigest=None\0", 0, true, false, false, -EPROTO, "header digests"},
    {"header digest not spoken of", "", 0, true, false, false, -EPROTO, "header digests"},
    {"target without proof of its identity", "AuthMethod=None\0", 0, false, true, false, -EACCES, ""},
    {"a portal that says nothing", "", 0, false, false, true, -ETIMEDOUT, "did not answer the login in time"},
};

static void test_refusals(void) {
  for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
    const refusal *r = &refusals[i];
    TEST(r->name);
    iscsi_fake fake = {.keys = r->keys, .login_status = r->status, .silent = r->silent};
    fake_start(&fake);
    gt_iscsi_options options = options_for(&fake);
    options.header_digest = r->digest;
    if (r->mutual) {
      options.chap_user = "us", options.chap_secret = "our-secret-123";
      options.target_chap_user = "them", options.target_chap_secret = "their-secret-123";
    }
    if (r->silent) options.connect_timeout_ms = 300;
    gt_lu *lu = NULL;
    char err[256] = "";
    CHECK_EQ(gt_iscsi_open(&options, &lu, err, sizeof err), r->error);
    CHECK(lu == NULL);
    CHECK(*err != 0);
    CHECK(strstr(err, r->says) != NULL);
    fake_end(&fake);
  }
}

static void test_bad_options(void) {
  TEST("options that cannot work are refused with a sentence");
  const gt_iscsi_options good = {.portal = "127.0.0.1:1", .target = "iqn.t", .initiator = "iqn.i"};
  char lengthy[300], err[256];
  memset(lengthy, 'x', sizeof lengthy);
  lengthy[sizeof lengthy - 1] = 0;
  gt_iscsi_options bad[8] = {good, good, good, good, good, good, good, good};
  bad[0].portal = NULL;
  bad[1].target = "";
  bad[2].initiator = NULL;
  bad[3].chap_user = "u";
  bad[4].chap_user = "u", bad[4].chap_secret = lengthy;
  bad[5].target_chap_user = "t", bad[5].target_chap_secret = "s";
  bad[6].chap_user = "u", bad[6].chap_secret = "same", bad[6].target_chap_user = "t",
  bad[6].target_chap_secret = "same";
  bad[7].lun = 0x4000;
  for (int i = 0; i < 8; i++) {
    gt_lu *lu = NULL;
    *err = 0;
    CHECK_EQ(gt_iscsi_open(&bad[i], &lu, err, sizeof err), -EINVAL);
    CHECK(lu == NULL && *err);
  }
  gt_lu *lu = NULL;
  CHECK_EQ(gt_iscsi_open(&good, &lu, err, sizeof err), -ECONNREFUSED);
  CHECK(strstr(err, "cannot connect to iSCSI portal 127.0.0.1:1") != NULL);
}

int main(void) {
  alarm(110); /* a test that hangs fails */
  iscsi_fake fake = {.keys = PLAIN};
  fake_start(&fake);
  test_answers(&fake);
  test_data_in(&fake);
  test_read_without_data(&fake);
  test_lost(&fake);
  test_abort(&fake);
  test_early_answer(&fake);
  test_close(&fake);
  fake_end(&fake);
  test_trickle();
  test_refusals();
  test_bad_options();
  return check_end();
}
