/** Content by its hash: blobs and packs. */
import { z } from "zod";
import { isMicError, MicError } from "../../../core/base/errors.ts";
import type { PackId, ProjectId } from "../../../core/base/ids.ts";
import { uploadSize } from "../../../core/forge/content/direct-transfer.ts";
import type { Forge, PackPlace } from "../../../core/forge/forge.ts";
import { methodStateOf } from "../../methods/method-state.ts";
import { jsonAnswer } from "../answer.ts";
import { bodyOf, readBytes } from "../body.ts";
import { BYTES_TYPE, bytesAnswer, CONTENT_HEADERS, contentAnswer, IMMUTABLE } from "../content-answer.ts";
import * as parameters from "../parameters.ts";
import { HttpError } from "../problem.ts";
import { defineRoute, type Route } from "../route.ts";
import * as shapes from "../schemas.ts";

const PROJECT = "/api/mic/projects/{project}";
const tag = "content";
const projectParams = z.object({ project: parameters.projectParameter });
/** A pack is in memory while it is checked; clients close theirs at 8 MiB. */
const PACK_BODY_BYTES_MAX = 32 << 20;
/** A smaller one is sent sooner than a client finds the store. */
const DIRECT_PACK_BYTES_MIN = 8 << 20;

const READ_ANSWERS = [
  { status: 200, description: "The content", type: BYTES_TYPE, headers: CONTENT_HEADERS },
  { status: 206, description: "The range that was asked for", type: BYTES_TYPE },
  { status: 304, description: "The caller has it" },
];

