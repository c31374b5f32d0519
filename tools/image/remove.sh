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
# Dead links, and then what busybox has that nobody else has.
find bin sbin usr/bin usr/sbin lib usr/lib -xtype l ! -path 'usr/lib/gantry/*' -print0 2>/dev/null | while IFS= read -r -d '' link; do
  target=$(readlink "$link")
  case $target in /*) [ -e "./$target" ] || [ "${target#/var/}" != "$target" ] || [ "${target#/run/}" != "$target" ] || rm -f "$link" ;; *) rm -f "$link" ;; esac
done
./bin/busybox --list-full | while read -r applet; do
  name=$(basename "$applet")
  [ -e "bin/$name" ] || [ -e "usr/bin/$name" ] || [ -e "sbin/$name" ] || [ -e "usr/sbin/$name" ] || ln -s /bin/busybox "$applet" 2>/dev/null || ln -s /bin/busybox "usr/bin/$name"
done
mkdir -p var/log var/tmp var/cache var/lib tmp run root proc sys dev
chmod 1777 var/tmp tmp
