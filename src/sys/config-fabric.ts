// What may stand in the configuration about servers: portals, targets and their LUNs, zones. Part of
// config-schema.ts; everything here is taken over by a reload while servers are logged in.
import * as v from "valibot";

const text = (max: number) =>
  v.pipe(
    v.string("must be text"),
    v.minLength(1, "must not be empty"),
    v.maxLength(max, `must have at most ${max} characters`),
  );
const name = v.pipe(
  v.string("must be text"),
  v.regex(/^[A-Za-z0-9._:-]{1,64}$/, "must be 1 to 64 letters, digits, '.', '_', ':' or '-'"),
);

/** RFC 7143 4.2.7.2: lower case after normalisation, three kinds of names. */
const ISCSI_NAME =
  /^(iqn\.[0-9]{4}-(0[1-9]|1[0-2])\.[a-z0-9.-]+(:[a-z0-9.:-]+)?|eui\.[0-9A-F]{16}|naa\.([0-9A-F]{16}|[0-9A-F]{32}))$/;
const iscsiName = v.pipe(
  v.string("must be text"),
  v.maxLength(223, "must have at most 223 characters"),
  v.regex(ISCSI_NAME, 'must be an iSCSI name in lower case, such as "iqn.2024-01.org.example:disks"'),
);
const seconds = v.pipe(
  v.number("must be a number"),
  v.integer("must be a whole number"),
  v.minValue(0, "must be at least 0"),
  v.maxValue(604_800, "must be at most 604800"),
);
const listOf = <T extends v.GenericSchema>(item: T, what: string) => v.array(item, `must be a list of ${what}`);

/** 16 bytes is what RFC 7143 12.1.4 wants of a secret; a shorter one is complained about when it is read. */
const credential = v.strictObject({ initiator: iscsiName, user: text(255), secret_file: text(4000) });

const portal = v.pipe(
  v.string("must be text"),
  v.regex(
    /^(\[[0-9a-fA-F:]+\]|\d{1,3}(\.\d{1,3}){3}):(\d{1,5})$/,
    'must be "address:port" with a numeric address, such as "127.0.0.1:3260"',
  ),
);

export const iscsiSchema = v.strictObject({
  portals: v.optional(listOf(portal, '"address:port"'), ["127.0.0.1:3260"]),
  authentication: v.optional(
    v.picklist(["chap", "none-on-loopback", "none-anywhere"], 'must be "chap", "none-on-loopback" or "none-anywhere"'),
    "none-on-loopback",
  ),
  credentials: v.optional(listOf(credential, "tables with initiator, user and secret_file"), []),
  target_user: v.optional(text(255)),
  target_secret_file: v.optional(text(4000)),
  reservation_lease_s: v.optional(seconds, 0),
  job_reading: v.optional(
    v.picklist(["shared", "write-exclusive", "exclusive"], 'must be "shared", "write-exclusive" or "exclusive"'),
    "shared",
  ),
  preempt: v.optional(v.picklist(["off", "ask", "automatic"], 'must be "off", "ask" or "automatic"'), "off"),
});

const lun = v.strictObject({
  lun: v.pipe(
    v.number("must be a number"),
    v.integer("must be a whole number"),
    v.minValue(0, "must be at least 0"),
    v.maxValue(255, "must be at most 255"),
  ),
  device: name,
});

export const targetSchema = v.strictObject({
  name: iscsiName,
  alias: v.optional(text(255)),
  luns: v.optional(listOf(lun, "tables with lun and device"), []),
});

/** A target of the kernel's own (LIO), through which the bridge's devices can be reached. */
export const lioSchema = v.strictObject({
  fabric: v.picklist(
    ["loopback", "iscsi", "qla2xxx", "fc", "srpt", "vhost"],
    'must be "loopback", "iscsi", "qla2xxx", "fc", "srpt" or "vhost"',
  ),
  name: iscsiName,
  initiator: v.optional(iscsiName),
  portals: v.optional(listOf(portal, '"address:port"')),
  luns: v.optional(listOf(lun, "tables with lun and device"), []),
});

/** "mover": the copy engine, which may belong to several zones. */
export const MOVER = "mover";

const member = v.pipe(
  v.string("must be text"),
  v.check((given) => given === MOVER || v.is(iscsiName, given), 'must be an iSCSI name or "mover"'),
);

export const zoneSchema = v.strictObject({
  name,
  initiators: listOf(member, "initiators"),
  devices: listOf(name, "device names"),
});

export type IscsiConfig = v.InferOutput<typeof iscsiSchema>;
export type TargetConfig = v.InferOutput<typeof targetSchema>;
export type LioConfig = v.InferOutput<typeof lioSchema>;
export type ZoneConfig = v.InferOutput<typeof zoneSchema>;

export interface FabricConfig {
  readonly iscsi?: IscsiConfig | undefined;
  readonly target: readonly TargetConfig[];
  readonly lio: readonly LioConfig[];
  readonly zone: readonly ZoneConfig[];
  readonly device: readonly { readonly name: string }[];
}

