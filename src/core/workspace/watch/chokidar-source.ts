/**
 * Changes by chokidar, in its recursive mode, of which only the raw events are used: they come in the order of
 * the system's queue, before anything of chokidar's own that waits, throttles or pairs. Everything below the
 * root is `ignored` for chokidar itself, so that it neither lists nor keeps the tree (which costs it 1.6 s and
 * 500 MB for 26,000 directories, against 0.3 s and 10 MB).
 *
 * That this is sound rests on the runtime's `fs.watch` (docs/adr/0080-watcher.md): one queue of the system for
 * the whole tree, read in order by one thread, which watches a new directory before it reports it.
 */
import { sep } from "node:path";
import { MicError } from "../../base/errors.ts";
import { errorCode } from "../layout.ts";
import type { ChangeHandlers, ChangeSource } from "./change-source.ts";

export class ChokidarSource implements ChangeSource {
  readonly #root: string;
  #close: (() => Promise<void>) | undefined;
  #closed = false;

  /** `root` is absolute and free of symlinks. */
  constructor(root: string) {
    this.#root = root;
  }

  async start(handlers: ChangeHandlers): Promise<void> {
    const { FSWatcher } = await import("chokidar");
    const root = this.#root;
    const watcher = new FSWatcher({
      backend: "native-recursive",
      persistent: true,
      ignoreInitial: true,
      followSymlinks: false,
      atomic: false,
      alwaysStat: false,
      ignored: (path) => path !== root,
    });
    this.#close = () => watcher.close();
    watcher.on("raw", (_event, path) => {
      // Without a name: the queue of the system overflowed.
      if (typeof path !== "string") handlers.lost("events were dropped");
      else handlers.changed(sep === "/" ? path : path.replaceAll(sep, "/"));
    });
    await new Promise<void>((resolve, reject) => {
      watcher.on("error", (error) => {
        const told = explain(error, root);
        reject(told);
        handlers.failed(told);
      });
      watcher.on("ready", resolve);
      watcher.add(root);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#close?.();
  }
}

/** chokidar stops watching at the first directory that cannot be watched; what that comes from, and what helps. */
function explain(error: unknown, root: string): unknown {
  const code = errorCode(error);
  const path = (error as { path?: unknown }).path;
  const where = typeof path === "string" ? path : root;
  if (code === "ENOSPC" || code === "EMFILE") {
    return new MicError("unsupported", "the system lets no more directories be watched", {
      hint: "raise fs.inotify.max_user_watches and fs.inotify.max_user_instances",
      cause: error,
    });
  }
  if (code === "EACCES" || code === "EPERM") {
    return new MicError("forbidden", `${where} cannot be read, so it cannot be watched`, {
      hint: "change its permissions; `mic status` works without a watcher",
      cause: error,
    });
  }
  return error;
}
