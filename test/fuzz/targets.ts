// Every decoder of TypeScript that takes bytes from outside. README.md in this folder says who feeds it.
import type { Target } from "./target.js";
import { agentTargets } from "./targets/agent.js";
import { archiveTargets } from "./targets/archive.js";
import { cborTargets } from "./targets/cbor.js";
import { copyManagerTargets } from "./targets/copy-manager.js";
import { hostTargets } from "./targets/host.js";
import { inbandTargets } from "./targets/inband.js";
import { keyTargets } from "./targets/keys.js";
import { messageTargets } from "./targets/messages.js";
import { recordTargets } from "./targets/records.js";
import { scsiTargets } from "./targets/scsi.js";
import { xcopyTargets } from "./targets/xcopy.js";

export const TARGETS: readonly Target[] = [
  ...cborTargets,
  ...messageTargets,
  ...keyTargets,
  ...inbandTargets,
  ...scsiTargets,
  ...xcopyTargets,
  ...copyManagerTargets,
  ...archiveTargets,
  ...recordTargets,
  ...hostTargets,
  ...agentTargets,
];
