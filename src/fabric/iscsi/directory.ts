// What login and discovery ask about targets; the bridge answers from the configuration and the keys.

export interface TargetFacts {
  /** iSCSI name. */
  readonly name: string;
  readonly alias?: string;
  /** Target portal group of the portal that was asked at (RFC 7143 13.9). */
  readonly portalGroupTag: number;
}

export interface TargetAddress {
  /** "10.0.0.5:3260", "[fd00::5]:3260"; empty: the address that the initiator came to. */
  readonly address: string;
  readonly portalGroupTag: number;
}

export interface LoginDirectory {
  /** The target of that name, if this portal leads to it. */
  target(portal: number, name: string): TargetFacts | undefined;
  /** Whether the initiator may log in to the target at all, by zones and keys. */
  admits(initiator: string, target: string): boolean;
  /** Targets that the initiator may know of, with the portals that it may use (RFC 7143 Appendix C). */
  visible(
    initiator: string,
    portal: number,
  ): readonly { readonly name: string; readonly addresses: readonly TargetAddress[] }[];
}
