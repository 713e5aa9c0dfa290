/** Text as most programs write it, whatever wrote it: some of Windows' write UTF-16 with a byte order mark. */
import { asBuffer } from "../base/bytes.ts";

/** UTF-8 without a byte order mark. What is neither marked nor UTF-16 comes back as it is, and is not copied. */
export function textBytes(content: Uint8Array): Uint8Array {
  const first = content[0];
  if (first === undefined || first < 0xef) return content;
  const second = content[1];
  const isMarked = (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff);
  // In UTF-16 half of every ASCII character is zero: what has none only begins as if it were.
  if (isMarked && content.includes(0)) {
    const units = content.subarray(2);
    return fromUtf16(first === 0xff ? units : swapped(units));
  }
  return first === 0xef && second === 0xbb && content[2] === 0xbf ? content.subarray(3) : content;
}

/** Half a unit at the end is left out. */
function fromUtf16(littleEndian: Uint8Array): Uint8Array {
  return Buffer.from(asBuffer(littleEndian).toString("utf16le"), "utf8");
}

function swapped(bytes: Uint8Array): Uint8Array {
  return Buffer.from(bytes.subarray(0, bytes.length & ~1)).swap16();
}
