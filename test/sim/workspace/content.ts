/**
 * What people write in the simulated workspaces: files of a few slots far apart, each with a token that nobody else
 * ever writes. So what a three-way merge has to give is said slot by slot, without the product's merge; and every
 * piece of somebody's work can be followed to where it ends.
 */

/** A file as it stands somewhere; undefined where nothing does. */
export interface FileState {
  readonly kind: "file" | "executable";
  readonly text: string;
}

export type Tree = ReadonlyMap<string, FileState>;

export const SLOTS = 3;
const SLOT = /^slot (\d): (\S+)$/gm;
const MARKERS = /^(?:<<<<<<<|=======|>>>>>>>)/m;

/** Lines between slots keep changes of two of them apart. */
export function textOf(tokens: readonly string[]): string {
  const lines = tokens.map((token, i) => `slot ${i}: ${token}\n${i}\n${i}${i}\n${i}${i}${i}\n`);
  return lines.join("");
}

export function hasMarkers(text: string): boolean {
  return MARKERS.test(text);
}

/** In the order of the file; with conflict markers a slot may be there more than once. */
export function tokensOf(text: string): string[] {
  return [...text.matchAll(SLOT)].map((match) => match[2]!);
}

export function sameState(a: FileState | undefined, b: FileState | undefined): boolean {
  return a?.kind === b?.kind && a?.text === b?.text;
}

export type Merged =
  | { readonly kind: "clean"; readonly state: FileState | undefined }
  /** `tokens`: each of them stands in the file, among markers or outside of them. */
  | { readonly kind: "marked"; readonly tokens: readonly string[] }
  /** One side deleted what the other changed: ours is left as it is. */
  | { readonly kind: "left"; readonly state: FileState | undefined };

/** What is to stand at a path when `base` became `theirs` under the edits that made it `ours`. */
export function mergeStates(
  base: FileState | undefined,
  ours: FileState | undefined,
  theirs: FileState | undefined,
): Merged {
  if (sameState(ours, theirs) || sameState(base, ours)) return { kind: "clean", state: theirs };
  if (sameState(base, theirs)) return { kind: "clean", state: ours };
  if (ours === undefined || theirs === undefined) return { kind: "left", state: ours };
  if (base === undefined && ours.kind !== theirs.kind) return { kind: "left", state: ours };
  const kind = base === undefined || base.kind === theirs.kind ? ours.kind : theirs.kind;
  const clean = (text: string): Merged => ({ kind: "clean", state: { kind, text } });
  if (ours.text === theirs.text || base?.text === ours.text) return clean(theirs.text);
  if (base?.text === theirs.text) return clean(ours.text);
  const [from, mine, other] = [base?.text ?? "", ours.text, theirs.text].map(tokensOf);
  if (from!.length === 0) return { kind: "marked", tokens: [...mine!, ...other!] };
  const merged: string[] = [];
  const marked: string[] = [];
  for (let i = 0; i < SLOTS; i++) {
    const [b, o, t] = [from![i]!, mine![i]!, other![i]!];
    if (b !== o && b !== t && o !== t) marked.push(o, t);
    else merged.push(b === o ? t : o);
  }
  if (marked.length > 0) return { kind: "marked", tokens: [...merged, ...marked] };
  return clean(textOf(merged));
}

/** One of them would have to be a directory. */
export function areInTheWay(a: string, b: string): boolean {
  return a.startsWith(`${b}/`) || b.startsWith(`${a}/`);
}
