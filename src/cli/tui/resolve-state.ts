/**
 * The state of `mic resolve` on a terminal and how keys change it. Pure: no terminal, no files; the view draws
 * it and the runner saves what it says.
 */
import type { ConflictKind } from "../../core/codec/conflict-state.ts";
import {
  type ConflictPart,
  type Resolution,
  renderResolution,
  type TextPart,
} from "../../core/merge/markers.ts";

/** What was chosen for a hunk, or for a whole file that has no lines to merge. */
export type Choice = "ours" | "theirs" | "base" | "union" | { readonly bytes: Uint8Array };

export interface Hunk {
  /** Undefined when the file does not show it. */
  readonly base: Uint8Array | undefined;
  readonly ours: Uint8Array;
  readonly theirs: Uint8Array;
}

/** A file with marked regions: its hunks are resolved one by one. */
export interface TextConflict {
  readonly kind: "text";
  readonly path: string;
  readonly parts: readonly (TextPart | ConflictPart)[];
  readonly hunks: readonly Hunk[];
}

/** Binary content, a deletion against a change, kinds or directories that disagree: one side is taken whole. */
export interface WholeConflict {
  readonly kind: "whole";
  readonly path: string;
  readonly reason: ConflictKind;
  /** What each side is, in words: `deleted`, `binary file, 12 KiB`. */
  readonly ours: string;
  readonly theirs: string;
}

export interface ResolveFile {
  readonly conflict: TextConflict | WholeConflict;
  /** One per hunk; a single one for a whole file. */
  readonly choices: readonly (Choice | undefined)[];
  readonly saved: boolean;
}

export interface ResolveState {
  readonly files: readonly ResolveFile[];
  /** Index of the file shown. */
  readonly file: number;
  /** Index of the hunk shown in it. */
  readonly hunk: number;
  /** First line shown of a hunk that is longer than the screen. */
  readonly scroll: number;
  readonly screen: "hunk" | "help" | "confirm-quit";
  /** Said once, in the last line. */
  readonly message: string;
  /** Earlier choices, newest last, for undo. */
  readonly history: readonly Step[];
}

interface Step {
  readonly file: number;
  readonly hunk: number;
  readonly before: Choice | undefined;
}

export type Action =
  | { readonly kind: "choose"; readonly choice: Choice }
  | { readonly kind: "next" | "previous" | "next-file" | "previous-file" | "undo" | "help" | "back" | "quit" }
  | { readonly kind: "scroll"; readonly lines: number }
  | { readonly kind: "say"; readonly message: string }
  | { readonly kind: "saved"; readonly paths: readonly string[] };

export function startResolving(conflicts: readonly (TextConflict | WholeConflict)[]): ResolveState {
  return {
    files: conflicts.map((conflict) => ({
      conflict,
      choices: Array.from({ length: hunkCount(conflict) }, () => undefined),
      saved: false,
    })),
    file: 0,
    hunk: 0,
    scroll: 0,
    screen: "hunk",
    message: "",
    history: [],
  };
}

export function reduce(state: ResolveState, action: Action): ResolveState {
  switch (action.kind) {
    case "choose":
      return choose(state, action.choice);
    case "next":
      return step(state, 1);
    case "previous":
      return step(state, -1);
    case "next-file":
      return goTo(state, Math.min(state.files.length - 1, state.file + 1), 0);
    case "previous-file":
      return goTo(state, Math.max(0, state.file - 1), 0);
    case "undo":
      return undo(state);
    case "help":
      return { ...state, screen: state.screen === "help" ? "hunk" : "help", message: "" };
    case "back":
      return { ...state, screen: "hunk", message: "" };
    case "quit":
      return { ...state, screen: "confirm-quit", message: "" };
    case "scroll":
      return { ...state, scroll: Math.max(0, state.scroll + action.lines), message: "" };
    case "say":
      return { ...state, message: action.message };
    case "saved":
      return markSaved(state, new Set(action.paths));
  }
}

function choose(state: ResolveState, choice: Choice): ResolveState {
  const file = state.files[state.file]!;
  const { conflict } = file;
  if (file.saved) return { ...state, message: "this file is saved already" };
  if (conflict.kind === "whole" && choice !== "ours" && choice !== "theirs") {
    return { ...state, message: "only o (ours) or t (theirs) can be taken here" };
  }
  if (conflict.kind === "text" && choice === "base" && conflict.hunks[state.hunk]!.base === undefined) {
    return { ...state, message: "the base of this hunk is not known; take a side, or e to edit" };
  }
  const before = file.choices[state.hunk];
  const chosen: ResolveState = {
    ...withChoice(state, state.file, state.hunk, choice),
    history: [...state.history, { file: state.file, hunk: state.hunk, before }],
    message: "",
  };
  return nextOpen(chosen);
}

