// The first start of a fresh image: it takes over what was put on its boot partition, nothing fails, people land in the
// shell, nothing listens that need not, and a job runs.
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../lib/mosquitto.js";
import { type Bench, BRIDGE } from "./lib/bench.js";
import type { Findings } from "./lib/test.js";
import { startTimeServer, type TimeServer } from "./lib/time-server.js";
import type { Vm } from "./lib/vm.js";

/** TCP ports that something might listen on, beside those that should. */
export const CLOSED_PORTS = [21, 23, 25, 53, 80, 111, 139, 443, 445, 1883, 2049, 3205, 5353, 5355, 8080, 9229];
const SSH = 22;
const ISCSI = 3260;

export async function portMap(bench: Bench): Promise<ReadonlyMap<number, number>> {
  const map = new Map([[SSH, bench.sshPort]]);
  for (const port of [ISCSI, ...CLOSED_PORTS]) map.set(port, await freePort());
  return map;
}

export async function firstStart(
  vm: Vm,
  bench: Bench,
  ports: ReadonlyMap<number, number>,
  find: Findings,
): Promise<TimeServer> {
  await vm.rootShell();
  const state = await vm.run("systemctl is-system-running --wait", { timeoutMs: 300_000, anyCode: true });
  const failed = await vm.run("systemctl --no-legend --no-pager --plain list-units --state=failed");
  find.check("no unit has failed", failed === "" && state === "running", failed === "" ? state : failed);
  const cycles = await vm.run("journalctl -b --no-pager -o cat | grep -i 'ordering cycle' || true");
  find.check("there is no ordering cycle between units", cycles === "", cycles);
  const slot = await vm.run("rauc status --output-format=shell", { timeoutMs: 60_000 });
  find.check(
    "the slot that runs was found well",
    /RAUC_SLOT_BOOT_STATUS_\d='?good/.test(slot),
    /RAUC_BOOT_PRIMARY='?([^'\n]*)/.exec(slot)?.[1] ?? slot,
  );

  await bench.online(120_000);
  find.check("the daemon reports to its broker, with the configuration from the boot partition", true);
  find.check(
    "the state has the rest of the disk",
    Number(await vm.run("df -m /var/lib | awk 'NR == 2 { print $2 }'")) > 1000,
  );
  find.check(
    "the root file system is read-only",
    (await vm.run("touch /usr/x /etc/x; echo $?", { anyCode: true })).endsWith("1"),
  );
  await shells(vm, bench, find);
  await listeners(vm, ports, find);
  const time = await keysAndTime(vm, bench, find);
  await daemonRights(vm, find);
  return time;
}

async function shells(vm: Vm, bench: Bench, find: Findings): Promise<void> {
  const admin = await bench.ssh("show system");
  find.check("SSH with a key lands in the shell", admin.code === 0 && admin.out.includes(BRIDGE), admin.err);
  const more = await bench.ssh("show system; id");
  find.check("nothing but the shell can be run over SSH", !/uid=/.test(more.out), more.out.slice(0, 60));
  const technician = await bench.ssh(`reboot --confirm ${BRIDGE}`, "technician");
  find.check(
    "a technician may not change things",
    technician.err.includes("SHELL_ROLE"),
    technician.err.trim().slice(0, 90),
  );
  const looked = await bench.ssh("show devices", "technician");
  find.check("a technician may look", looked.code === 0 && looked.out.includes("disk0"), looked.err);
  const wrong = await bench.ssh("show system", "root");
  find.check("root cannot log in", wrong.code === 255, wrong.err.trim());
  await vm.type("show system\r");
  await sleep(15_000);
  const console = await vm.console();
  find.check("the serial console has the shell", new RegExp(`^bridge +${BRIDGE}`, "m").test(console));
}

async function listeners(vm: Vm, ports: ReadonlyMap<number, number>, find: Findings): Promise<void> {
  // /proc/net/{tcp,tcp6}: local address, remote address, state; 0A is LISTEN.
  const text = await vm.run("awk '$4 == \"0A\" { print $2 }' /proc/net/tcp /proc/net/tcp6");
  const open = new Set(text.split("\n").map((address) => Number.parseInt(address.split(":").at(-1) ?? "", 16)));
  find.check(
    "only SSH and the configured portal listen",
    [...open].every((port) => port === SSH || port === ISCSI) && open.has(ISCSI),
    [...open].sort((a, b) => a - b).join(", "),
  );
  const udp = await vm.run("awk 'NR > 1 && $2 ~ /:/ { print $2 }' /proc/net/udp /proc/net/udp6");
  const odd = udp
    .split("\n")
    .filter((address) => address !== "" && !/:(0044|0222)$/.test(address) && !/^0100007F/.test(address));
  find.check("no UDP port but the DHCP client's is open", odd.length === 0, odd.join(", "));
  const answered: number[] = [];
  for (const port of CLOSED_PORTS) if (await stays(ports.get(port) ?? 0)) answered.push(port);
  find.check(`from outside, ${CLOSED_PORTS.length} other ports are closed`, answered.length === 0, answered.join(", "));
  find.check("from outside, the portal is open", await stays(ports.get(ISCSI) ?? 0));
}

/** QEMU takes every connection to a forwarded port, and closes it at once when the guest refuses. */
function stays(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const timer = setTimeout(() => end(true), 3000);
    const end = (open: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(open);
    };
    socket.on("error", () => end(false));
    socket.on("close", () => end(false));
  });
}

/** A bridge that cannot know the time takes no key; once it has heard the time it does. */
async function keysAndTime(vm: Vm, bench: Bench, find: Findings): Promise<TimeServer> {
  const refused = await bench.installKey().then(
    () => "",
    (error: Error) => error.message,
  );
  find.check("no key is taken before the clock is believed", /clock/.test(refused), refused.slice(0, 100));
  const time = await startTimeServer();
  await vm.run("systemctl restart systemd-timesyncd");
  for (let tries = 0; tries < 60; tries++) {
    if ((await vm.run("ls /run/systemd/timesync/synchronized", { anyCode: true })).startsWith("/run")) break;
    await sleep(1000);
  }
  await bench.installKey();
  find.check("a key is taken once a time server has answered", time.asked() > 0);
  await bench.submit("first");
  for (let tries = 0; tries < 120 && !/succeeded|failed/.test(await bench.jobState("first")); tries++)
    await sleep(1000);
  const state = await bench.jobState("first");
  find.check("a job runs", state === "succeeded", state);
  // With the key it remembered the time, so that it believes its clock chip right after the next start.
  return time;
}

async function daemonRights(vm: Vm, find: Findings): Promise<void> {
  const status = await vm.run("cat /proc/$(systemctl show -P MainPID gantryd)/status");
  const field = (name: string): string => new RegExp(`^${name}:\\s*(.*)$`, "m").exec(status)?.[1] ?? "";
  find.check("the daemon is a user of its own", field("Uid").startsWith("800"), field("Uid"));
  // CAP_SYS_RAWIO is 17.
  find.check("its only capability is CAP_SYS_RAWIO", BigInt(`0x${field("CapEff")}`) === 1n << 17n, field("CapEff"));
  find.check("it cannot get more", field("NoNewPrivs") === "1" && field("Seccomp") === "2");
  const passwords = await vm.run("awk -F: '$2 !~ /^[*!]/ { print $1 }' /etc/shadow");
  find.check("nobody has a password", passwords === "", passwords);
}
