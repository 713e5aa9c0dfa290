/** Runs `mic resolve` on a terminal: shows the view, does what it asks for, and shows it again. */
import { render } from "ink";
import { MicError } from "../../core/base/errors.ts";
import type { Command } from "./resolve-keys.ts";
import { isDone, type ResolveFile, type ResolveState, readyFiles, reduce } from "./resolve-state.ts";
import { ResolveView } from "./resolve-view.tsx";

export interface ResolveRunner {
  readonly color: boolean;
  readonly signal: AbortSignal;
  /** Makes a file's choices final. Throws when the workspace refuses them. */
  save(file: ResolveFile): Promise<void>;
  /** Lets a person edit text; undefined when they gave up. */
  edit(text: Uint8Array, path: string): Promise<Uint8Array | undefined>;
}

/** Returns when everything is resolved or the person quits; `aborted` at Ctrl-C. What was saved stays. */
export async function runResolve(start: ResolveState, runner: ResolveRunner): Promise<ResolveState> {
  let state = start;
  for (;;) {
    const [command, left] = await showOnce(state, runner);
    state = left;
    switch (command) {
      case "leave":
        return state;
      case "interrupt":
        throw new MicError("aborted", "interrupted");
      case "edit":
        state = await editHunk(state, runner);
        break;
      case "save":
        state = await saveReady(state, runner);
        if (isDone(state)) return state;
        break;
    }
  }
}

async function showOnce(initial: ResolveState, runner: ResolveRunner): Promise<[Command, ResolveState]> {
  let answer: [Command, ResolveState] = ["interrupt", initial];
  const app = render(
    <ResolveView
      initial={initial}
      color={runner.color}
      onCommand={(command, state) => {
        answer = [command, state];
      }}
    />,
    { alternateScreen: true, interactive: true, exitOnCtrlC: false, patchConsole: false },
  );
  const stop = (): void => app.unmount();
  runner.signal.addEventListener("abort", stop);
  try {
    await app.waitUntilExit();
  } finally {
    runner.signal.removeEventListener("abort", stop);
  }
  return answer;
}

async function editHunk(state: ResolveState, runner: ResolveRunner): Promise<ResolveState> {
  const file = state.files[state.file]!;
  if (file.conflict.kind !== "text" || file.saved) {
    return reduce(state, { kind: "say", message: "there is no text to edit here" });
  }
  const part = file.conflict.parts.filter((item) => item.kind === "conflict")[state.hunk]!;
  const choice = file.choices[state.hunk];
  const text = typeof choice === "object" ? choice.bytes : part.bytes;
  const bytes = await runner.edit(text, file.conflict.path);
  if (bytes === undefined) return reduce(state, { kind: "say", message: "not changed" });
  return reduce(state, { kind: "choose", choice: { bytes } });
}

async function saveReady(state: ResolveState, runner: ResolveRunner): Promise<ResolveState> {
  const saved: string[] = [];
  for (const file of readyFiles(state)) {
    await runner.save(file);
    saved.push(file.conflict.path);
  }
  return reduce(state, { kind: "saved", paths: saved });
}
