/* What the kernel answers on an sg node: nothing but a clean host and driver status lets a SCSI status through. */
#include "core/scsi.h"
#include "fuzz.h"
#include "transport/sg_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_in in = {data, size};
  gt_io io = {.dir = fuzz_u8(&in) % 3, .data_len = fuzz_u32(&in), .timeout_ms = fuzz_u32(&in)};
  io.cdb_len = (uint8_t)(6 + fuzz_u8(&in) % 27);
  io.data = io.dir && io.data_len ? &in : NULL;
  sg_io_hdr_t header;
  gt_sg_request(&io, fuzz_u8(&in) & 1, &header);
  MUST(header.usr_ptr == &io && header.cmdp == io.cdb && header.cmd_len == io.cdb_len);
  MUST(header.mx_sb_len <= sizeof io.sense && header.timeout != 0);
  bool moves = io.dir != GT_DIR_NONE && io.data_len;
  MUST((header.dxfer_direction == SG_DXFER_NONE) == !moves && header.dxfer_len == (moves ? io.data_len : 0));
  header.status = fuzz_u8(&in);
  header.masked_status = fuzz_u8(&in);
  header.sb_len_wr = fuzz_u8(&in);
  header.host_status = fuzz_u8(&in) & 1 ? fuzz_u16(&in) : 0;
  header.driver_status = fuzz_u8(&in) & 1 ? fuzz_u16(&in) : 0;
  header.resid = (int)fuzz_u32(&in);
  header.info = fuzz_u32(&in);
  gt_sg_answer(&header, &io);
  MUST(io.sense_len <= sizeof io.sense && io.outcome <= GT_ABORTED);
  bool clean = header.host_status == 0 && (header.driver_status & ~0x08u) == 0;
  if (clean) MUST(io.outcome == GT_DELIVERED && io.status == header.status);
  if (io.outcome == GT_DELIVERED && io.status == GT_STATUS_GOOD) MUST(header.host_status == 0);
  if (io.outcome == GT_DELIVERED) MUST((header.driver_status & 0x07) == 0);
  if (!moves) MUST(io.resid == 0);
  return 0;
}
