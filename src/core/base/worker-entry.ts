/**
 * Where a worker thread's entry module is. In the source tree it is the file itself; in the standalone binary
 * every module is folded into one and the worker entries, named to the compiler by scripts/build-binary.ts,
 * keep their path below the bundle's root.
 */
const OWN_PATH = "src/core/base/worker-entry.ts";

/** `path` is relative to the repository root, e.g. `src/core/workspace/scan/scan-worker.ts`. */
export function workerEntry(path: string): URL {
  const inSource = import.meta.url.endsWith(OWN_PATH);
  return new URL(inSource ? `../../../${path}` : `./${path}`, import.meta.url);
}
