/** Names in diffs: as they are where that is unambiguous, else in C quotes as git and patch read them. */
import { utf8 } from "../base/bytes.ts";

/** Quotes, backslashes, and what a terminal would not show as itself: controls, formats, unusual spaces. */
const NEEDS_QUOTES = /["\\]|[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u;

const ESCAPES: Readonly<Record<string, string>> = {
  "\x07": "\\a",
  "\b": "\\b",
  "\t": "\\t",
  "\n": "\\n",
  "\v": "\\v",
  "\f": "\\f",
  "\r": "\\r",
  '"': '\\"',
  "\\": "\\\\",
};

export function quotePath(path: string): string {
  if (!NEEDS_QUOTES.test(path)) return path;
  let quoted = '"';
  for (const character of path) {
    const short = ESCAPES[character];
    if (short !== undefined) quoted += short;
    else if (!NEEDS_QUOTES.test(character)) quoted += character;
    else for (const byte of utf8(character)) quoted += `\\${byte.toString(8).padStart(3, "0")}`;
  }
  return `${quoted}"`;
}
