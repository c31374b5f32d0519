/* The service manager's notification protocol, sd_notify(3): one datagram to a Unix socket. */
#ifndef GT_NOTIFY_H
#define GT_NOTIFY_H

/* Sends state ("READY=1\nSTATUS=…") to socket_path: an absolute path, or "@name" for an abstract
 * socket. Never waits: a full receiver is -EAGAIN. -EAFNOSUPPORT: another kind of address.
 * -ENAMETOOLONG: longer than a Unix address. Other negative errnos are those of socket and send. */
int gt_notify(const char *socket_path, const char *state);

#endif
