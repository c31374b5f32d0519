#!/usr/bin/env bash
# Makes the disk of a board: disk.sh BOARD OUT. From OUT/rootfs.squashfs comes OUT/gantry-BOARD.img: GPT with GRUB for
# BIOS (1) and UEFI (2), two slots (3, 4), the second empty, and the state (5), which grows with the disk. No loop devices.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
board=$1 out=$2
. "$tree/board/$board/meta"
image=$out/gantry-$board.img
MIB=1048576
BOOT_MIB=32 SLOT_MIB=${SLOT_MIB:-256} STATE_MIB=64
step "$board: disk"
[ "$(stat -c %s "$out/rootfs.squashfs")" -le $((SLOT_MIB * MIB)) ] || fail "rootfs.squashfs does not fit a slot of $SLOT_MIB MiB"

# What the kernel is told. The last console is /dev/console.
say="" serial=""
for console in $CONSOLES; do
  case $console in
    tty[0-9]*) say="$say console=tty0" ;;
    *) say="$say console=$console" serial=${console#ttyS} ;;
  esac
done
words="$say quiet loglevel=4 panic=10 transparent_hugepage=madvise slab_nomerge init_on_alloc=1 page_alloc.shuffle=1 randomize_kstack_offset=on vsyscall=none $WORDS"
if [ -n "$serial" ]; then
  unit=${serial%%,*} speed=${serial#*,}
  terminal="serial --unit=$unit --speed=$speed
terminal_output console serial
terminal_input console serial"
else
  terminal=""
fi
WORDS=$words TERMINAL=$terminal awk '{ if ($0 == "@TERMINAL@") print ENVIRON["TERMINAL"]; else { sub(/ *@WORDS@/, ENVIRON["WORDS"]); print } }' \
  "$tree/board/common/grub/grub.cfg" >"$out/grub.cfg"
{ printf '# GRUB Environment Block\nORDER=A B\nA_OK=1\nA_TRY=0\nB_OK=0\nB_TRY=0\n'; head -c 1024 /dev/zero | tr '\0' '#'; } | head -c 1024 >"$out/grubenv"

grub() { # grub FORMAT OUTPUT
  local format=$1 platform=${1%-efi}
  mapfile -t modules < <(words "$tree/board/common/grub/modules" "$tree/board/common/grub/modules-$1")
  # The disk that GRUB itself came from, and nothing that is looked for.
  grub-mkimage -O "$format" -p '(,gpt2)/grub' -o "$2" "${modules[@]}"
}
grub i386-pc "$out/core.img"
grub x86_64-efi "$out/bootx64.efi"

rm -f "$out/boot.vfat" "$out/state.ext4" "$image"
truncate -s ${BOOT_MIB}M "$out/boot.vfat"
mkfs.vfat -F 16 -n GANTRY -i 47616e74 --invariant "$out/boot.vfat" >/dev/null
export MTOOLS_SKIP_CHECK=1
mmd -i "$out/boot.vfat" ::EFI ::EFI/BOOT ::grub ::provision ::provision/config ::provision/network
mcopy -i "$out/boot.vfat" "$out/bootx64.efi" ::EFI/BOOT/BOOTX64.EFI
mcopy -i "$out/boot.vfat" "$out/grub.cfg" ::grub/grub.cfg
mcopy -i "$out/boot.vfat" "$out/grubenv" ::grub/grubenv
mcopy -i "$out/boot.vfat" "$tree/board/common/provision.txt" ::provision/README.TXT
E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH mke2fs -q -t ext4 -b 4096 -m 0 -L gantry-state -U 47616e74-7279-4000-8000-000000000005 \
  -E "hash_seed=47616e74-7279-4000-8000-000000000006,resize=$((64 * 1024 * 1024)),lazy_itable_init=0" -F "$out/state.ext4" ${STATE_MIB}M

start=$((MIB / 512)) text=""
place() { # place NAME TYPE MIB UUID
  text="$text
start=$start, size=$(($3 * MIB / 512)), type=$2, name=$1, uuid=47616e74-7279-4000-8000-00000000010$4"
  eval "at_${1##*-}=$start"
  start=$((start + $3 * MIB / 512))
}
place gantry-bios 21686148-6449-6E6F-744E-656564454649 1 1
place gantry-boot C12A7328-F81F-11D2-BA4B-00A0C93EC93B $BOOT_MIB 2
place gantry-a 4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709 "$SLOT_MIB" 3
place gantry-b 4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709 "$SLOT_MIB" 4
place gantry-state 0FC63DAF-8483-4772-8E79-3D69D8477DE4 $STATE_MIB 5
truncate -s $(((start + MIB / 512) * 512)) "$image"
sfdisk -q "$image" <<<"label: gpt
label-id: 47616e74-7279-4000-8000-000000000100
$text"
write() { dd if="$1" of="$image" bs=512 seek="$2" conv=notrunc,sparse status=none; }
write "$out/core.img" "$at_bios"
write "$out/boot.vfat" "$at_boot"
write "$out/rootfs.squashfs" "$at_a"
write "$out/state.ext4" "$at_state"
# GRUB's boot.img, up to the partition table: the sector of core.img is at 5Ch; core.img's first sector has at 1F4h the
# sector of its second (grub-core/boot/i386/pc/{boot,diskboot}.S).
le64() { local n=$1 i; for i in 0 1 2 3 4 5 6 7; do printf "\\x$(printf %02x $(((n >> (8 * i)) & 255)))"; done; }
dd if=/usr/lib/grub/i386-pc/boot.img of="$image" bs=440 count=1 conv=notrunc status=none
le64 "$at_bios" | dd of="$image" bs=1 seek=$((0x5c)) conv=notrunc status=none
le64 $((at_bios + 1)) | dd of="$image" bs=1 seek=$((at_bios * 512 + 0x1f4)) conv=notrunc status=none
