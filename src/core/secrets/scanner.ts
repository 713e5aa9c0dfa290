/**
 * Looks for secrets in the content of files, in a fraction of the time that hashing and compressing it takes. Every
 * rule has anchors of four bytes. Whatever four bytes are taken, one of their three pairs starts at a multiple of three:
 * so every third pair is looked up in a table of the anchors' pairs, and only where one is known are its anchors
 * compared. Time is linear in the content: a pattern sees a bounded text, and of one file no more than CANDIDATES_MAX
 * times.
 */
import { isPlaceholder, type NameRule, nameRuleOf, SECRET_RULES, type SecretRule } from "./rules.ts";
import { textBytes } from "./text-bytes.ts";

/** Content beyond is not looked at. */
export const SCANNED_BYTES_MAX = 1 << 20;
/** On the same line: this is meant to be there. */
const ALLOWED = "mic:allow-secret";
const FINDINGS_MAX = 20;
const CANDIDATES_MAX = 2_000;
const WINDOW = 4;
/** In a window. */
const PAIRS = WINDOW - 1;
/** Around a candidate. */
const BEFORE_BYTES = 512;
const AFTER_BYTES = 1024;
const LINE_BYTES_MAX = 4096;
/** Of binary content, for what tells its format. */
const START_BYTES = 16;
const NEWLINE = 10;

export interface FoundSecret {
  /** From 1. */
  readonly line: number;
  readonly kind: string;
}

interface Anchored {
  readonly rule: SecretRule;
  /** Of the anchor in a match; -1: somewhere. */
  readonly offset: number;
}

const NOTHING: readonly FoundSecret[] = [];

/** Of two bytes: bit n is set when they are at offset n of some anchor. */
const pairs = new Uint8Array(1 << 16);
const anchors = new Map<number, Anchored[]>();

for (const rule of SECRET_RULES) {
  for (const { text, offset } of rule.anchors) {
    const code = (i: number): number => text.charCodeAt(i);
    for (let i = 0; i < PAIRS; i++) pairs[(code(i) << 8) | code(i + 1)]! |= 1 << i;
    const word = (code(0) << 24) | (code(1) << 16) | (code(2) << 8) | code(3);
    anchors.set(word, [...(anchors.get(word) ?? []), { rule, offset }]);
  }
}

/**
 * In the order of lines; of binary content only what the file's name says. UTF-16 is read as what it says when it
 * begins with a byte order mark. `path` uses `/`.
 */
export function findSecretsIn(path: string, content: Uint8Array): readonly FoundSecret[] {
  return new SearchedContent(content).findAt(path);
}

/** The same for content that stands at several paths: it is searched once, and once for each rule about names. */
export class SearchedContent {
  readonly #text: Uint8Array;
  #found: readonly FoundSecret[] | undefined;
  #isBinary: boolean | undefined;
  #byLines: Map<NameRule, readonly FoundSecret[]> | undefined;

  /** `content`: SCANNED_BYTES_MAX of it are enough. */
  constructor(content: Uint8Array) {
    this.#text = textBytes(content.subarray(0, SCANNED_BYTES_MAX));
  }

