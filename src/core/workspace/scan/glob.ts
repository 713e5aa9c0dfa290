/**
 * The wildcard language of gitignore(5), as git's wildmatch understands it, in time linear in the text: a
 * pattern becomes a list of states that are followed all at once, so there is nothing to backtrack.
 *
 * With `crossSlash` false, `*`, `?` and sets stop at `/`, and only a `**` that fills a whole component passes
 * it. A character is one UTF-16 unit.
 */

/** What one state accepts. `literal` carries the character, `set` its members. */
type State =
  | { readonly kind: "literal"; readonly code: number }
  | { readonly kind: "any" }
  | { readonly kind: "set"; readonly negated: boolean; readonly ranges: readonly number[] }
  /** Stays for any character but a slash; may be skipped. */
  | { readonly kind: "star" }
  /** Stays for any character; may be skipped. */
  | { readonly kind: "everything" }
  /** Two states: this one may skip both; the second stays for any character and is left after a slash. */
  | { readonly kind: "directories" }
  | { readonly kind: "inside-directories" };

const SLASH = 0x2f;
const BACKSLASH = 0x5c;

export interface Glob {
  matches(text: string): boolean;
}

export interface GlobOptions {
  readonly crossSlash: boolean;
  /** Characters of the pattern's start that the caller has compared already: what `matches` gets begins there. */
  readonly from?: number;
}

const NEVER: Glob = { matches: () => false };

/** A pattern that is not well-formed (an open set, a lone backslash at the end) matches nothing. */
export function compileGlob(pattern: string, options: GlobOptions): Glob {
  const states = parse(pattern, options.from ?? 0, options.crossSlash);
  if (states === undefined) return NEVER;
  return new StateList(states, options.crossSlash);
}

class StateList implements Glob {
  readonly #states: readonly State[];
  readonly #crossSlash: boolean;
  #now: Uint8Array;
  #next: Uint8Array;

  constructor(states: readonly State[], crossSlash: boolean) {
    this.#states = states;
    this.#crossSlash = crossSlash;
    this.#now = new Uint8Array(states.length + 1);
    this.#next = new Uint8Array(states.length + 1);
  }

  matches(text: string): boolean {
    const states = this.#states;
    const end = states.length;
    this.#now.fill(0);
    this.#reach(this.#now, 0);
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      const now = this.#now;
      const next = this.#next;
      next.fill(0);
      let alive = false;
      for (let s = 0; s < end; s++) {
        if (now[s] === 0) continue;
        const to = this.#step(states[s]!, s, code);
        if (to === -1) continue;
        alive = true;
        this.#reach(next, to);
        if (states[s]!.kind === "inside-directories" && code === SLASH) this.#reach(next, s + 1);
      }
      if (!alive) return false;
      this.#now = next;
      this.#next = now;
    }
    return this.#now[end] === 1;
  }

  /** The state after `code`, or -1. */
  #step(state: State, s: number, code: number): number {
    switch (state.kind) {
      case "literal":
        return state.code === code ? s + 1 : -1;
      case "any":
        return code === SLASH && !this.#crossSlash ? -1 : s + 1;
      case "set":
        if (code === SLASH && !this.#crossSlash) return -1;
        return inRanges(state.ranges, code) === state.negated ? -1 : s + 1;
      case "star":
        return code === SLASH && !this.#crossSlash ? -1 : s;
      case "everything":
      case "inside-directories":
        return s;
      case "directories":
        return -1;
    }
  }

  /** Marks `s` and every state that can be reached from it without a character. */
  #reach(marks: Uint8Array, start: number): void {
    for (let s = start; marks[s] === 0; s++) {
      marks[s] = 1;
      const kind = this.#states[s]?.kind;
      if (kind === "directories") {
        marks[s + 1] = 1;
        this.#reach(marks, s + 2);
        return;
      }
      if (kind !== "star" && kind !== "everything") return;
    }
  }
}

