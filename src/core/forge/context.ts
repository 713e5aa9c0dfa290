/** What every topic of the forge is given. */
import type { Clock } from "../base/clock.ts";
import type { ProjectId } from "../base/ids.ts";
import type { Random } from "../base/random.ts";
import type { ObjectStore } from "../store/object-store.ts";
import type { ProjectStore } from "./project-store.ts";

export interface ForgeContext {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly random: Random;
  /** How long a change without a definite answer is retried. */
  readonly timeoutMs?: number;
  /** The same object for the same project for as long as the forge is open: it holds caches and the publisher. */
  project(project: ProjectId): ProjectStore;
  /**
   * Throws `not-found` for a project that does not exist or was deleted. Asked once for each project that is
   * open: one that another process deletes meanwhile is noticed when it is opened again.
   */
  requireProject(project: ProjectId, signal?: AbortSignal): Promise<void>;
}
