// A session as the keeper of paths has it: which devices it could reach, and what was set in the data plane for it.
import type { InitiatorPort } from "../wire/transport-id.js";
import type { PathVerdict } from "./path-verdict.js";

export interface KeptSession {
  readonly nexus: number;
  readonly initiator: InitiatorPort;
  /** Relative target port identifier. */
  readonly port: number;
  readonly luns: readonly { readonly lun: number; readonly device: string; readonly unit: number }[];
}

export interface Path {
  readonly device: string;
  readonly unit: number;
  readonly verdict: PathVerdict;
}

export interface Kept {
  session: KeptSession;
  readonly paths: Map<number, Path>;
  /** Device → when time alone changes what keys give of it. */
  readonly changesMs: Map<string, number>;
  /** LUN 0 is a place to present a key at. */
  place: boolean;
}

/** When time alone changes what this session may do. */
export const nextOf = ({ changesMs }: Kept): number => Math.min(...changesMs.values());
