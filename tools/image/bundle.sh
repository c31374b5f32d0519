#!/usr/bin/env bash
# Makes a signed update of a root file system: bundle.sh BOARD VERSION SQUASHFS BUNDLE. Keys: BOARD_KEY, BOARD_CERT.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
board=$1 version=$2 squashfs=$3 bundle=$4
work=$(mktemp -d "$(dirname "$bundle")/bundle.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/content"
ln "$squashfs" "$work/content/rootfs.squashfs" 2>/dev/null || cp "$squashfs" "$work/content/rootfs.squashfs"
cat >"$work/content/manifest.raucm" <<EOF
[update]
compatible=gantry-$board
version=$version
build=${BUILD_ID:-}

[bundle]
format=verity

[image.rootfs]
filename=rootfs.squashfs
EOF
rm -f "$bundle"
# What is in it is compressed already.
rauc bundle --cert="$BOARD_CERT" --key="$BOARD_KEY" --mksquashfs-args="-comp gzip -Xcompression-level 1 -noI -noD" "$work/content" "$bundle" >"$work/log" 2>&1 ||
  { cat "$work/log" >&2; exit 1; }
