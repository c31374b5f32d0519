// The configuration as it may be seen. By a list of keys that are known to be harmless, not of secret ones: a key that is
// new is not shown until somebody has thought about it. Passwords and CHAP secrets are in files, whose names are shown.
import type { Config } from "../sys/config.js";

/** Keys of any table. A test wants every key of the schema to be here or below. */
export const SHOWN_KEYS: ReadonlySet<string> = new Set(
  `bridge id state_dir memory arena_mib copies_mib control client_id username password_file ca_file cert_file key_file
  keepalive_s keys issuers kid issuer public_key clock leeway_s max_lifetime_h jobs concurrent tape_block_kib
  checkpoint_mib checkpoint_s io_kib depth mib_per_s rate_windows from to command_timeout_s tape_timeout_s resume_limit
  keep_reports max_list_mib max_manifest_mib list_timeout_s shell socket look_socket technician_group board update reboot
  log level device name type transport writers tell_readers path block_bytes size_mib thin read_only volatile_cache
  identity lio fabric removable physical_block_bytes pace_kib_s serial cartridge capacity_mib early_warning_kib direct_io max_io_kib portal
  target lun initiator chap_user chap_secret_file target_chap_user target_chap_secret_file header_digest
  connect_timeout_s iscsi portals authentication credentials user secret_file target_user target_secret_file
  reservation_lease_s job_reading preempt alias luns zone initiators devices`
    .split(/\s+/)
    .filter((key) => key !== ""),
);

/** Keys with a part that may be a secret, and what is left of them. */
export const CUT_KEYS: Readonly<Record<string, (value: unknown) => unknown>> = {
  // Somebody may have written mqtts://user:password@host.
  url: (value) => String(value).replace(/\/\/[^/@]*@/, "//…@"),
};

const HIDDEN = "(not shown)";

export function configView(config: Config): Record<string, unknown> {
  return view(config) as Record<string, unknown>;
}

function view(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(view);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, inner]) => inner !== undefined)
      .map(([key, inner]) => {
        const cut = CUT_KEYS[key];
        if (cut !== undefined) return [key, cut(inner)];
        return [key, SHOWN_KEYS.has(key) ? view(inner) : HIDDEN];
      }),
  );
}
