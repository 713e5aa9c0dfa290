/** Makes an existing directory a workspace of a project. Its files are left alone: they are compared by content. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { MicError } from "../../base/errors.ts";
import type { Position } from "../../base/ids.ts";
import type { WorkspaceContext } from "../context.ts";
import { ensureDirectory } from "../disk/atomic-file.ts";
import { acquireWorkspaceLock } from "../disk/lock.ts";
import { type IndexEntry, WorkspaceIndex } from "../index/workspace-index.ts";
import { checkOutsideMeta, metaPath } from "../layout.ts";
import type { LinkResult } from "../results.ts";
import { SETTINGS_FILE, writeSettings } from "../workspace.ts";
import { newSettings } from "./new-settings.ts";

export interface LinkOptions {
  /** An absolute directory or a URL. */
  readonly address: string;
  readonly projectName: string;
  readonly dir: string;
  /** Default: the newest position. */
  readonly at?: Position;
}

const LOCK_TIMEOUT_MS = 10_000;

/** Errors: `already-exists` in a workspace, `not-found`, `out-of-range`. */
export async function linkWorkspace(options: LinkOptions, context: WorkspaceContext): Promise<LinkResult> {
  const root = resolve(options.dir);
  checkOutsideMeta(root);
  if (existsSync(metaPath(root, SETTINGS_FILE))) {
    throw new MicError("already-exists", `${root} is a workspace already`, {
      hint: "delete its .mic directory first if it should belong to another project",
      data: { directory: root },
    });
  }
  const signal = context.signal === undefined ? {} : { signal: context.signal };
  const forge = await context.openForge(options.address);
  const project = await forge.getProject(options.projectName, signal);
  const head = await forge.getHead(project.id, signal);
  const target = options.at === undefined ? head : await forge.getPosition(project.id, options.at, signal);
  const upserts: IndexEntry[] = [];
  for await (const page of forge.listEntries(project.id, target.position, undefined, signal)) {
    for (const { path, entry, hint } of page) upserts.push({ path, entry, hint, stat: undefined });
  }
  ensureDirectory(metaPath(root));
  await using _lock = await acquireWorkspaceLock(root, {
    timeoutMs: context.lockTimeoutMs ?? LOCK_TIMEOUT_MS,
    clock: context.clock,
    ...signal,
  });
  const base = { position: target.position, root: target.root };
  WorkspaceIndex.empty(base).update({ base, upserts }).save(root, { sync: true });
  writeSettings(root, newSettings(root, options.address, project));
  return { project: project.name, projectId: project.id, position: target.position };
}
