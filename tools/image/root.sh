#!/usr/bin/env bash
# Puts the root file system of a board together: root.sh BOARD BASE OUT. OUT gets root/ and rootfs.squashfs, with kernel
# and initramfs in it, so that a slot is one thing under one signature.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
board=$1 base=$2 out=$3
common=$tree/board/common own=$tree/board/$board
. "$own/meta"
root=$out/root
rm -rf "$root"
mkdir -p "$root"

step "$board: root file system"
tar -xpf "$base/root.tar" -C "$root"
chmod 755 "$root"
awk '/^Package:/ { p = $2 } /^Version:/ { print p, $2 }' "$root/var/lib/dpkg/status" >"$out/packages.txt"
cat "$base/kernel.name" >>"$out/packages.txt"
# A checkout's modes depend on who made it; of them only that a file is a program counts.
for overlay in "$common/rootfs" "$own/rootfs"; do
  [ ! -d "$overlay" ] || tar -C "$overlay" --owner=0 --group=0 --mode=u=rwX,go=rX -cf - . | tar -xf - -C "$root"
done
install -m644 "$common/systemd/gantryd.service" "$root/usr/lib/systemd/system/gantryd.service"

# The daemon, and people. "*" is no password: nobody can log in with one.
for user in gantry:800:800:/var/lib/gantry:/usr/sbin/nologin admin:801:800:/var/lib/admin:/usr/lib/gantry/login \
  technician:802:802:/run/technician:/usr/lib/gantry/login; do
  IFS=: read -r name uid gid home shell <<<"$user"
  echo "$name:x:$uid:$gid::$home:$shell" >>"$root/etc/passwd"
  echo "$name:*:1::::::" >>"$root/etc/shadow"
done
printf 'gantry:x:800:\ntechnician:x:802:gantry\n' >>"$root/etc/group"
sed -i 's/^root:[^:]*/root:*/' "$root/etc/shadow"
sed -i 's#^root:\(.*\):[^:]*$#root:\1:/usr/sbin/nologin#' "$root/etc/passwd"
rm -f "$root"/etc/{passwd,shadow,group,gshadow}- "$root/etc/gshadow"

# Where the bridge has things of its own.
ln -sfn /var/lib/bridge/config "$root/etc/gantry"
rm -rf "$root/etc/systemd/network"
ln -sfn /var/lib/bridge/network "$root/etc/systemd/network"
ln -sfn /run/systemd/resolve/resolv.conf "$root/etc/resolv.conf"
: >"$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id"

step "$board: programs"
node=$(command -v node)
strip -o "$root/usr/bin/node" "$node"
# Its terms, and of all that is linked into it.
for file in "$(dirname "$node")/../share/doc/nodejs/LICENSE" "$(dirname "$node")/../LICENSE"; do
  [ ! -s "$file" ] || install -D -m644 "$file" "$root/usr/share/doc/nodejs/copyright"
done
tar -C "$out/program" --owner=0 --group=0 --mode=u=rwX,go=rX -cf - . | tar -xf - -C "$root/usr/lib/gantry"
"$tree/tools/image/precompile.sh" "$root/usr/lib/gantry"
for name in gantry gantryd; do ln -sf /usr/lib/gantry/start.js "$root/usr/bin/$name"; done

step "$board: kernel modules"
version=$(ls "$base/kernel/lib/modules")
modules=$root/lib/modules/$version
mkdir -p "$modules"
mapfile -t boot_modules < <(words "$common/modules-boot.txt" "$own/modules-boot.txt")
mapfile -t all_modules < <(words "$common/modules.txt" "$own/modules.txt")
closure "$base/kernel" "$version" "${boot_modules[@]}" "${all_modules[@]}" | while read -r file; do
  install -D -m644 "$file" "$root/${file#"$base/kernel/"}"
done
cp "$base/kernel/lib/modules/$version"/modules.{builtin,builtin.modinfo,order} "$modules/"
depmod -b "$root" "$version"

step "$board: initramfs"
initrd=$out/initrd
rm -rf "$initrd"
mkdir -p "$initrd"/{bin,dev,proc,sys,run,root,modules}
cp "$root/bin/busybox" "$initrd/bin/busybox"
for applet in sh mount insmod mkdir switch_root sleep cat grep sed basename dirname readlink watchdog kill reboot chroot tr mv sync; do
  ln -s busybox "$initrd/bin/$applet"
done
install -m755 "$common/initrd/init" "$initrd/init"
number=100
closure "$base/kernel" "$version" "${boot_modules[@]}" | while read -r file; do
  name=$number-$(basename "$file")
  cp "$file" "$initrd/modules/$name"
  echo "$name" >>"$initrd/modules/order"
  number=$((number + 1))
done
find "$initrd" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
mkdir -p "$root/boot"
(cd "$initrd" && find . | LC_ALL=C sort | cpio --quiet --reproducible -R 0:0 -o -H newc | zstd -q -19 -T0) >"$root/boot/initrd"
install -m644 "$base"/kernel/boot/vmlinuz-* "$root/boot/vmlinuz"

step "$board: services"
# RAUC's certificate authority, and what this is.
mkdir -p "$root/etc/rauc"
install -m644 "$BOARD_CA" "$root/etc/rauc/ca.pem"
sed -i "s/@COMPATIBLE@/gantry-$board/" "$root/etc/rauc/system.conf"
rm -f "$root/etc/os-release"
cat >"$root/usr/lib/os-release" <<EOF
ID=gantry
ID_LIKE=debian
NAME="Gantry"
PRETTY_NAME="Gantry $IMAGE_VERSION for $NAME"
IMAGE_ID=gantry-$board
IMAGE_VERSION=$IMAGE_VERSION
BUILD_ID=$BUILD_ID
VERSION_ID=$IMAGE_VERSION
EOF
ln -s ../usr/lib/os-release "$root/etc/os-release"
rm -rf "$root"/etc/systemd/system/*
SYSTEMD_OFFLINE=1 chroot "$root" systemctl --quiet preset-all 2>"$out/preset.log" || { cat "$out/preset.log" >&2; exit 1; }
SYSTEMD_OFFLINE=1 chroot "$root" systemctl --quiet set-default multi-user.target 2>/dev/null
for console in $CONSOLES; do
  ln -s /usr/lib/systemd/system/gantry-console@.service \
    "$root/etc/systemd/system/multi-user.target.wants/gantry-console@${console%%,*}.service"
done

step "$board: what the image does without"
"$tree/tools/image/remove.sh" "$root" "$common/remove.txt" "$own/remove.txt"

step "$board: squashfs"
rm -f "$out/rootfs.squashfs"
find "$root" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
mksquashfs "$root" "$out/rootfs.squashfs" -comp "${COMPRESSION:-gzip}" -b 256K -noappend -no-xattrs -no-progress -quiet
