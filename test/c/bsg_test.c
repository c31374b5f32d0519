/* The question whether bsg nodes take commands by io_uring: what is none says so, whatever this kernel can. */
#include "transport/bsg.h"

#include <errno.h>

#include "check.h"

int main(void) {
  TEST("a node that is not there");
  CHECK_EQ(gt_bsg_probe("/dev/bsg/none"), -ENOENT);

  TEST("a file that takes no commands at all is told from one whose kernel has no io_uring");
  int result = gt_bsg_probe("/dev/zero");
  printf("  %s\n", strerror(-result));
  CHECK(result == -EOPNOTSUPP || result == -ENOSYS || result == -EPERM || result == -ENOMEM);

  TEST("/dev/null takes io_uring commands and does nothing with them: that is no bsg node");
  result = gt_bsg_probe("/dev/null");
  CHECK(result == -EPROTO || result == -EOPNOTSUPP || result == -ENOSYS || result == -EPERM || result == -ENOMEM);
  return check_end();
}
