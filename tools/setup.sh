#!/usr/bin/env bash
# Makes a bare Debian 12 with Node ready to run, build and test Gantry. Safe to run again at any time: what is
# there already is left alone, and then it costs well under two seconds.
#
#   tools/setup.sh demo    what `npm run demo` and the programs need
#   tools/setup.sh test    that, and the real peers that the tests talk to
#   tools/setup.sh bench   that too
#   tools/setup.sh image   what it takes to make firmware images, and to start them in QEMU
set -euo pipefail
cd "$(dirname "$0")/.."
purpose=${1:-demo}

say() { printf '\033[2m%s\033[0m\n' "setup: $*" >&2; }

# Debian packages. Build tools and libiscsi (user-space iSCSI initiator); e2fsprogs to read ext4 images.
packages=(gcc g++ make cmake pkg-config libiscsi-dev e2fsprogs tar)
if [ "$purpose" = image ]; then
  packages+=(mmdebstrap squashfs-tools kmod cpio zstd busybox-static fdisk dosfstools mtools openssl openssh-client rauc
    grub-common grub-pc-bin grub-efi-amd64-bin qemu-system-x86 ovmf)
elif [ "$purpose" != demo ]; then
  # Peers that judge us: an MQTT broker, an iSCSI target with disk and tape, two more tars, file systems.
  # clang and its run-time library: fuzz targets of C. clang-format, cppcheck: style and lint of C. libatomic1: the
  # current Node of the npm package needs it. strace: shows that what is acknowledged was synchronised.
  # qemu-img: a server that has its copies made by EXTENDED COPY, and a peer of the benchmarks.
  packages+=(mosquitto tgt libiscsi-bin libarchive-tools python3 openssl xfsprogs btrfs-progs mount util-linux procps
    clang-14 libclang-rt-14-dev clang-format-14 cppcheck libatomic1 strace qemu-utils qemu-block-extra)
fi

# The test guest: a real kernel in QEMU. Where these cannot be installed, everything else still can, and is.
guest=()
[ "$purpose" = demo ] || guest=(qemu-system-x86 mmdebstrap squashfs-tools busybox-static kmod cpio python3)

# RUNLEVEL=1 keeps Debian from starting the peers as system services: the tests start their own.
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
add_packages() { # add_packages PACKAGE…: with lists of packages that are made anew when they are too old, or not there
  apt-get install --no-install-recommends -y "$@" || { apt-get update && apt-get install --no-install-recommends -y "$@"; }
}

missing=()
installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${packages[@]}" "${guest[@]}" 2>/dev/null || true)
for package in "${packages[@]}"; do
  grep -qx "$package installed" <<<"$installed" || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "Some Debian packages are missing. Install them with this line, then run the same command again:" >&2
    echo "  sudo apt-get install --no-install-recommends -y ${missing[*]}" >&2
    exit 1
  fi
  say "installing Debian packages: ${missing[*]}"
  log=$(mktemp)
  if ! add_packages "${missing[@]}" >"$log" 2>&1 </dev/null; then
    cat "$log" >&2
    echo "setup: apt-get could not install ${missing[*]}; its output is above." >&2
    exit 1
  fi
  rm -f "$log"
fi

wanting=()
for package in "${guest[@]}"; do
  grep -qx "$package installed" <<<"$installed" || wanting+=("$package")
done
if [ ${#wanting[@]} -gt 0 ]; then
  say "installing Debian packages of the test guest: ${wanting[*]}"
  if [ "$(id -u)" != 0 ] || ! add_packages "${wanting[@]}" >/dev/null 2>&1 </dev/null; then
    say "they cannot be installed here, so what needs a real SCSI kernel will not be tested:"
    say "  sudo apt-get install --no-install-recommends -y ${wanting[*]}"
  fi
fi

# Two set-ups at once (two terminals) would trample on each other's node_modules.
mkdir -p build
exec 9>build/.setup.lock
flock 9

# npm packages, exactly as locked.
if ! cmp -s package-lock.json node_modules/.gantry-lock 2>/dev/null; then
  say "npm ci"
  npm ci --loglevel=error
  cp package-lock.json node_modules/.gantry-lock
fi

newer() { # newer STAMP PATH…: is anything in the paths newer than the stamp, or the stamp missing?
  local stamp=$1
  shift
  [ ! -e "$stamp" ] || [ -n "$(find "$@" -newer "$stamp" -print -quit)" ]
}

if newer build/.native.stamp CMakeLists.txt csrc package-lock.json || [ ! -e build/bin/gantry.node ]; then
  say "building the data plane (C)"
  touch build/.native.stamp.new
  npm run -s build:native >build/native.log 2>&1 || { cat build/native.log >&2; exit 1; }
  mv build/.native.stamp.new build/.native.stamp
fi
if newer build/.ts.stamp src tools test package-lock.json || [ ! -e dist/src/main.js ]; then
  say "building the supervisor (TypeScript)"
  touch build/.ts.stamp.new
  # A deleted source must not leave its compiled test behind.
  rm -rf dist
  npm run -s build:ts
  chmod +x dist/src/main.js dist/src/shell/main.js dist/tools/broker/main.js dist/tools/agent/main.js
  mv build/.ts.stamp.new build/.ts.stamp
fi
