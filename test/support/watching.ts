/** A watcher in this process, and what it says beside what a scan finds. */
import { expect } from "vitest";
import { workspaceStatus } from "../../src/core/workspace/commands/status.ts";
import type { ChangeSource } from "../../src/core/workspace/watch/change-source.ts";
import { ChokidarSource } from "../../src/core/workspace/watch/chokidar-source.ts";
import { WATCH_PROTOCOL, type WatchAnswer } from "../../src/core/workspace/watch/protocol.ts";
import {
  type WatchEvent,
  WatchService,
  type WatchServiceOptions,
} from "../../src/core/workspace/watch/watch-service.ts";
import { Workspace } from "../../src/core/workspace/workspace.ts";
import type { TestWorkspace } from "./workspaces.ts";

const BUILD = "test";
/** However busy the machine is. */
export const COOKIE_TIMEOUT_MS = 20_000;

export interface Watching extends AsyncDisposable {
  readonly service: WatchService;
  readonly events: WatchEvent[];
  ask(ask: "status" | "directories" | "about" | "stop"): Promise<WatchAnswer>;
}

export async function startWatching(
  workspace: TestWorkspace,
  options: Partial<WatchServiceOptions> & { readonly makeSource?: () => ChangeSource } = {},
): Promise<Watching> {
  const { dir: root, ws } = workspace;
  const events: WatchEvent[] = [];
  const service = await WatchService.start({
    root,
    context: ws.context,
    build: BUILD,
    pid: 1,
    makeSource: () => new ChokidarSource(root),
    onEvent: (event) => events.push(event),
    cookieTimeoutMs: COOKIE_TIMEOUT_MS,
    ...options,
  });
  return {
    service,
    events,
    ask: (ask) => service.answer({ protocol: WATCH_PROTOCOL, build: BUILD, root, ask }),
    [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
  };
}

/** The watcher vouches, and says exactly what a scan by a new process finds. */
export async function expectSameStatus(workspace: TestWorkspace, watching: Watching): Promise<void> {
  const answer = await watching.ask("status");
  const fresh = Workspace.openRoot(workspace.dir, workspace.ws.context);
  const found = await workspaceStatus(fresh);
  // As it crosses the socket: long lists are made on the way.
  expect(JSON.parse(JSON.stringify(answer))).toEqual({
    kind: "status",
    status: JSON.parse(JSON.stringify(found)),
  });
}