function inRanges(ranges: readonly number[], code: number): boolean {
  for (let i = 0; i < ranges.length; i += 2) {
    if (code >= ranges[i]! && code <= ranges[i + 1]!) return true;
  }
  return false;
}

function parse(pattern: string, from: number, crossSlash: boolean): State[] | undefined {
  const states: State[] = [];
  let i = from;
  while (i < pattern.length) {
    const char = pattern[i]!;
    if (char === "*") {
      const start = i;
      while (pattern[i] === "*") i++;
      if (crossSlash || i - start === 1) {
        states.push({ kind: "star" });
        continue;
      }
      const opens = start === from || pattern[start - 1] === "/";
      const closes = i === pattern.length || pattern[i] === "/" || pattern.startsWith("\\/", i);
      if (!opens || !closes) states.push({ kind: "star" });
      else if (pattern[i] === "/") {
        states.push({ kind: "directories" }, { kind: "inside-directories" });
        i++;
      } else states.push({ kind: "everything" });
    } else if (char === "?") {
      states.push({ kind: "any" });
      i++;
    } else if (char === "[") {
      const set = parseSet(pattern, i);
      if (set === undefined) return undefined;
      states.push(set.state);
      i = set.end;
    } else {
      if (char === "\\") i++;
      if (i === pattern.length) return undefined;
      states.push({ kind: "literal", code: pattern.charCodeAt(i) });
      i++;
    }
  }
  return states;
}

const CLASSES: Readonly<Record<string, readonly number[]>> = {
  alnum: [0x30, 0x39, 0x41, 0x5a, 0x61, 0x7a],
  alpha: [0x41, 0x5a, 0x61, 0x7a],
  blank: [0x20, 0x20, 0x09, 0x09],
  cntrl: [0x00, 0x1f, 0x7f, 0x7f],
  digit: [0x30, 0x39],
  graph: [0x21, 0x7e],
  lower: [0x61, 0x7a],
  print: [0x20, 0x7e],
  punct: [0x21, 0x2f, 0x3a, 0x40, 0x5b, 0x60, 0x7b, 0x7e],
  space: [0x20, 0x20, 0x09, 0x0d],
  upper: [0x41, 0x5a],
  xdigit: [0x30, 0x39, 0x41, 0x46, 0x61, 0x66],
};

/** `start` is at the bracket. The first character of a set is a member even when it is the closing bracket. */
function parseSet(pattern: string, start: number): { state: State; end: number } | undefined {
  let i = start + 1;
  const negated = pattern[i] === "!" || pattern[i] === "^";
  if (negated) i++;
  const ranges: number[] = [];
  /** The last single member, which a following `-` makes the start of a range; -1 when there is none. */
  let last = -1;
  for (let first = true; first || pattern[i] !== "]"; first = false) {
    if (i >= pattern.length) return undefined;
    if (pattern[i] === "-" && last !== -1 && i + 1 < pattern.length && pattern[i + 1] !== "]") {
      i++;
      if (pattern.charCodeAt(i) === BACKSLASH) i++;
      if (i >= pattern.length) return undefined;
      ranges.push(last, pattern.charCodeAt(i));
      last = -1;
      i++;
      continue;
    }
    if (pattern.startsWith("[:", i)) {
      const close = pattern.indexOf("]", i + 2);
      if (close === -1) return undefined;
      if (close > i + 2 && pattern[close - 1] === ":") {
        const members = CLASSES[pattern.slice(i + 2, close - 1)];
        if (members === undefined) return undefined;
        ranges.push(...members);
        last = -1;
        i = close + 1;
        continue;
      }
    }
    if (pattern.charCodeAt(i) === BACKSLASH) i++;
    if (i >= pattern.length) return undefined;
    last = pattern.charCodeAt(i);
    ranges.push(last, last);
    i++;
  }
  return { state: { kind: "set", negated, ranges }, end: i + 1 };
}
