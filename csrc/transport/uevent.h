/* Devices that come and go: the kernel's own messages (NETLINK_KOBJECT_UEVENT, group 1), for which no udevd is needed.
 * What they say is not trusted further than that it is time to look. */
#ifndef GT_UEVENT_H
#define GT_UEVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct gt_uevents gt_uevents;

/* Starts a thread that listens. changed: something of scsi_device or scsi_generic came, went or changed, or messages
 * were lost; on that thread, once for many messages; must not block or call back. Negative errno: it cannot be listened
 * to here (-EPERM, -EPROTONOSUPPORT: a container). */
int gt_uevents_start(void (*changed)(void *context), void *context, gt_uevents **out);
/* changed is not called any more when it returns. */
void gt_uevents_stop(gt_uevents *uevents);

/* Whether a message ("ACTION@DEVPATH", then lines "KEY=value", each ended by a zero) is of a SCSI device or its generic
 * node. Whatever the bytes are. */
bool gt_uevent_matters(const uint8_t *message, size_t length);

#endif
