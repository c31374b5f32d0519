// Shell functions that every script of a test has. They wait, because nodes come when the kernel has looked.
export const FUNCTIONS = `set -euo pipefail
. /usr/local/lib/library.sh

# wait_for COMMAND...: tries it until it succeeds, for at most 20 seconds
wait_for() {
  local try
  for try in $(seq 200); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.1
  done
  echo "waited in vain for: $*" >&2
  return 1
}

# disk_of SERIAL: the block node of the disk with this unit serial number
disk_of() {
  local block found='' try
  for try in $(seq 200); do
    for block in /sys/class/block/sd*; do
      [ -e $block/device/vpd_pg80 ] || continue
      found=$(tail -c +5 $block/device/vpd_pg80 | tr -d ' \\0')
      if [ "$found" = "$1" ] && [ -b /dev/\${block##*/} ]; then echo /dev/\${block##*/}; return 0; fi
    done
    sleep 0.1
  done
  echo "there is no disk with the serial number $1" >&2
  return 1
}

# sg_of NODE: the sg node of a block, st or sch node
sg_of() {
  local name=\${1##*/} class
  name=\${name#n}
  for class in block scsi_tape scsi_changer; do
    if [ -d /sys/class/$class/$name/device/scsi_generic ]; then
      echo /dev/$(ls /sys/class/$class/$name/device/scsi_generic)
      return 0
    fi
  done
  return 1
}

# find_node TYPE COLUMN [NUMBER]: of GANTRY's units of this type (disk, tape, mediumx), column 1 its node, 2 its sg node
find_node() {
  local try found
  for try in $(seq 200); do
    found=$(lsscsi -g | awk -v type=$1 '$2 == type && /GANTRY/ { print $(NF - 1), $NF }' | sed -n "\${3:-1}p" | awk -v column=$2 '{ print $column }')
    [[ $found == /dev/* ]] && { echo $found; return 0; }
    sleep 0.1
  done
  lsscsi -g >&2
  return 1
}
`;
