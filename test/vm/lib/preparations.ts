// Guests as tests want them, saved ready.
import type { Preparation } from "./guest.js";

/**
 * Two scsi_debug disks of 64 MiB with a store each, and tgtd's library of two drives and four cartridges, logged in to:
 * sd, sg, st and ch nodes. Node has run once, so that its pages are in memory.
 */
export const LIBRARY: Preparation = {
  name: "library",
  script: `
    modprobe -a sg sd_mod st ch iscsi_tcp
    library_start
    modprobe scsi_debug dev_size_mb=64 per_host_store=1 add_host=2 delay=0
    for try in $(seq 100); do [ "$(ls /dev/sg* | wc -l)" -ge 6 ] && break; sleep 0.1; done
    node -e 0
    lsscsi -g`,
};

/** Nothing but the drivers. */
export const DRIVERS: Preparation = { name: "drivers", script: "modprobe -a sg sd_mod st ch; node -e 0" };

/** The kernel's own target with user backstores, and nothing in it. */
export const KERNEL_TARGET: Preparation = {
  name: "kernel-target",
  script: `
    modprobe -a sg sd_mod st iscsi_tcp configfs
    mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
    modprobe -a target_core_mod target_core_user tcm_loop iscsi_target_mod
    iscsid
    node -e 0`,
};
