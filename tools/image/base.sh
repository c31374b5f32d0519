#!/usr/bin/env bash
# Debian's part of an image: base.sh FOLDER KERNEL PACKAGE…; prints the folder of the cache with root.tar and kernel/.
# Asked for again within a week it is not made anew.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
kernel=$1
shift
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
key=$(printf '%s\n' "$suite" "$kernel" "$@" "$(cat "$0")" | sha256sum | cut -c 1-16)
folder=$cache/base-$key
mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9
find "$cache" -mindepth 1 -maxdepth 1 -name 'base-*' -mtime +7 -exec rm -rf {} +
[ ! -e "$folder/ready" ] || { echo "$folder"; exit 0; }
rm -rf "$folder"
mkdir -p "$folder"
trap '[ -e "$folder/ready" ] || rm -rf "$folder"' EXIT

step "kernel: $kernel"
package=$(apt-cache depends "$kernel" | awk '/Depends: linux-image-[0-9]/ { print $2; exit }')
[ -n "$package" ] || fail "apt knows no $kernel; run apt-get update"
(cd "$folder" && apt-get -qq -o APT::Sandbox::User=root download "$package")
dpkg-deb -x "$folder"/linux-image-*.deb "$folder/kernel"
basename "$folder"/linux-image-*.deb .deb >"$folder/kernel.name"
rm "$folder"/linux-image-*.deb
depmod -b "$folder/kernel" "$(ls "$folder/kernel/lib/modules")"

step "Debian packages: $*"
sources=()
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list; do
  # Debian's own, and nobody else's.
  if [ -s "$file" ] && grep -q 'debian.org\|/debian' "$file"; then sources+=("$file"); fi
done
included=$(IFS=,; echo "$*")
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-0} mmdebstrap --quiet --variant=essential \
  --aptopt='APT::Install-Recommends "false"' \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' --include="$included" \
  "$suite" "$folder/root.tar" "${sources[@]}" >"$folder/mmdebstrap.log" 2>&1 </dev/null ||
  { cat "$folder/mmdebstrap.log" >&2; exit 1; }
touch "$folder/ready"
echo "$folder"
