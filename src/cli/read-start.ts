/** Files named by a user, which may be devices or pipes that never end. */
import { closeSync, openSync, readSync } from "node:fs";

/** The whole file, or somewhat more than `bytesMax` of it. */
export function readStart(file: string, bytesMax: number): Uint8Array {
  const buffer = Buffer.allocUnsafe(bytesMax + 1024);
  const descriptor = openSync(file, "r");
  try {
    let length = 0;
    for (;;) {
      const count = readSync(descriptor, buffer, length, buffer.length - length, null);
      length += count;
      if (count === 0 || length === buffer.length) return buffer.subarray(0, length);
    }
  } finally {
    closeSync(descriptor);
  }
}
