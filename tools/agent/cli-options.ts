// Options that several commands have, read in words.
import { InvalidArgumentError, Option } from "commander";

export function wholeNumber(min: number, max: number) {
  return (text: string): number => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
  };
}

function wholeBig(text: string): bigint {
  if (/^\d{1,18}$/.test(text)) return BigInt(text);
  throw new InvalidArgumentError("It must be a whole number.");
}

export function blockBytesOption(): Option {
  return new Option("--block-bytes <n>", "logical block size of the SCSI device")
    .default(512)
    .argParser((text: string) => {
      if (text === "512" || text === "4096") return Number(text);
      throw new InvalidArgumentError("It must be 512 or 4096.");
    });
}

export function sequenceOption(): Option {
  return new Option("--sequence <n>", "number of this list; must rise with every list of the volume")
    .default(0n, "0")
    .argParser(wholeBig);
}

export function bytesOption(flags: string, description: string): Option {
  return new Option(flags, description).default(0n, "0").argParser(wholeBig);
}
