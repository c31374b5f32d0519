// A report as a person reads it.

import type { CopyFacts, JobReport } from "../../src/job.js";
import { byteSize } from "../../src/sys/units.js";

export function reportText(report: JobReport): string {
  const seconds = report.startedMs === undefined ? 0 : (report.endedMs - report.startedMs) / 1000;
  const lines: [string, string][] = [
    ["job", `${report.jobId} (${report.type})`],
    ["ended", `${report.state}, ${new Date(report.endedMs).toISOString()}, after ${seconds.toFixed(1)} s`],
    [
      "moved",
      `${byteSize(Number(report.bytesDone))} at ${byteSize(Number(report.bytesPerS))}/s, ${report.membersDone} of ${report.membersTotal} ${report.copy === undefined ? "members" : "segments"}`,
    ],
  ];
  if (report.copy !== undefined) lines.push(...copyLines(report.copy));
  else
    lines.push([
      "waits",
      `tape waited ${report.tapeWaits} times (${report.tapeWaitMs} ms); source held back ${report.sourceWaitMs} ms`,
    ]);
  for (const volume of report.volumes) {
    lines.push([
      "cartridge",
      `${volume.cartridge === "" ? "(in the drive)" : volume.cartridge}: objects ${volume.firstObject} to ${volume.endObject}`,
    ]);
  }
  if (report.retries > 0n || report.resumes > 0)
    lines.push(["repeated", `${report.retries} commands, ${report.resumes} resumes`]);
  for (const file of report.files ?? []) {
    const what =
      file.archive === "" ? "not ours, only read" : `archive ${file.archive}, held against its ${file.checkedBy}`;
    const state = file.damaged > 0 ? `DAMAGED in ${file.damaged} places` : file.whole ? "whole" : "no damage found";
    lines.push([
      "tape file",
      `${file.cartridge === "" ? "" : `${file.cartridge} `}objects ${file.firstObject} to ${file.endObject}: ${what}: ${state}; ${file.restorable} of ${file.members} members can be restored`,
    ]);
  }
  for (const lost of report.lost)
    lines.push(["lost", `${lost.device} LBA ${lost.lba}, ${lost.blocks} blocks: ${lost.sense}`]);
  for (const { member, reason } of report.miscompares.slice(0, 20)) lines.push(["differs", `${member}: ${reason}`]);
  if (report.failure !== undefined) lines.push(["failure", `${report.failure.message} (${report.failure.code})`]);
  return lines.map(([name, text]) => `${name.padEnd(10)} ${text}`).join("\n");
}

/** Who asked for a third-party copy, for what, and what it was told. */
export function copyLines(copy: CopyFacts): [string, string][] {
  const { initiator, lun, command, listId, sources, destinations, offloaded, sense } = copy;
  const names = (devices: readonly string[]): string => (devices.length === 0 ? "nothing" : devices.join(", "));
  const list = listId === undefined ? "" : `, list id ${listId}`;
  return [
    ["asked by", `${initiator}, ${command} to its LUN ${lun}${list}`],
    ["devices", `from ${names(sources)} to ${names(destinations)}`],
    ["offloaded", offloaded ? "yes" : `no: ${sense ?? "nobody was told"}`],
  ];
}
