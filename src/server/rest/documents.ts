/** The forge's data as the documents of REST. */
import { hlcToMs } from "../../core/base/hlc.ts";
import type { Position } from "../../core/base/ids.ts";
import type { TreePath } from "../../core/base/path.ts";
import type { TreeEntry } from "../../core/codec/tree-entry.ts";
import type {
  BlameLine,
  DirectoryItem,
  HeadInfo,
  Landing,
  LandingSummary,
  LocatedEntry,
  Operation,
  OrganizationInfo,
  PositionRef,
  ProjectInfo,
  Session,
  SessionSummary,
} from "../../core/forge/forge.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

/** RFC 3339 UTC. */
export function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}

export function projectDocument(project: ProjectInfo): JsonObject {
  const { id, name, description, visibility, salt, createdAtMs } = project;
  return { id, name, description, visibility, salt, createdAt: timeOf(createdAtMs) };
}

export function organizationDocument({ name, description, createdAtMs }: OrganizationInfo): JsonObject {
  return { name, description, createdAt: timeOf(createdAtMs) };
}

export function headDocument({ position, root, hlc, salt }: HeadInfo): JsonObject {
  return { position, tree: root, time: timeOf(hlcToMs(hlc)), hlc: hlc.toString(), salt };
}

export function positionDocument({ position, root }: PositionRef): JsonObject {
  return { position, tree: root };
}

export function entryDocument({ kind, size, id, chunks }: TreeEntry): JsonObject {
  return { kind, size, hash: id, ...(chunks === undefined ? {} : { chunks }) };
}

export function itemDocument(dir: TreePath | "", item: DirectoryItem): JsonObject {
  const { name } = item;
  const path = dir === "" ? name : `${dir}/${name}`;
  if (item.kind === "directory") return { path, name, kind: "directory", count: item.count };
  return { path, name, ...entryDocument(item.entry) };
}

export function locatedDocument({ path, entry }: LocatedEntry): JsonObject {
  return { path, name: path.slice(path.lastIndexOf("/") + 1), ...entryDocument(entry) };
}

export function operationDocument(operation: Operation): JsonObject {
  const { path } = operation;
  return operation.kind === "delete"
    ? { op: "delete", path }
    : { op: "put", path, ...entryDocument(operation.entry) };
}

export function sessionSummaryDocument(session: SessionSummary): JsonObject {
  const { id, goal, owner, state, base, createdAtMs, updatedAtMs, landedAt } = session;
  return {
    id,
    goal,
    owner,
    state,
    base: positionDocument(base),
    createdAt: timeOf(createdAtMs),
    updatedAt: timeOf(updatedAtMs),
    ...(landedAt === undefined ? {} : { landedAt }),
  };
}

export function recordedDocument(session: Session): JsonObject {
  const { operations, decisions, conversation } = session;
  return {
    ...sessionSummaryDocument(session),
    recorded: {
      operations: operations.length,
      decisions: decisions.length,
      messages: conversation.length,
    },
  };
}

export function sessionDocument(session: Session): JsonObject {
  const { operations, decisions, conversation } = session;
  return {
    ...sessionSummaryDocument(session),
    operations: operations.map(operationDocument),
    decisions,
    conversation: conversation.map(({ role, text }) => ({ role, text })),
  };
}

export function landingSummaryDocument(landing: LandingSummary): JsonObject {
  const { position, landingId, session, root, parentRoot, goal, author, agent, timeMs, changes } = landing;
  return {
    position,
    landingId,
    session,
    tree: root,
    parentTree: parentRoot,
    goal,
    author,
    agent,
    time: timeOf(timeMs),
    changes,
  };
}

export function landingDocument(landing: Landing): JsonObject {
  const { base, decisions, conversation, operations } = landing;
  return {
    ...landingSummaryDocument(landing),
    base: positionDocument(base),
    decisions,
    conversation: conversation.map(({ role, text }) => ({ role, text })),
    operations: operations.map(operationDocument),
  };
}

export function blameDocument(position: Position, path: TreePath, lines: readonly BlameLine[]): JsonObject {
  return {
    position,
    path,
    lines: lines.map(({ line, text, position: at, author, goal, timeMs }) => ({
      line,
      text,
      position: at,
      author,
      goal,
      time: timeOf(timeMs),
    })),
  };
}

const PIECE_CHARACTERS = 64 << 10;

/** A JSON document with one long array, in pieces: `{…members,"name":[…items]}`. */
export async function* streamedArray(
  members: JsonObject,
  name: string,
  pages: AsyncIterable<readonly JsonObject[]>,
): AsyncGenerator<string> {
  const open = JSON.stringify(members).slice(0, -1);
  let piece = `${open}${open.length === 1 ? "" : ","}${JSON.stringify(name)}:[`;
  let isFirst = true;
  for await (const page of pages) {
    for (const item of page) {
      piece += (isFirst ? "" : ",") + JSON.stringify(item);
      isFirst = false;
      if (piece.length < PIECE_CHARACTERS) continue;
      yield piece;
      piece = "";
    }
  }
  yield `${piece}]}`;
}