export const contentRoutes: readonly Route[] = [
  defineRoute(
    {
      method: "POST",
      path: `${PROJECT}/blobs`,
      id: "putBlob",
      tag,
      access: "project-write",
      summary: "Stores content, of any size; repeating it is harmless",
      params: projectParams,
      body: { kind: "bytes", description: "The content as it is" },
      answers: [
        {
          status: 201,
          description: "What an operation needs to know of it",
          schema: shapes.storedBlob,
          headers: { location: "Where it is" },
        },
      ],
      errors: ["not-found", "too-large"],
    },
    async (call) => {
      const project = await call.project();
      const { id, size, chunks } = await call.forge.putBlob(project, bodyOf(call.request));
      const query = chunks === undefined ? "" : `?chunks=${chunks}`;
      return jsonAnswer(
        201,
        { hash: id, size, ...(chunks === undefined ? {} : { chunks }) },
        { location: `/api/mic/projects/${project}/blobs/${id}${query}` },
      );
    },
  ),
  defineRoute(
    {
      method: "GET",
      path: `${PROJECT}/blobs/{hash}`,
      id: "getBlob",
      tag,
      access: "project-read",
      summary: "Content by its hash, landed or not",
      params: z.object({ project: parameters.projectParameter, hash: parameters.objectParameter }),
      query: z.strictObject({
        chunks: parameters.objectParameter
          .optional()
          .describe("Chunk list, where the content is stored in chunks"),
      }),
      answers: READ_ANSWERS,
      errors: ["not-found", "out-of-range"],
    },
    async (call) => {
      const project = await call.project();
      const { hash: id } = call.params;
      const { chunks } = call.query;
      const found = await call.forge.findContent(project, {
        id,
        ...(chunks === undefined ? {} : { chunks }),
      });
      if (found === undefined) {
        throw new MicError("not-found", `the content ${id} is not stored`, {
          hint: "where it is stored in chunks, say ?chunks=",
          data: { object: id },
        });
      }
      const entry = { kind: "file", ...found } as const;
      return contentAnswer(call, project, { entry, hint: 0 }, { "cache-control": IMMUTABLE });
    },
  ),
  defineRoute(
    {
      method: "POST",
      path: `${PROJECT}/packs`,
      id: "putPack",
      tag,
      access: "project-write",
      summary: "Stores a pack of content for a later landing",
      description: "For programs that make packs (docs/format/pack.md); scripts use blobs.",
      params: projectParams,
      body: { kind: "bytes", description: `The pack, at most ${PACK_BODY_BYTES_MAX} bytes` },
      answers: [
        {
          status: 201,
          description: "Its id, to be named by a landing",
          schema: shapes.storedPack,
          headers: { location: "Where it is" },
        },
      ],
      errors: ["not-found", "too-large", "corrupt", "unsupported"],
    },
    async (call) => {
      const project = await call.project();
      const bytes = await readBytes(call.request, PACK_BODY_BYTES_MAX);
      const size = bytes.length;
      const pack = await callersPack(() => call.forge.putPack(project, bytes));
      return jsonAnswer(201, { pack, size }, { location: `/api/mic/projects/${project}/packs/${pack}` });
    },
  ),
  defineRoute(
    {
      method: "POST",
      path: `${PROJECT}/packs/uploads`,
      id: "startUpload",
      tag,
      access: "project-write",
      summary: "A place in the store itself for one large pack",
      description:
        "PUT the pack to `url` with `headers`, and without the token; then POST to `finish`. Only where the server was started with `--presigned-urls`.",
      params: projectParams,
      body: { kind: "json", schema: z.strictObject({ size: z.int().min(1).describe("Bytes of the pack") }) },
      answers: [{ status: 201, description: "The place", schema: shapes.uploadPlace }],
      errors: ["not-found", "too-large", "unsupported"],
    },
    async (call) => {
      const project = await call.project();
      const place = await call.forge.startUpload?.(project, call.body.size, { signal: call.signal });
      if (place === undefined) {
        throw new MicError("unsupported", "this server takes no packs past itself", {
          hint: "POST the pack to …/packs",
        });
      }
      const { url, headers, upload, expiresAtMs } = place;
      return jsonAnswer(201, {
        method: "PUT",
        url,
        headers,
        upload,
        expires: new Date(expiresAtMs).toISOString(),
        finish: `/api/mic/projects/${project}/packs/uploads/${upload}`,
      });
    },
  ),
  defineRoute(
    {
      method: "POST",
      path: `${PROJECT}/packs/uploads/{upload}`,
      id: "finishUpload",
      tag,
      access: "project-write",
      summary: "Verifies a pack that was put into the store, and stores it under its name",
      params: z.object({ project: parameters.projectParameter, upload: z.string().max(100) }),
      answers: [
        {
          status: 201,
          description: "Its id, to be named by a landing",
          schema: shapes.storedPack,
          headers: { location: "Where it is" },
        },
      ],
      errors: ["not-found", "too-large", "corrupt", "unsupported"],
    },
    async (call) => {
      const project = await call.project();
      const { upload } = call.params;
      const { forge, signal } = call;
      if (forge.finishUpload === undefined) {
        throw new MicError("unsupported", "this server takes no packs past itself");
      }
      const size = uploadSize(upload);
      using _memory = await methodStateOf(call.state.context).uploads.take(size, signal);
      const pack = await callersPack(() => forge.finishUpload!(project, upload, { signal }));
      return jsonAnswer(201, { pack, size }, { location: `/api/mic/projects/${project}/packs/${pack}` });
    },
  ),
  defineRoute(
    {
      method: "GET",
      path: `${PROJECT}/packs/{pack}`,
      id: "getPack",
      tag,
      access: "project-read",
      summary: "A pack that was uploaded or landed",
      params: z.object({ project: parameters.projectParameter, pack: parameters.packParameter }),
      query: z.strictObject({
        redirect: z.enum(["yes", "no"]).optional().describe("`no`: the content itself, however large it is"),
      }),
      answers: [
        ...READ_ANSWERS,
        {
          status: 307,
          description: "A large pack is in the store itself; do not send the token there",
          headers: { location: "Where it is, for a while" },
        },
      ],
      errors: ["not-found", "out-of-range", "too-large", "unsupported"],
    },
    async (call) => {
      const { pack } = call.params;
      const { forge, signal } = call;
      const project = await call.project();
      const place = call.query.redirect === "no" ? undefined : await largePack(call, project, pack);
      if (place !== undefined) {
        return { kind: "empty", status: 307, headers: { location: place.url, "cache-control": "no-store" } };
      }
      if (forge.getPack === undefined)
        throw new MicError("unsupported", "this forge does not hand out packs");
      const bytes = await forge.getPack(project, pack, { signal });
      if (bytes === undefined) {
        throw new MicError("not-found", `there is no pack ${pack}`, { data: { object: pack } });
      }
      return bytesAnswer(call, pack, bytes, { "cache-control": IMMUTABLE });
    },
  ),
];

async function largePack(
  { forge, signal }: { readonly forge: Forge; readonly signal: AbortSignal },
  project: ProjectId,
  pack: PackId,
): Promise<PackPlace | undefined> {
  const place = await forge.findPackPlace?.(project, pack, { signal });
  return place === undefined || place.size < DIRECT_PACK_BYTES_MIN ? undefined : place;
}

/** What the caller sent is corrupt, not what is stored. */
async function callersPack(store: () => Promise<PackId>): Promise<PackId> {
  try {
    return await store();
  } catch (cause) {
    if (!isMicError(cause, "corrupt")) throw cause;
    throw new HttpError(400, "corrupt", cause.message, {
      cause,
      hint: "make the pack again",
      data: cause.data,
    });
  }
}
