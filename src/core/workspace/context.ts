/** What every workspace command needs from the outside world, passed in by the composition root. */
import type { Clock } from "../base/clock.ts";
import type { Random } from "../base/random.ts";
import type { CallOptions, Forge, Progress } from "../forge/forge.ts";

export interface TaskProgress extends Progress {
  /** What is going on, for a progress bar: `scanning`, `packing`, `uploading`, `receiving`, `writing`. */
  readonly task: string;
}

export interface WorkspaceContext {
  readonly clock: Clock;
  readonly random: Random;
  /**
   * The forge at an address: an absolute directory, or a URL without the project. The caller keeps and
   * disposes of it; asking twice for one address gives the same forge. `create` makes a missing directory and
   * its store; otherwise a missing one is `not-found`.
   */
  openForge(address: string, options?: { readonly create?: boolean }): Promise<Forge>;
  /** `Name <email>` or `user@host`. */
  readonly author: string;
  /** Who the user is at the forge with this address, where that is known better than by `author`. */
  readonly authorAt?: (forgeAddress: string) => string | undefined;
  /** Empty when a person works by hand. */
  readonly agent: string;
  readonly onProgress?: (progress: TaskProgress) => void;
  readonly signal?: AbortSignal;
  /** Something that the user should know and that is no failure; one sentence. */
  readonly warn?: (message: string) => void;
  /**
   * The tracked directories (empty for the root) outside of which nothing has changed against the index of the
   * given identity, where something vouches for that; undefined: everything has to be looked at.
   */
  readonly findChangedDirectories?: (root: string, index: string) => Promise<readonly string[] | undefined>;
  /** How long to wait for another command in the same workspace. Default 10,000. */
  readonly lockTimeoutMs?: number;
  /** How long the forge begins attempts at a landing for; the last may take as long. Default 120,000. */
  readonly landTimeoutMs?: number;
}

/** Of a call to the forge in the name of a workspace's command. */
export function callOptions({ context: { signal } }: { readonly context: WorkspaceContext }): CallOptions {
  return signal === undefined ? {} : { signal };
}

/** Who works in a workspace. */
export function authorOf(workspace: {
  readonly context: WorkspaceContext;
  readonly forgeAddress: string;
}): string {
  const { context, forgeAddress } = workspace;
  return context.authorAt?.(forgeAddress) ?? context.author;
}
