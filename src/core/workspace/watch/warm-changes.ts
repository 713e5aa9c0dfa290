/**
 * A workspace's changes against its index, kept up to date by looking again only where something happened. The
 * unit is a tracked directory: its files, and whatever untracked is in it down to the next tracked directory.
 * A unit is *clean* when no event has named anything in it since a scan of it began.
 */
import type { Clock } from "../../base/clock.ts";
import type { TreePath } from "../../base/path.ts";
import { comparePaths } from "../../base/path.ts";
import { IGNORE_FILE_NAMES } from "../index/scan-findings.ts";
import type { WorkspaceIndex } from "../index/workspace-index.ts";
import type { NamedReason } from "../scan/batch.ts";
import type { WorkspaceChange } from "../scan/change-columns.ts";
import { type ScanResult, scanWorkspace } from "../scan/scan.ts";
import { coverDirectories } from "../scan/tasks.ts";
import { matchDirectories } from "./match-directories.ts";

export interface WarmOptions {
  readonly root: string;
  readonly index: WorkspaceIndex;
  readonly sparse: readonly TreePath[];
  readonly clock: Clock;
}

interface Unit {
  readonly changes: WorkspaceChange[];
  readonly skipped: NamedReason[];
  readonly refused: NamedReason[];
}

/** What may be in any directory of a version control system says nothing about the workspace. */
const OWN_DIRECTORY = /(?:^|\/)\.(?:mic|git|hg|jj)(?:\/|$)/i;
/**
 * A unit counts as clean only when its scan began this long after its last event: a runtime may drop an event
 * that follows another within a millisecond or two.
 */
const SETTLE_MS = 5;
const UNREADABLE = "cannot be read";

export class WarmChanges {
  readonly #root: string;
  readonly #sparse: readonly TreePath[];
  readonly #clock: Clock;
  #index: WorkspaceIndex;
  /** Units with anything to report, by number of the tracked directory. */
  readonly #units = new Map<number, Unit>();
  /** Units with files that have other names too, through which they can be changed without an event here. */
  readonly #linked = new Set<number>();
  /** Units with directories that could not be read: what is below was not there to be watched. */
  readonly #unreadable = new Set<number>();
  /** Units to be looked at: when the last event was. */
  readonly #dirty = new Map<number, number>();
  #everything = true;
  #lastDirectory: { readonly path: string; readonly unit: number } | undefined;
  /** Counts up whenever what `changes` would return may be something else. */
  version = 0;
  /** When everything was looked at last. */
  lastFullMs = 0;
  /** How long that took. */
  lastFullTookMs = 0;

  constructor(options: WarmOptions) {
    this.#root = options.root;
    this.#index = options.index;
    this.#sparse = options.sparse;
    this.#clock = options.clock;
  }

  get index(): WorkspaceIndex {
    return this.#index;
  }

  /** True when `refresh` has something to look at that an event has named. */
  get isStale(): boolean {
    return this.#everything || this.#dirty.size > 0;
  }

  markEverything(): void {
    this.#everything = true;
  }

  /** Something happened at a path of the workspace. */
  mark(path: string): void {
    if (this.#everything || OWN_DIRECTORY.test(path)) return;
    const nowMs = this.#clock.nowMs();
    // A directory that is tracked: everything below it may be elsewhere, or not readable any more.
    const own = path === "" ? 0 : this.#index.directoryNumber(path);
    if (own > 0) this.#markTree(own, nowMs);
    const slash = path.lastIndexOf("/");
    const unit = this.#unitOf(slash === -1 ? "" : path.slice(0, slash));
    const name = path.slice(slash + 1) as (typeof IGNORE_FILE_NAMES)[number];
    if (IGNORE_FILE_NAMES.includes(name)) this.#markTree(unit, nowMs);
    else this.#dirty.set(unit, nowMs);
  }

  #markTree(from: number, nowMs: number): void {
    const end = this.#index.columns.dirAfter[from]!;
    for (let unit = from; unit < end; unit++) this.#dirty.set(unit, nowMs);
  }

  /** The nearest tracked directory at or above a directory; the root always is one. */
  #unitOf(directory: string): number {
    if (this.#lastDirectory?.path === directory) return this.#lastDirectory.unit;
    let unit = 0;
    for (let path = directory; path !== ""; path = path.slice(0, Math.max(0, path.lastIndexOf("/")))) {
      const number = this.#index.directoryNumber(path);
      if (number === -1) continue;
      unit = number;
      break;
    }
    this.#lastDirectory = { path: directory, unit };
    return unit;
  }

