/**
 * Sessions in pages: first those that have an object, in the order of their ids, then those known only from the
 * log, newest first.
 */
import { MicError } from "../../base/errors.ts";
import {
  POSITION_ZERO,
  type Position,
  type ProjectId,
  parseSessionId,
  type SessionId,
} from "../../base/ids.ts";
import { sessionKey, sessionsPrefix } from "../../objects/keys.ts";
import type { ForgeContext } from "../context.ts";
import type { CallOptions, ListSessions, Page, SessionSummary } from "../forge.ts";
import { openSnapshot } from "../log/positions.ts";
import type { Snapshot } from "../log/snapshot.ts";
import { readSession, summaryOfRecord, toSummary } from "./sessions.ts";

const LIMIT_DEFAULT = 100;
const LIMIT_MAX = 1000;
/** Sessions passed over for one page, so that a filter that few of very many match does not hold a call up. */
const SKIPPED_MAX = 256;
/** Names listed at once for a page. */
const LIST_TOGETHER = 256;
/** Sessions read at once. */
const READ_TOGETHER = 32;

/** Where the next page begins. */
type Cursor =
  | { readonly kind: "object"; readonly after: SessionId | undefined }
  | { readonly kind: "log"; readonly upTo: Position };

/** A page may be short, or empty, before the last: `next` tells. */
export async function listSessions(
  context: ForgeContext,
  project: ProjectId,
  request: ListSessions,
  options: CallOptions = {},
): Promise<Page<SessionSummary>> {
  const snapshot = await openSnapshot(context, project, options);
  const page = new PageInTheMaking(request);
  const cursor = parseCursor(request.after, snapshot.head.position);
  if (cursor.kind === "object") {
    for await (const session of sessionsWithObject(context, snapshot, cursor.after, options)) {
      if (page.add(session)) continue;
      return page.upTo(`object:${page.last!.id}`);
    }
  }
  if (request.state !== undefined && request.state !== "landed") return page.whole();
  const upTo = cursor.kind === "log" ? cursor.upTo : snapshot.head.position;
  let position = upTo;
  for await (const session of sessionsOfLog(context, snapshot, upTo, options)) {
    if (session === undefined ? page.skip() : page.add(session)) {
      position--;
      continue;
    }
    return page.upTo(`log:${position}`);
  }
  return page.whole();
}

class PageInTheMaking {
  readonly #request: ListSessions;
  readonly #limit: number;
  readonly #items: SessionSummary[] = [];
  #skipped = 0;
  /** The last session that was looked at. */
  last: SessionSummary | undefined;

  constructor(request: ListSessions) {
    this.#request = request;
    this.#limit = Math.min(Math.max(1, request.limit ?? LIMIT_DEFAULT), LIMIT_MAX);
  }

  /** Takes a session in if it matches. False: the page ends before it. */
  add(session: SessionSummary): boolean {
    const { state, owner } = this.#request;
    const matches =
      (state === undefined || session.state === state) && (owner === undefined || session.owner === owner);
    if (matches ? this.#items.length === this.#limit : !this.skip()) return false;
    if (matches) this.#items.push(session);
    this.last = session;
    return true;
  }

  /** Passes over something that is no session of this page. False: the page ends before it. */
  skip(): boolean {
    return this.#skipped++ < SKIPPED_MAX;
  }

  upTo(next: string): Page<SessionSummary> {
    return { items: this.#items, next };
  }

  whole(): Page<SessionSummary> {
    return { items: this.#items };
  }
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

/** One item for each position, newest first: the session that landed there last, if the log alone knows it. */
async function* sessionsOfLog(
  context: ForgeContext,
  snapshot: Snapshot,
  upTo: Position,
  options: CallOptions,
): AsyncIterable<SessionSummary | undefined> {
  const { project } = snapshot;
  for await (const page of snapshot.records(POSITION_ZERO, upTo, options)) {
    for (let start = 0; start < page.length; start += READ_TOGETHER) {
      const slice = page.slice(start, start + READ_TOGETHER);
      const hasObject = await Promise.all(
        slice.map(({ session }) => isStored(context, project, session, options)),
      );
      for (let i = 0; i < slice.length; i++) {
        const record = slice[i]!;
        const newer = hasObject[i]
          ? record.position
          : await snapshot.landingOfSession(record.session, record.position, options);
        yield newer === undefined ? summaryOfRecord(record) : undefined;
      }
    }
  }
}

async function isStored(
  context: ForgeContext,
  project: ProjectId,
  session: SessionId,
  options: CallOptions,
): Promise<boolean> {
  const range = { offset: 0, length: 1 };
  const { signal } = options;
  const found = await context.store.get(
    sessionKey(project, session),
    signal === undefined ? { range } : { range, signal },
  );
  return found !== undefined;
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
      limit: LIST_TOGETHER,
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