function withChoice(
  state: ResolveState,
  file: number,
  hunk: number,
  choice: Choice | undefined,
): ResolveState {
  const files = state.files.map((item, i) =>
    i === file ? { ...item, choices: item.choices.map((old, j) => (j === hunk ? choice : old)) } : item,
  );
  return { ...state, files };
}

/** Moves to the next hunk without a choice, in this file first and then in the others; stays when there is none. */
function nextOpen(state: ResolveState): ResolveState {
  const places = allPlaces(state);
  const here = places.findIndex(([file, hunk]) => file === state.file && hunk === state.hunk);
  for (let i = 1; i < places.length; i++) {
    const [file, hunk] = places[(here + i) % places.length]!;
    const item = state.files[file]!;
    if (!item.saved && item.choices[hunk] === undefined) return { ...goTo(state, file, hunk), message: "" };
  }
  return { ...state, message: "all hunks have a choice: s saves" };
}

function step(state: ResolveState, by: 1 | -1): ResolveState {
  const places = allPlaces(state);
  const here = places.findIndex(([file, hunk]) => file === state.file && hunk === state.hunk);
  const [file, hunk] = places[(here + by + places.length) % places.length]!;
  return goTo(state, file, hunk);
}

function allPlaces(state: ResolveState): (readonly [file: number, hunk: number])[] {
  return state.files.flatMap((file, i) => file.choices.map((_, j) => [i, j] as const));
}

function goTo(state: ResolveState, file: number, hunk: number): ResolveState {
  return { ...state, file, hunk, scroll: 0, screen: "hunk", message: "" };
}

function undo(state: ResolveState): ResolveState {
  const last = state.history.at(-1);
  if (last === undefined) return { ...state, message: "nothing to undo" };
  const history = state.history.slice(0, -1);
  if (state.files[last.file]!.saved) return { ...state, history, message: "that file is saved already" };
  const restored = withChoice({ ...state, history }, last.file, last.hunk, last.before);
  return { ...goTo(restored, last.file, last.hunk), message: "choice undone" };
}

function markSaved(state: ResolveState, paths: ReadonlySet<string>): ResolveState {
  const files = state.files.map((file) => (paths.has(file.conflict.path) ? { ...file, saved: true } : file));
  const open = files.findIndex((file) => !file.saved);
  const saved = { ...state, files, screen: "hunk" as const };
  if (open === -1) return { ...saved, message: "everything is resolved" };
  const message = paths.size === 0 ? "no file has all its hunks chosen yet" : `saved ${paths.size}`;
  return { ...goTo(saved, state.files[state.file]!.saved || paths.size > 0 ? open : state.file, 0), message };
}

export function hunkCount(conflict: TextConflict | WholeConflict): number {
  return conflict.kind === "text" ? conflict.hunks.length : 1;
}

export function isChosen(file: ResolveFile): boolean {
  return file.choices.every((choice) => choice !== undefined);
}

export function isDone(state: ResolveState): boolean {
  return state.files.every((file) => file.saved);
}

/** Choices that would be lost by quitting. */
export function unsavedChoices(state: ResolveState): number {
  return state.files
    .filter((file) => !file.saved)
    .reduce((count, file) => count + file.choices.filter((choice) => choice !== undefined).length, 0);
}

/** Files that can be saved: every hunk has a choice. */
export function readyFiles(state: ResolveState): readonly ResolveFile[] {
  return state.files.filter((file) => !file.saved && isChosen(file));
}

/** The content of a text file with all its choices applied; hunks without one keep their markers. */
export function renderFile(file: ResolveFile): Uint8Array {
  if (file.conflict.kind !== "text") throw new Error("bug: a whole conflict has no text");
  const { hunks, parts } = file.conflict;
  const resolutions = file.choices.map((choice, i): Resolution => {
    if (choice === undefined) return "unresolved";
    // The base may come from the merge rather than from the markers in the file.
    if (choice === "base") return { bytes: hunks[i]!.base ?? new Uint8Array(0) };
    return choice;
  });
  return renderResolution(parts, resolutions);
}