  findAt(path: string): readonly FoundSecret[] {
    this.#found ??= findInText(this.#text);
    const rule = nameRuleOf(path);
    if (this.#found.length > 0 || rule === undefined) return this.#found;
    this.#isBinary ??= isBinary(this.#text);
    if (this.#isBinary) return findInBinary(rule, path, this.#text);
    this.#byLines ??= new Map();
    let found = this.#byLines.get(rule);
    if (found === undefined) {
      found = findInLines(rule, this.#text);
      this.#byLines.set(rule, found);
    }
    return found;
  }
}

function findInText(content: Uint8Array): readonly FoundSecret[] {
  const { length } = content;
  let found: FoundSecret[] | undefined;
  let lines: LineNumbers | undefined;
  let candidates = 0;
  for (let at = 0; at + 1 < length; at += PAIRS) {
    const offsets = pairs[(content[at]! << 8) | content[at + 1]!]!;
    if (offsets === 0) continue;
    for (let offset = PAIRS - 1; offset >= 0; offset--) {
      const from = at - offset;
      if ((offsets & (1 << offset)) === 0 || from < 0 || from + WINDOW > length) continue;
      const matching = anchors.get(wordAt(content, from));
      if (matching === undefined || candidates++ >= CANDIDATES_MAX) continue;
      // Asked only now: nearly all files get by without.
      if (candidates === 1 && isBinary(content)) return NOTHING;
      for (const each of matching) {
        const start = check(each, content, length, from);
        if (start === undefined) continue;
        lines ??= new LineNumbers(content);
        found ??= [];
        const secret = { line: lines.of(start), kind: each.rule.kind };
        if (!found.some(({ line, kind }) => line === secret.line && kind === secret.kind)) found.push(secret);
        if (found.length === FINDINGS_MAX) return found;
      }
    }
  }
  return found ?? NOTHING;
}

function wordAt(content: Uint8Array, at: number): number {
  return (content[at]! << 24) | (content[at + 1]! << 16) | (content[at + 2]! << 8) | content[at + 3]!;
}

/** Where the secret starts. */
function check(
  { rule, offset }: Anchored,
  content: Uint8Array,
  length: number,
  anchorAt: number,
): number | undefined {
  const from = Math.max(0, anchorAt - BEFORE_BYTES);
  const text = latin1(content, from, Math.min(length, anchorAt + AFTER_BYTES));
  const anchor = anchorAt - from;
  // `sk-` is at most as far before its middle as the pattern reaches.
  const start = offset === -1 ? text.lastIndexOf("sk-", anchor) : anchor - offset;
  if (start < 0) return undefined;
  if (rule.startsAnywhere !== true && start > 0 && /[A-Za-z0-9_]/.test(text[start - 1]!)) return undefined;
  rule.pattern.lastIndex = start;
  const match = rule.pattern.exec(text)?.[0];
  if (match === undefined || isPlaceholder(match)) return undefined;
  if (rule.confirm !== undefined && !rule.confirm(text, start)) return undefined;
  return isAllowed(content, length, from + start) ? undefined : from + start;
}

/** The first line of a file that its name says something about. */
function findInLines(rule: NameRule, content: Uint8Array): readonly FoundSecret[] {
  let line = 1;
  for (let from = 0; from < content.length; line++) {
    const newline = content.indexOf(NEWLINE, from);
    const end = newline === -1 ? content.length : newline;
    const text = latin1(content, from, Math.min(end, from + LINE_BYTES_MAX));
    if (rule.line.test(text) && !text.includes(ALLOWED)) return [{ line, kind: rule.kind }];
    from = end + 1;
  }
  return NOTHING;
}

/** Has no lines. */
function findInBinary(rule: NameRule, path: string, content: Uint8Array): readonly FoundSecret[] {
  const name = path.slice(path.lastIndexOf("/") + 1);
  const start = latin1(content, 0, Math.min(content.length, START_BYTES));
  return rule.isBinaryWorse?.(name, start) === true ? [{ line: 1, kind: rule.kind }] : NOTHING;
}

/** Whether the line around `at` says that it is meant to be there. */
function isAllowed(content: Uint8Array, length: number, at: number): boolean {
  const from = Math.max(0, at - LINE_BYTES_MAX);
  const text = latin1(content, from, Math.min(length, at + LINE_BYTES_MAX));
  const start = text.lastIndexOf("\n", at - from) + 1;
  const end = text.indexOf("\n", at - from);
  const allowed = text.indexOf(ALLOWED, start);
  return allowed !== -1 && (end === -1 || allowed < end);
}

/** Numbers of lines, asked nearly in order: every byte is looked at once. */
class LineNumbers {
  readonly #content: Uint8Array;
  #line = 1;
  #from = 0;

  constructor(content: Uint8Array) {
    this.#content = content;
  }

  /** From 1. What lies before an answer is on the same line as the answer. */
  of(at: number): number {
    for (;;) {
      const newline = this.#content.subarray(this.#from, at).indexOf(NEWLINE);
      if (newline === -1) {
        this.#from = Math.max(this.#from, at);
        return this.#line;
      }
      this.#line++;
      this.#from += newline + 1;
    }
  }
}

function isBinary(content: Uint8Array): boolean {
  const zero = content.indexOf(0);
  return zero !== -1 && zero < 8192;
}

/** Keeps every byte apart, and all patterns are ASCII. */
function latin1(content: Uint8Array, from: number, to: number): string {
  return Buffer.from(content.buffer, content.byteOffset + from, Math.max(0, to - from)).toString("latin1");
}
