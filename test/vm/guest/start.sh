#!/bin/bash
# PID 1 of the test guest: what a program expects to find mounted, the network towards the host, and then the agent
# that runs the tests' scripts. There is no service manager and no udevd: devtmpfs makes every node.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LC_ALL=C.UTF-8
mount -t tmpfs tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /tmp
mkdir -p /dev/pts /dev/shm /run/lock
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin
ln -s fd/1 /dev/stdout
ln -s fd/2 /dev/stderr
hostname guest
echo '127.0.0.1 localhost guest' >/etc/hosts
modprobe -a configfs virtio_net 9pnet_virtio 9p virtio_scsi
mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
ip link set lo up
# QEMU's user network: 10.0.2.2 is the loopback address of the host. No default route: nothing else is reached.
for interface in /sys/class/net/e*; do
  interface=$(basename "$interface")
  [ "$interface" = 'e*' ] || { ip address add 10.0.2.15/24 dev "$interface" && ip link set "$interface" up; }
done
echo '3 4 1 3' >/proc/sys/kernel/printk
exec perl /usr/local/lib/agent.pl
