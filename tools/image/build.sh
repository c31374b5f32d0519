#!/usr/bin/env bash
# Makes firmware images: build.sh [BOARD…], by default for every board of board/. board/README.md tells what is in them.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
[ "$(id -u)" = 0 ] || fail "this needs root, for the ownership of the files in the image (sudo npm run image)"
cd "$tree"
boards=("$@")
[ ${#boards[@]} -gt 0 ] || for meta in board/*/meta; do boards+=("$(basename "$(dirname "$meta")")"); done
for board in "${boards[@]}"; do [ -e "board/$board/meta" ] || fail "there is no board/$board/meta"; done

# The Node that runs npm, for the image too; npm itself puts the one of its packages first.
PATH=$(dirname "${npm_node_execpath:-$(command -v node)}"):$PATH
export IMAGE_VERSION=${IMAGE_VERSION:-$(node -p 'require("./package.json").version')}
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export BUILD_ID=${BUILD_ID:-$(git rev-parse --short=12 HEAD 2>/dev/null || date -u +%Y%m%d%H%M%S)}
if [ -z "${BOARD_KEY:-}" ]; then
  step "signing with this machine's development key, in $cache/keys"
  tools/image/keys.sh "$cache/keys"
  export BOARD_KEY=$cache/keys/key.pem BOARD_CERT=$cache/keys/cert.pem BOARD_CA=$cache/keys/ca.pem
fi
for name in BOARD_KEY BOARD_CERT BOARD_CA; do [ -n "${!name:-}" ] || fail "BOARD_KEY, BOARD_CERT and BOARD_CA belong together"; done

for board in "${boards[@]}"; do
  out=$tree/build/image/$board
  mkdir -p "$out"
  exec 8>"$out/.lock"
  flock 8
  kernel=$(. "board/$board/meta" && echo "$KERNEL")
  mapfile -t packages < <(words board/common/packages.txt "board/$board/packages.txt")
  step "$board: the programs"
  node dist/tools/bundle/main.js "$out/program" >/dev/null
  base=$(tools/image/base.sh "$kernel" "${packages[@]}")
  tools/image/root.sh "$board" "$base" "$out"
  tools/image/disk.sh "$board" "$out"
  step "$board: compressing, and signing the update"
  zstd -q -f -T0 -19 "$out/gantry-$board.img" -o "$out/gantry-$board.img.zst"
  tools/image/bundle.sh "$board" "$IMAGE_VERSION" "$out/rootfs.squashfs" "$out/gantry-$board.raucb"
  rm -rf "$out/initrd" "$out/root" "$out"/{core.img,bootx64.efi,boot.vfat,state.ext4}
  step "$board: done"
  for file in "gantry-$board.img.zst" "gantry-$board.raucb" rootfs.squashfs; do
    printf '%10.1f MiB  %s\n' "$(awk "BEGIN { print $(stat -c %s "$out/$file") / 1048576 }")" "$out/$file"
  done
done