  /**
   * Looks at everything that is not clean. Events that come meanwhile leave their units to be looked at again.
   * Returns the scan. Errors are those of a scan; everything is then looked at the next time.
   */
  async refresh(options: { readonly all?: boolean } = {}): Promise<ScanResult | undefined> {
    const startMs = this.#clock.nowMs();
    const all = this.#everything || options.all === true;
    const taken = [...this.#dirty];
    for (const unit of new Set([...this.#linked, ...this.#unreadable])) {
      if (!this.#dirty.has(unit)) taken.push([unit, startMs - SETTLE_MS]);
    }
    if (!all && taken.length === 0) return undefined;
    this.#everything = false;
    this.#dirty.clear();
    let scan: ScanResult;
    try {
      scan = await scanWorkspace({
        root: this.#root,
        index: this.#index,
        sparse: this.#sparse,
        ...(all ? {} : { within: coverDirectories(taken.map(([unit]) => unit)) }),
      });
    } catch (error) {
      this.#everything = true;
      throw error;
    }
    if (all) {
      this.lastFullMs = startMs;
      this.lastFullTookMs = Math.max(0, this.#clock.nowMs() - startMs);
      this.#units.clear();
      this.#linked.clear();
    } else {
      for (const [unit] of taken) {
        this.#units.delete(unit);
        this.#linked.delete(unit);
      }
    }
    this.#take(scan);
    for (const [unit, eventMs] of taken) {
      if (eventMs > startMs - SETTLE_MS && !this.#dirty.has(unit)) this.#dirty.set(unit, eventMs);
    }
    this.version++;
    return scan;
  }

  /**
   * The same for the index that a command has put in the place of this one: directories of which both say the
   * same keep what is known of them, the others are to be looked at.
   */
  carriedOver(index: WorkspaceIndex): WarmChanges {
    const next = new WarmChanges({
      root: this.#root,
      index,
      sparse: this.#sparse,
      clock: this.#clock,
    });
    if (this.#everything) return next;
    next.#everything = false;
    next.lastFullMs = this.lastFullMs;
    next.lastFullTookMs = this.lastFullTookMs;
    const matches = matchDirectories(this.#index, index);
    const isKept = new Uint8Array(this.#index.directoryCount);
    matches.forEach((old, unit) => {
      if (old === -1) {
        next.#dirty.set(unit, 0);
        return;
      }
      isKept[old] = 1;
      const known = this.#units.get(old);
      const eventMs = this.#dirty.get(old);
      if (known !== undefined) next.#units.set(unit, known);
      if (eventMs !== undefined) next.#dirty.set(unit, eventMs);
      if (this.#linked.has(old)) next.#linked.add(unit);
    });
    for (const old of this.#unreadable) {
      next.#unreadable.add(next.#unitOf(this.#index.directoryPath(old)));
    }
    // What is tracked by one index only was, or will be, found from the nearest directory that is tracked.
    matches.forEach((old, unit) => {
      if (old !== -1) return;
      const path = index.directoryPath(unit);
      if (this.#index.directoryNumber(path) === -1) next.#markAbove(path);
    });
    isKept.forEach((kept, old) => {
      if (kept === 1) return;
      const path = this.#index.directoryPath(old);
      if (index.directoryNumber(path) === -1) next.#markAbove(path);
    });
    return next;
  }

  #markAbove(path: string): void {
    this.#dirty.set(this.#unitOf(path.slice(0, Math.max(0, path.lastIndexOf("/")))), 0);
  }

  #take(scan: ScanResult): void {
    for (const change of scan.changes) this.#at(change.path).changes.push(change);
    for (const named of scan.skipped) this.#at(named.path).skipped.push(named);
    for (const named of scan.refused) {
      this.#at(named.path).refused.push(named);
      if (named.reason.startsWith(UNREADABLE)) this.#unreadable.add(this.#reporterOf(named.path));
    }
    for (const file of scan.linked) this.#linked.add(this.#index.directoryOf(file));
  }

  #at(path: string): Unit {
    const number = this.#reporterOf(path);
    let unit = this.#units.get(number);
    if (unit === undefined) {
      unit = { changes: [], skipped: [], refused: [] };
      this.#units.set(number, unit);
    }
    return unit;
  }

  /** The unit whose scan reports a path: of a tracked directory that is something else now, its own. */
  #reporterOf(path: string): number {
    const own = this.#index.directoryNumber(path);
    if (own > 0) return own;
    const slash = path.lastIndexOf("/");
    return this.#unitOf(slash === -1 ? "" : path.slice(0, slash));
  }

  /** In path order, like those of a scan. */
  changes(): WorkspaceChange[] {
    const changes = [...this.#units.values()].flatMap((unit) => unit.changes);
    return changes.sort((a, b) => comparePaths(a.path, b.path));
  }

  /** What is skipped, then what is refused, each in path order. */
  passedOver(): NamedReason[] {
    const units = [...this.#units.values()];
    const inOrder = (a: NamedReason, b: NamedReason): number => comparePaths(a.path, b.path);
    return [
      ...units.flatMap((unit) => unit.skipped).sort(inOrder),
      ...units.flatMap((unit) => unit.refused).sort(inOrder),
    ];
  }

  /** Tracked directories outside of which nothing has changed, or undefined when they are more than `max`. */
  directories(max: number): string[] | undefined {
    const units = new Set([
      ...this.#units.keys(),
      ...this.#linked,
      ...this.#unreadable,
      ...this.#dirty.keys(),
    ]);
    if (this.#everything || units.size > max) return undefined;
    return [...units].map((unit) => this.#index.directoryPath(unit)).sort(comparePaths);
  }
}
