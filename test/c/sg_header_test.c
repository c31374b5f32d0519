/* The sg transport's reading of sg_io_hdr: which answers of the kernel count as answers of the device. */
#include <limits.h>

#include "check.h"
#include "transport/sg_header.h"

typedef struct reading {
  const char *name;
  uint8_t status;
  uint16_t host, driver;
  uint8_t outcome;
  uint16_t driver_left;
} reading;

static const reading readings[] = {
    {"GOOD", 0x00, 0x00, 0x00, GT_DELIVERED, 0},
    {"CHECK CONDITION", 0x02, 0x00, 0x00, GT_DELIVERED, 0},
    {"CHECK CONDITION and DRIVER_SENSE", 0x02, 0x00, 0x08, GT_DELIVERED, 0},
    {"CHECK CONDITION, DRIVER_SENSE and a suggestion", 0x02, 0x00, 0x18, GT_DELIVERED, 0x10},
    {"BUSY", 0x08, 0x00, 0x00, GT_DELIVERED, 0},
    {"DID_NO_CONNECT", 0x00, 0x01, 0x00, GT_TRANSPORT, 0},
    {"DID_BUS_BUSY", 0x00, 0x02, 0x00, GT_TRANSPORT, 0},
    {"DID_TIME_OUT", 0x00, 0x03, 0x00, GT_TIMED_OUT, 0},
    {"DID_ABORT", 0x00, 0x05, 0x00, GT_TRANSPORT, 0},
    {"DID_ERROR", 0x00, 0x07, 0x00, GT_TRANSPORT, 0},
    {"DID_ERROR beside CHECK CONDITION", 0x02, 0x07, 0x08, GT_TRANSPORT, 0},
    {"DID_RESET", 0x00, 0x08, 0x00, GT_TRANSPORT, 0},
    {"DID_SOFT_ERROR", 0x00, 0x0b, 0x00, GT_TRANSPORT, 0},
    {"DID_TRANSPORT_DISRUPTED", 0x00, 0x0e, 0x00, GT_TRANSPORT, 0},
    {"DID_TARGET_FAILURE beside CHECK CONDITION", 0x02, 0x10, 0x08, GT_DELIVERED, 0},
    {"DID_NEXUS_FAILURE beside RESERVATION CONFLICT", 0x18, 0x11, 0x00, GT_DELIVERED, 0},
    {"DID_NEXUS_FAILURE beside GOOD", 0x00, 0x11, 0x00, GT_TRANSPORT, 0},
    {"DID_TRANSPORT_MARGINAL", 0x00, 0x14, 0x00, GT_TRANSPORT, 0},
    {"DRIVER_BUSY", 0x00, 0x00, 0x01, GT_TRANSPORT, 0x01},
    {"DRIVER_ERROR", 0x00, 0x00, 0x04, GT_TRANSPORT, 0x04},
    {"DRIVER_TIMEOUT", 0x00, 0x00, 0x06, GT_TIMED_OUT, 0x06},
    {"DRIVER_HARD", 0x00, 0x00, 0x07, GT_TRANSPORT, 0x07},
    {"host and driver status of which nobody has heard", 0x00, 0xff, 0x0f, GT_TRANSPORT, 0x07},
};

static void test_readings(void) {
  for (size_t i = 0; i < sizeof readings / sizeof *readings; i++) {
    const reading *r = &readings[i];
    TEST(r->name);
    gt_io io = {.dir = GT_DIR_IN, .data_len = 512};
    sg_io_hdr_t header = {.status = r->status, .host_status = r->host, .driver_status = r->driver};
    header.dxfer_direction = SG_DXFER_FROM_DEV;
    header.resid = 12;
    header.sb_len_wr = 18;
    gt_sg_answer(&header, &io);
    CHECK_EQ(io.outcome, r->outcome);
    CHECK_EQ(io.status, r->status);
    CHECK_EQ(io.host_status, r->host);
    CHECK_EQ(io.driver_status, r->driver_left);
    CHECK_EQ(io.sense_len, 18);
    CHECK_EQ(io.resid, 12);
  }
}

static void test_no_combination_is_good(void) {
  TEST("no host or driver status but a clean one lets GOOD through");
  for (unsigned host = 0; host < 256; host++)
    for (unsigned driver = 0; driver < 256; driver++) {
      gt_io io = {.dir = GT_DIR_NONE};
      sg_io_hdr_t header = {.host_status = (unsigned short)host, .driver_status = (unsigned short)driver};
      gt_sg_answer(&header, &io);
      unsigned code = driver & 0x0f;
      bool clean = host == 0 && (code == 0 || code == 8);
      if ((io.outcome == GT_DELIVERED) != clean) CHECK_EQ(host << 8 | driver, -1);
    }
  CHECK(check_count > 0);
}

static void test_request(void) {
  TEST("a request: direction, length, sense room, order, timeout");
  uint8_t data[4096];
  gt_io io = {
      .cdb = {0x28}, .cdb_len = 10, .dir = GT_DIR_IN, .timeout_ms = 1234, .data = data, .data_len = sizeof data};
  sg_io_hdr_t header;
  gt_sg_request(&io, false, &header);
  CHECK_EQ(header.interface_id, 'S');
  CHECK_EQ(header.dxfer_direction, SG_DXFER_FROM_DEV);
  CHECK_EQ(header.dxfer_len, sizeof data);
  CHECK(header.dxferp == data && header.cmdp == io.cdb && header.sbp == io.sense && header.usr_ptr == &io);
  CHECK_EQ(header.cmd_len, 10);
  CHECK_EQ(header.mx_sb_len, GT_SENSE_MAX);
  CHECK_EQ(header.timeout, 1234);
  CHECK_EQ(header.flags, 0x10); /* at the tail: commands keep their order */
  io.dir = GT_DIR_OUT;
  io.timeout_ms = 0;
  gt_sg_request(&io, true, &header);
  CHECK_EQ(header.dxfer_direction, SG_DXFER_TO_DEV);
  CHECK_EQ(header.timeout, UINT_MAX); /* for ever */
  CHECK_EQ(header.flags, 0x10 | SG_FLAG_DIRECT_IO);
  io.data_len = 0;
  gt_sg_request(&io, false, &header);
  CHECK_EQ(header.dxfer_direction, SG_DXFER_NONE);
  CHECK(header.dxferp == NULL);
}

static void test_open(void) {
  static const struct {
    const char *path, *says;
    int error;
  } nodes[] = {{"/dev/sg-that-is-not-there", "no such node", -2},
               {"/dev/null", "not a SCSI generic node", -25},
               {"/", "cannot open", -21}};
  TEST("what is no sg node is refused with a sentence");
  for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
    char err[256] = "";
    gt_lu *lu = NULL;
    CHECK_EQ(gt_sg_open(nodes[i].path, 0, false, &lu, err, sizeof err), nodes[i].error);
    CHECK(lu == NULL);
    CHECK(strstr(err, nodes[i].path) && strstr(err, nodes[i].says));
  }
}

int main(void) {
  test_readings();
  test_no_combination_is_good();
  test_request();
  test_open();
  return check_end();
}
