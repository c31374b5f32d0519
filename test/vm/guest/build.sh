#!/usr/bin/env bash
# Builds the test guest from Debian packages: kernel, initramfs and root file system. Nothing is installed on this
# machine and nothing is written into the tree.
#
#   test/vm/guest/build.sh FOLDER NODE
#
# FOLDER gets vmlinux, initrd.gz and root.sqfs, and `ready` when all three are whole; with `ready` there it does
# nothing. NODE is the Node that the guest gets. Needs root for the ownership of files in the guest (or an unprivileged
# user namespace, which mmdebstrap then uses).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$1 node=$2
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
exec 9>"$folder/.lock"
flock 9
touch "$folder"
[ ! -e "$folder/ready" ] || exit 0
# Guests that no test has asked for in two weeks.
find "$folder/.." -mindepth 1 -maxdepth 1 -type d -mtime +14 -exec rm -rf {} +

work=$(mktemp -d "$folder/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
say() { echo "guest: $*" >&2; }

# What the tests' scripts call in the guest. tgt: a tape library for the kernel's drivers; mosquitto: the broker of a
# bridge that runs in there.
packages=(bash coreutils mount util-linux procps psmisc iproute2 kmod tar gzip grep sed mawk findutils diffutils
  hostname udev perl-base libatomic1 libstdc++6 libiscsi7 libasan8 libubsan1 libtsan2 e2fsprogs xfsprogs strace
  sg3-utils lsscsi sdparm open-iscsi tgt libiscsi-bin mt-st mtx ddpt fio mosquitto targetcli-fb)

# Modules by what needs them; each brings its dependencies. Built-in ones are skipped.
boot_modules=(virtio_pci virtio_blk overlay squashfs virtio_console)
test_modules=(9pnet_virtio 9p virtio_net virtio_scsi ext4 xfs loop configfs uio dm_multipath
  sd_mod sg st ch sr_mod scsi_debug iscsi_tcp
  target_core_mod target_core_file target_core_pscsi target_core_user tcm_loop iscsi_target_mod
  tcm_qla2xxx tcm_fc libfcoe fcoe vhost_scsi veth 8021q crc32c_generic crc32c_intel crct10dif_generic)

say "kernel"
kernel=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image-[0-9]/ { print $2; exit }')
[ -n "$kernel" ] || { echo "guest: apt knows no linux-image-amd64; run apt-get update" >&2; exit 1; }
(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "$kernel" && dpkg-deb -x ./linux-image-*.deb kernel)
version=$(ls "$work/kernel/lib/modules")
# The kernel without its wrapping boots through the PVH entry: a guest that unpacks it by itself needs 4.5 s longer.
python3 - "$work"/kernel/boot/vmlinuz-* "$work/vmlinux" <<'PY'
import lzma, struct, sys
image = open(sys.argv[1], 'rb').read()
# Linux/x86 boot protocol: setup_sects at 1F1h (0 means 4), payload_offset and payload_length at 248h, relative to the
# protected-mode code.
setup = (image[0x1f1] or 4) + 1
offset, length = struct.unpack_from('<II', image, 0x248)
payload = image[setup * 512 + offset:][:length]
kernel = lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(payload)
assert kernel[:4] == b'\x7fELF', 'the payload of the kernel image is no ELF file'
open(sys.argv[2], 'wb').write(kernel)
PY
depmod -b "$work/kernel" "$version"

say "root file system"
sources=()
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list; do
  if [ -s "$file" ]; then sources+=("$file"); fi
done
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
included=$(IFS=,; echo "${packages[*]}")
mmdebstrap --quiet --variant=minbase --aptopt='APT::Install-Recommends "false"' \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --include="$included" \
  "$suite" "$work/root" "${sources[@]}" >"$work/mmdebstrap.log" 2>&1 </dev/null || { cat "$work/mmdebstrap.log" >&2; exit 1; }
install -m755 "$node" "$work/root/usr/local/bin/node"
install -m755 "$here/start.sh" "$work/root/sbin/gantry-guest"
install -m644 "$here/agent.pl" "$here/library.sh" "$work/root/usr/local/lib/"
mkdir -p "$work/root/tree" "$work/root/host"
# Where the kernel's target keeps its state; it looks for the folder when its module is loaded.
mkdir -p "$work/root/etc/target/pr" "$work/root/etc/target/alua" "$work/root/var/target/pr" "$work/root/var/target/alua"

say "modules"
closure() {
  local module
  for module in "$@"; do
    modprobe -d "$work/kernel" -S "$version" --show-depends "$module" 2>/dev/null || say "this kernel has no module $module"
  done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
}
modules=$work/root/lib/modules/$version
mkdir -p "$modules"
closure "${boot_modules[@]}" "${test_modules[@]}" | while read -r file; do
  install -D -m644 "$file" "$work/root/${file#"$work/kernel/"}"
done
cp "$work/kernel/lib/modules/$version"/modules.{builtin,builtin.modinfo,order} "$modules/"
depmod -b "$work/root" "$version"

say "initramfs"
mkdir -p "$work"/initrd/{bin,dev,proc,sys,modules,lower,writable,root}
cp /bin/busybox "$work/initrd/bin/busybox"
for applet in sh mount insmod mkdir switch_root sleep; do ln -s busybox "$work/initrd/bin/$applet"; done
number=100
closure "${boot_modules[@]}" | while read -r file; do
  cp "$file" "$work/initrd/modules/$((number++))-$(basename "$file")"
done
install -m755 "$here/initramfs.sh" "$work/initrd/init"
(cd "$work/initrd" && find . | cpio --quiet -o -H newc | gzip -1) >"$work/initrd.gz"

say "image"
mksquashfs "$work/root" "$work/root.sqfs" -comp lz4 -noappend -no-progress -quiet
mv "$work/vmlinux" "$work/initrd.gz" "$work/root.sqfs" "$folder/"
sync -f "$folder"
touch "$folder/ready"
