/* The kernel's messages: which of them matter; and that listening begins and ends where it is allowed at all. */
#include "transport/uevent.h"

#include "check.h"

#define MATTERS(text) gt_uevent_matters((const uint8_t *)(text), sizeof(text) - 1)

int main(void) {
  TEST("a SCSI device and its generic node matter, whatever became of them; other devices do not");
  CHECK(MATTERS("add@/devices/x/scsi_generic/sg3\0ACTION=add\0DEVPATH=/devices/x\0SUBSYSTEM=scsi_generic\0SEQNUM=7\0"));
  CHECK(MATTERS("remove@/devices/x\0SUBSYSTEM=scsi_device\0"));
  CHECK(MATTERS("change@/devices/x\0SUBSYSTEM=scsi_generic")); /* cut off at the last zero */
  CHECK(!MATTERS("add@/devices/y\0ACTION=add\0SUBSYSTEM=block\0"));
  CHECK(!MATTERS("add@/devices/y\0ACTION=add\0SUBSYSTEM=scsi_generics\0"));
  CHECK(!MATTERS("add@/devices/y\0ACTION=add\0SUBSYSTEM=scsi_host\0OTHER=scsi_device\0"));

  TEST("bytes that are no message are none that matters");
  CHECK(!MATTERS(""));
  CHECK(!MATTERS("SUBSYSTEM="));
  CHECK(!MATTERS("\0\0\0SUBSYSTEM"));
  char exact[sizeof "SUBSYSTEM=scsi_devic" - 1];
  memcpy(exact, "SUBSYSTEM=scsi_devic", sizeof exact);
  CHECK(!gt_uevent_matters((const uint8_t *)exact, sizeof exact));

  TEST("listening ends when it is told to");
  gt_uevents *uevents = NULL;
  int error = gt_uevents_start(NULL, NULL, &uevents);
  if (error)
    printf("  not here: %s\n", strerror(-error));
  else
    gt_uevents_stop(uevents);
  CHECK(!error == (uevents != NULL));
  return check_end();
}
