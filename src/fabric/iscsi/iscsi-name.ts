// iSCSI names (RFC 7143 4.2.7): iqn, eui and naa. Names of initiators are what keys are given to, so one name has one
// spelling here: lower case for iqn (as stringprep makes it), upper case digits for eui and naa.

const IQN = /^iqn\.[0-9]{4}-(?:0[1-9]|1[0-2])\.[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[a-z0-9.:-]*)?$/;
const EUI = /^eui\.(?:[0-9A-F]{16})$/;
const NAA = /^naa\.(?:[0-9A-F]{16}|[0-9A-F]{32})$/;
const NAME_BYTES_MAX = 223;

/** Undefined: no iSCSI name. Letters beyond ASCII are refused, so that no two names can look the same. */
export function normalName(given: string): string | undefined {
  if (given.length > NAME_BYTES_MAX) return undefined;
  const type = given.slice(0, 4).toLowerCase();
  const name = type === "iqn." ? given.toLowerCase() : type + given.slice(4).toUpperCase();
  return IQN.test(name) || EUI.test(name) || NAA.test(name) ? name : undefined;
}
