/** What the keys of `mic resolve` mean. */
import type { Action, ResolveState } from "./resolve-state.ts";

/** Things that the runner does outside the state. */
export type Command = "edit" | "save" | "leave" | "interrupt";

export interface KeyPress {
  readonly input: string;
  readonly escape?: boolean;
  readonly backspace?: boolean;
  readonly up?: boolean;
  readonly down?: boolean;
  readonly left?: boolean;
  readonly right?: boolean;
  readonly tab?: boolean;
  readonly shift?: boolean;
  readonly pageUp?: boolean;
  readonly pageDown?: boolean;
}

const PAGE_LINES = 10;

export const KEY_HELP: readonly (readonly [key: string, meaning: string])[] = [
  ["o", "take ours: the workspace's version"],
  ["t", "take theirs: the project's version"],
  ["u", "take both (union): ours, then theirs"],
  ["b", "take the base: neither change"],
  ["e", "edit the hunk in your editor"],
  ["z, Backspace", "undo the last choice"],
  ["n, p", "next, previous hunk"],
  ["Tab, Shift-Tab", "next, previous file"],
  ["Up, Down, Space", "scroll a long hunk, by line or by page"],
  ["s", "save the files whose hunks are all chosen"],
  ["q", "quit; conflicts that are not saved stay"],
  ["?", "this help"],
];

export function interpretKey(state: ResolveState, key: KeyPress): Action | Command | undefined {
  if (state.screen === "confirm-quit") {
    if (key.input === "y" || key.input === "q") return "leave";
    if (key.input === "s") return "save";
    return { kind: "back" };
  }
  if (state.screen === "help") return key.input === "q" ? { kind: "back" } : { kind: "help" };
  if (key.tab) return { kind: key.shift ? "previous-file" : "next-file" };
  if (key.backspace) return { kind: "undo" };
  if (key.up) return { kind: "scroll", lines: -1 };
  if (key.down) return { kind: "scroll", lines: 1 };
  if (key.pageUp) return { kind: "scroll", lines: -PAGE_LINES };
  if (key.pageDown || key.input === " ") return { kind: "scroll", lines: PAGE_LINES };
  if (key.right) return { kind: "next" };
  if (key.left) return { kind: "previous" };
  switch (key.input) {
    case "o":
      return { kind: "choose", choice: "ours" };
    case "t":
      return { kind: "choose", choice: "theirs" };
    case "b":
      return { kind: "choose", choice: "base" };
    case "u":
      return { kind: "choose", choice: "union" };
    case "e":
      return "edit";
    case "n":
      return { kind: "next" };
    case "p":
      return { kind: "previous" };
    case "j":
      return { kind: "scroll", lines: 1 };
    case "k":
      return { kind: "scroll", lines: -1 };
    case "z":
      return { kind: "undo" };
    case "s":
      return "save";
    case "q":
      return { kind: "quit" };
    case "?":
      return { kind: "help" };
    default:
      return undefined;
  }
}