export type Complain = (path: (string | number)[], message: string) => void;

/** Host and port of a portal; the brackets of an IPv6 address are not part of it. */
export function splitPortal(portal: string): { readonly host: string; readonly port: number } {
  const at = portal.lastIndexOf(":");
  return { host: portal.slice(0, at).replace(/^\[|\]$/g, ""), port: Number(portal.slice(at + 1)) };
}

/** What one key alone cannot tell. */
export function checkFabric({ iscsi, target, lio, zone, device }: FabricConfig, complain: Complain): void {
  const devices = new Set(device.map(({ name: known }) => known));
  const unknown = (path: (string | number)[], given: string): void => {
    if (!devices.has(given)) complain(path, `there is no [[device]] named "${given}".`);
  };
  const targets = new Set<string>();
  const checkTarget = (table: string, { name: given, luns }: Pick<TargetConfig, "name" | "luns">, index: number) => {
    if (targets.has(given)) complain([table, index, "name"], `target name "${given}" is used twice.`);
    targets.add(given);
    const [numbers, names] = [new Set<number>(), new Set<string>()];
    luns.forEach((entry, place) => {
      const path = [table, index, "luns", place];
      unknown([...path, "device"], entry.device);
      if (numbers.has(entry.lun)) complain([...path, "lun"], `LUN ${entry.lun} of "${given}" is given twice.`);
      if (names.has(entry.device)) complain([...path, "device"], `"${entry.device}" has two LUNs in "${given}".`);
      numbers.add(entry.lun);
      names.add(entry.device);
    });
  };
  target.forEach((entry, index) => {
    checkTarget("target", entry, index);
  });
  lio.forEach((entry, index) => {
    checkTarget("lio", entry, index);
    checkLio(entry, iscsi?.authentication, (key, message) => complain(["lio", index, key], message));
  });
  const zones = new Set<string>();
  zone.forEach((entry, index) => {
    if (zones.has(entry.name)) complain(["zone", index, "name"], `zone name "${entry.name}" is used twice.`);
    zones.add(entry.name);
    entry.devices.forEach((given, place) => {
      unknown(["zone", index, "devices", place], given);
    });
  });
  if (iscsi !== undefined) checkIscsi(iscsi, target, complain);
  else if (target.length > 0) complain(["target", 0], "[[target]] needs a table [iscsi], which says where to listen.");
}

/** Names have the form that the fabric writes them in; where nobody proves who he is, only this machine may come. */
function checkLio(
  { fabric, name: given, initiator, portals }: LioConfig,
  authentication: IscsiConfig["authentication"] | undefined,
  complain: (key: string, message: string) => void,
): void {
  const digits = fabric === "srpt" ? 32 : 16;
  const naa = new RegExp(`^naa\\.[0-9A-F]{${digits}}$`);
  const alone = fabric === "loopback" || fabric === "vhost";
  if (fabric === "iscsi" ? !given.startsWith("iqn.") : !naa.test(given))
    complain(
      "name",
      `a target of "${fabric}" is named "${fabric === "iscsi" ? "iqn.…" : `naa.… with ${digits} digits`}".`,
    );
  if (alone !== (initiator !== undefined))
    complain("initiator", `\`initiator\` is for "loopback" and "vhost", which have exactly one; give it there.`);
  if (initiator !== undefined && !naa.test(initiator))
    complain("initiator", `the initiator of "${fabric}" is named "naa.… with ${digits} digits".`);
  if ((fabric === "iscsi") !== (portals !== undefined))
    complain("portals", `\`portals\` is for "iscsi"; give it there, and nowhere else.`);
  if (authentication === "none-anywhere") return;
  for (const address of portals ?? [])
    if (!/^(127\.|\[::1\])/.test(address))
      complain(
        "portals",
        `"${address}" can be reached from elsewhere, and the kernel's iSCSI believes every name: use [iscsi] there, or set \`iscsi.authentication\` to "none-anywhere".`,
      );
}

function checkIscsi(iscsi: IscsiConfig, target: readonly TargetConfig[], complain: Complain): void {
  iscsi.portals.forEach((given, index) => {
    const { host, port } = splitPortal(given);
    const octets = host.includes(":") ? [] : host.split(".").map(Number);
    if (port < 1 || port > 65535 || octets.some((octet) => octet > 255))
      complain(["iscsi", "portals", index], `"${given}" is no address and port from 1 to 65535.`);
  });
  if (new Set(iscsi.portals).size < iscsi.portals.length) complain(["iscsi", "portals"], "a portal is given twice.");
  if ((iscsi.target_user === undefined) !== (iscsi.target_secret_file === undefined))
    complain(["iscsi", "target_user"], "`target_user` and `target_secret_file` go together; give both or neither.");
  if (target.length === 0) complain(["iscsi"], "[iscsi] needs at least one [[target]].");
}
