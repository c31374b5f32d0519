#!/usr/bin/env bash
# Takes out of a root file system what lists name (board/common/remove.txt says how): remove.sh ROOT LIST…
set -euo pipefail
root=$1
shift
shopt -s nullglob
lists=()
for list in "$@"; do [ ! -e "$list" ] || lists+=("$list"); done
rules=$(cat "${lists[@]}" | sed 's/#.*//' | awk 'NF == 2')
kept=$(mktemp -d)
trap 'rm -rf "$kept"' EXIT
cd "$root"
while read -r word name; do
  [ "$word" = keep ] || continue
  for file in $name; do cp -a --parents "$file" "$kept"; done
done <<<"$rules"
while read -r word name; do
  case $word in
    package)
      for list in var/lib/dpkg/info/"$name".list var/lib/dpkg/info/"$name":*.list; do
        [ -e "$list" ] || continue
        # Folders may be others' as well, and /bin is a link to one.
        sed 's#^/##' "$list" | while read -r file; do
          if [ ! -d "$file" ]; then rm -f -- "$file"; fi
        done
      done
      ;;
  esac
done <<<"$rules"
while read -r word name; do
  [ "$word" != path ] || rm -rf -- $name
done <<<"$rules"
cp -a "$kept"/* .
# Links into what is gone. Absolute ones are meant inside this root, not on this machine.
find usr/bin usr/sbin usr/lib ! -path 'usr/lib/gantry/*' -type l -print0 | while IFS= read -r -d '' link; do
  target=$(readlink "$link")
  case $target in
    /var/* | /run/* | /dev/*) continue ;;
    /*) target=.$target ;;
    *) target=$(dirname "$link")/$target ;;
  esac
  [ -e "$target" ] || [ -L "$target" ] || rm -f "$link"
done
# Then what busybox has that nobody else has.
./bin/busybox --list-full | while read -r applet; do
  name=$(basename "$applet")
  [ -L "usr/bin/$name" ] || [ -L "usr/sbin/$name" ] || [ -e "usr/bin/$name" ] || [ -e "usr/sbin/$name" ] ||
    ln -s /bin/busybox "$applet" 2>/dev/null || ln -s /bin/busybox "usr/bin/$name"
done
mkdir -p var/log var/tmp var/cache var/lib tmp run root proc sys dev
chmod 1777 var/tmp tmp
