# What the steps of the image build share. Sourced.
tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export PATH=$PATH:/usr/sbin:/sbin
cache=${GANTRY_IMAGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gantry-image}
umask 022

step() { printf '%(%H:%M:%S)T image: %s\n' -1 "$*" >&2; }
fail() { echo "image: $*" >&2; exit 1; }

# Lines of list files, without comments: words FILE…
words() { cat -- "$@" 2>/dev/null | sed 's/#.*//' | tr -s ' \n' '\n' | sed '/^$/d'; }

# Files of kernel modules, in the order in which they are loaded: closure TREE VERSION MODULE…
closure() {
  local tree=$1 version=$2 module shown
  shift 2
  for module in "$@"; do
    shown=$(modprobe -d "$tree" -S "$version" --show-depends "$module" 2>/dev/null) ||
      { step "this kernel has no module $module"; continue; }
    printf '%s\n' "$shown"
  done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
}
