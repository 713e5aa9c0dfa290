/**
 * Sessions in pages: first those that have an object, in the order of their ids, then those known only from the
 * log, newest first.
 */
import { MicError } from "../base/errors.ts";
import { POSITION_ZERO, type Position, type ProjectId, parseSessionId, type SessionId } from "../base/ids.ts";
import { sessionKey, sessionsPrefix } from "../objects/keys.ts";
import type { ForgeContext } from "./context.ts";
import type { CallOptions, ListSessions, Page, SessionSummary } from "./forge.ts";
import { openSnapshot } from "./positions.ts";
import { readSession, summaryOfRecord, toSummary } from "./sessions.ts";
import type { Snapshot } from "./snapshot.ts";

const LIMIT_DEFAULT = 100;
const LIMIT_MAX = 1000;
/** Sessions read at once. */
const READ_TOGETHER = 32;

/** Where the next page begins. */
type Cursor =
  | { readonly kind: "object"; readonly after: SessionId | undefined }
  | { readonly kind: "log"; readonly upTo: Position };

export async function listSessions(
  context: ForgeContext,
  project: ProjectId,
  request: ListSessions,
  options: CallOptions = {},
): Promise<Page<SessionSummary>> {
  const limit = Math.min(Math.max(1, request.limit ?? LIMIT_DEFAULT), LIMIT_MAX);
  const snapshot = await openSnapshot(context, project, options);
  const matches = (session: SessionSummary): boolean =>
    (request.state === undefined || session.state === request.state) &&
    (request.owner === undefined || session.owner === request.owner);
  const items: SessionSummary[] = [];
  const cursor = parseCursor(request.after, snapshot.head.position);
  if (cursor.kind === "object") {
    for await (const session of sessionsWithObject(context, snapshot, cursor.after, options)) {
      if (!matches(session)) continue;
      if (items.length === limit) return { items, next: `object:${items.at(-1)!.id}` };
      items.push(session);
    }
  }
  if (request.state !== undefined && request.state !== "landed") return { items };
  const upTo = cursor.kind === "log" ? cursor.upTo : snapshot.head.position;
  for await (const session of sessionsOfLog(context, snapshot, upTo, options)) {
    if (!matches(session)) continue;
    if (items.length === limit) return { items, next: `log:${session.landedAt}` };
    items.push(session);
  }
  return { items };
}

async function* sessionsWithObject(
  context: ForgeContext,
  snapshot: Snapshot,
  after: SessionId | undefined,
  options: CallOptions,
): AsyncIterable<SessionSummary> {
  const { project } = snapshot;
  for await (const ids of sessionIds(context, project, after, options)) {
    for (let start = 0; start < ids.length; start += READ_TOGETHER) {
      const slice = ids.slice(start, start + READ_TOGETHER);
      const sessions = await Promise.all(
        slice.map((id) => readSession(context, project, id, options.signal)),
      );
      for (const session of sessions) {
        if (session === undefined) continue;
        const landedAt = await snapshot.landingOfSession(session.id, session.basePosition, options);
        yield toSummary(session, landedAt);
      }
    }
  }
}

async function* sessionsOfLog(
  context: ForgeContext,
  snapshot: Snapshot,
  upTo: Position,
  options: CallOptions,
): AsyncIterable<SessionSummary> {
  const { project } = snapshot;
  const stored = new Set<SessionId>();
  for await (const ids of sessionIds(context, project, undefined, options))
    for (const id of ids) stored.add(id);
  for await (const page of snapshot.records(POSITION_ZERO, upTo, options)) {
    for (const record of page) {
      if (stored.has(record.session)) continue;
      const newest = await snapshot.landingOfSession(record.session, POSITION_ZERO, options);
      if (newest === record.position) yield summaryOfRecord(record);
    }
  }
}

/** In the order of ids, in pages. */
export async function* sessionIds(
  context: ForgeContext,
  project: ProjectId,
  after: SessionId | undefined,
  options: CallOptions,
): AsyncIterable<readonly SessionId[]> {
  const prefix = sessionsPrefix(project);
  let next = after === undefined ? undefined : sessionKey(project, after);
  for (;;) {
    const page = await context.store.list(prefix, {
      ...(next === undefined ? {} : { after: next }),
      ...options,
    });
    yield page.objects.map(({ key }) => parseSessionId(key.slice(prefix.length).replace(/\.bin$/, "")));
    if (page.next === undefined) return;
    next = page.next;
  }
}

function parseCursor(after: string | undefined, head: Position): Cursor {
  if (after === undefined) return { kind: "object", after: undefined };
  if (after.startsWith("object:")) return { kind: "object", after: parseSessionId(after.slice(7)) };
  const position = /^log:(\d{1,16})$/.exec(after)?.[1];
  if (position === undefined)
    throw new MicError("usage", `${JSON.stringify(after)} is not a page of sessions`);
  return { kind: "log", upTo: Math.min(Number(position), head) as Position };
}
