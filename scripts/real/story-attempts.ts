/** What was tried in a story and what came of it, so that the log can be held to it afterwards. */

export type StoryFate =
  | { readonly kind: "landed"; readonly position: number; readonly root?: string }
  | { readonly kind: "refused" }
  /** The command was killed, or ended without knowing: settled by the next one, either way. */
  | { readonly kind: "unknown" };

export interface StoryAttempt {
  /** Unique; the content of the path is this line. */
  readonly goal: string;
  readonly path: string;
  readonly landingId?: string;
  readonly fate: StoryFate;
  /** Calls that failed before the answer came. */
  readonly failures: number;
}

const SHARED_PATHS = 40;

/** Every other landing is to a path that others land to as well. */
export function storyPath(writer: string, index: number, k: number): string {
  return k % 2 === 1 ? `shared/${(k * 7 + index) % SHARED_PATHS}` : `own/${writer}/${k}`;
}
