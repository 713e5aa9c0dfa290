/** Which file systems tell of every change, whoever makes it. */
import { statfsSync } from "node:fs";
import { MicError } from "../../base/errors.ts";

/** Types of statfs(2) on Linux of file systems that others can change behind the kernel's back. */
const SHARED: ReadonlyMap<number, string> = new Map([
  [0x6969, "NFS"],
  [0xff534d42, "CIFS"],
  [0xfe534d42, "SMB"],
  [0x517b, "SMB"],
  [0x65735546, "FUSE"],
  [0x01021997, "9P"],
  [0x00c36400, "Ceph"],
  [0x5346414f, "AFS"],
  [0x47504653, "GPFS"],
  [0x0bd00bd0, "Lustre"],
]);

/** Errors: `unsupported`, where changes can come without an event. */
export function requireWatchable(root: string, platform: string): void {
  if (platform !== "linux") return;
  const name = SHARED.get(Number(statfsSync(root).type) >>> 0);
  if (name === undefined) return;
  throw new MicError("unsupported", `${root} is on ${name}, which does not tell of changes by others`, {
    hint: "`mic status` works without a watcher",
  });
}
