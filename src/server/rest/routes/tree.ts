/** A project's files at a position: listings, content, and everything as one archive. */
import { z } from "zod";
import { MicError } from "../../../core/base/errors.ts";
import type { Position, ProjectId } from "../../../core/base/ids.ts";
import type { TreePath } from "../../../core/base/path.ts";
import type { Forge, LocatedEntry } from "../../../core/forge/forge.ts";
import { jsonAnswer } from "../answer.ts";
import { tarOf } from "../archive.ts";
import { BYTES_TYPE, CONTENT_HEADERS, contentAnswer, IMMUTABLE, REVALIDATED } from "../content-answer.ts";
import { itemDocument, type JsonObject, locatedDocument, streamedArray } from "../documents.ts";
import * as parameters from "../parameters.ts";
import { defineRoute, type Route } from "../route.ts";
import * as shapes from "../schemas.ts";
import { pageRequest, positionOf, positionRefOf } from "./support.ts";

const PROJECT = "/api/mic/projects/{project}";
const tag = "files";
const projectParams = z.object({ project: parameters.projectParameter });
const TAR_TYPE = "application/x-tar";
const JSON_STREAM = { "content-type": "application/json", "x-content-type-options": "nosniff" };

export const treeRoutes: readonly Route[] = [
  defineRoute(
    {
      method: "GET",
      path: `${PROJECT}/tree`,
      id: "listTree",
      tag,
      access: "project-read",
      summary: "What is in a directory",
      description:
        "Files and directories by name, in pages; with `recursive` every file below the directory in one answer.",
      params: projectParams,
      query: z.strictObject({
        at: parameters.atParameter,
        dir: parameters.directoryParameter,
        after: parameters.afterParameter,
        limit: parameters.limitParameter(1000, 10_000),
        recursive: parameters.flagParameter,
      }),
      answers: [{ status: 200, description: "A page", schema: shapes.tree }],
      errors: ["not-found", "out-of-range", "unsafe-path"],
    },
    async (call) => {
      const { forge, query, signal } = call;
      const project = await call.project();
      const { position, root } = await positionRefOf(forge, project, query.at);
      const { dir } = query;
      const members = { position, tree: root, dir };
      const cache = { "cache-control": query.at === "latest" ? REVALIDATED : IMMUTABLE };
      if (!query.recursive) {
        const page = await forge.listDirectory(
          project,
          { at: position, dir, ...pageRequest(query) },
          { signal },
        );
        const items = page.items.map((item) => itemDocument(dir, item));
        const next = page.next === undefined ? {} : { next: page.next };
        return jsonAnswer(200, { ...members, items, ...next }, cache);
      }
      if (query.after !== undefined) throw new MicError("usage", "a recursive listing has one page only");
      await requireDirectory(forge, project, position, dir);
      const pages = forge.listEntries(project, position, dir === "" ? undefined : [dir], { signal });
      const body = streamedArray(members, "items", documents(pages));
      return { kind: "stream", status: 200, headers: { ...JSON_STREAM, ...cache }, body };
    },
  ),
  defineRoute(
    {
      method: "GET",
      path: `${PROJECT}/files/{+path}`,
      id: "getFile",
      tag,
      access: "project-read",
      summary: "The content of a file; of a symlink, its target",
      params: z.object({ project: parameters.projectParameter, path: parameters.pathParameter }),
      query: z.strictObject({ at: parameters.atParameter }),
      answers: [
        {
          status: 200,
          description: "The content",
          type: BYTES_TYPE,
          headers: {
            ...CONTENT_HEADERS,
            "mic-kind": "file, executable or symlink",
            "mic-position": "The position that was read",
          },
        },
        { status: 206, description: "The range that was asked for", type: BYTES_TYPE },
        { status: 304, description: "The caller has it" },
      ],
      errors: ["not-found", "out-of-range", "unsafe-path"],
    },
    async (call) => {
      const { forge, params, query } = call;
      const project = await call.project();
      const position = await positionOf(forge, project, query.at);
      const found = await forge.getPath(project, position, params.path, { signal: call.signal });
      if (found?.kind !== "entry") throw noFile(params.path, position, found !== undefined);
      return contentAnswer(call, project, found, {
        "cache-control": query.at === "latest" ? REVALIDATED : IMMUTABLE,
        "mic-kind": found.entry.kind,
        "mic-position": String(position),
      });
    },
  ),
  defineRoute(
    {
      method: "GET",
      path: `${PROJECT}/archive`,
      id: "getArchive",
      tag,
      access: "project-read",
      summary: "Every file as one tar archive: `curl … | tar x`",
      params: projectParams,
      query: z.strictObject({ at: parameters.atParameter, dir: parameters.directoryParameter }),
      answers: [
        {
          status: 200,
          description: "The archive (POSIX pax)",
          type: TAR_TYPE,
          headers: { "mic-position": "The position that was read" },
        },
      ],
      errors: ["not-found", "out-of-range", "unsafe-path"],
    },
    async (call) => {
      const { forge, query, signal } = call;
      const project = await call.project();
      const { position } = await positionRefOf(forge, project, query.at);
      const { dir } = query;
      await requireDirectory(forge, project, position, dir);
      const timeMs = position === 0 ? 0 : (await forge.getLanding(project, position)).timeMs;
      const entries = forge.listEntries(project, position, dir === "" ? undefined : [dir], { signal });
      return {
        kind: "stream",
        status: 200,
        headers: {
          "content-type": TAR_TYPE,
          "cache-control": query.at === "latest" ? REVALIDATED : IMMUTABLE,
          "x-content-type-options": "nosniff",
          "mic-position": String(position),
        },
        body: tarOf(entries, (file) => forge.readFile(project, file, { signal }), timeMs),
      };
    },
  ),
];

async function* documents(pages: AsyncIterable<readonly LocatedEntry[]>): AsyncGenerator<JsonObject[]> {
  for await (const page of pages) yield page.map(locatedDocument);
}

async function requireDirectory(
  forge: Forge,
  project: ProjectId,
  at: Position,
  dir: TreePath | "",
): Promise<void> {
  if (dir === "") return;
  const found = await forge.getPath(project, at, dir);
  if (found?.kind === "directory") return;
  const what = found === undefined ? "does not exist" : "is a file, not a directory";
  throw new MicError("not-found", `${JSON.stringify(dir)} ${what} at position ${at}`, {
    data: { paths: [dir] },
  });
}

function noFile(path: TreePath, position: Position, isDirectory: boolean): MicError {
  const shown = JSON.stringify(path);
  if (!isDirectory) {
    return new MicError("not-found", `there is no file ${shown} at position ${position}`, {
      hint: "list the files with …/tree?recursive=true",
      data: { paths: [path] },
    });
  }
  return new MicError("not-found", `${shown} is a directory at position ${position}`, {
    hint: `list it with …/tree?dir=${encodeURIComponent(path)}`,
    data: { paths: [path] },
  });
}
