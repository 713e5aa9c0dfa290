/** What the server says of itself, to anybody. */

import { utf8 } from "../../../core/base/bytes.ts";
import { hashObject } from "../../../core/base/hash.ts";
import type { Answer } from "../answer.ts";
import { LLMS_TEXT } from "../llms-text.ts";
import { isNotModified } from "../range.ts";
import { type Call, defineRoute, type Route } from "../route.ts";
import { SKILL_TEXT } from "../skill-text.ts";

const tag = "about";
const MARKDOWN_TYPE = "text/markdown; charset=utf-8";
const PLAIN_TYPE = "text/plain; charset=utf-8";
const unchanged = { status: 304, description: "The caller has it" };

export const aboutRoutes: readonly Route[] = [
  defineRoute(
    {
      method: "GET",
      path: "/api/openapi.json",
      id: "getOpenApi",
      tag,
      summary: "This document",
      access: "anyone",
      answers: [{ status: 200, description: "OpenAPI 3.1", type: "application/json" }, unchanged],
    },
    (call) => textAnswer(call, "application/json", call.state.openApiText()),
  ),
  defineRoute(
    {
      method: "GET",
      path: "/SKILL.md",
      id: "getSkill",
      tag,
      summary: "How an agent clones, edits and lands with nothing but curl",
      access: "anyone",
      answers: [{ status: 200, description: "Markdown", type: MARKDOWN_TYPE }, unchanged],
    },
    (call) => textAnswer(call, MARKDOWN_TYPE, SKILL_TEXT),
  ),
  defineRoute(
    {
      method: "GET",
      path: "/llms.txt",
      id: "getLlmsText",
      tag,
      summary: "Where to read about this server",
      access: "anyone",
      answers: [{ status: 200, description: "Markdown", type: PLAIN_TYPE }, unchanged],
    },
    (call) => textAnswer(call, PLAIN_TYPE, LLMS_TEXT),
  ),
];

const etags = new Map<string, string>();

function textAnswer(call: Call<unknown, unknown, unknown>, type: string, text: string): Answer {
  const etag = etags.get(text) ?? `"${hashObject(utf8(text)).slice(0, 16)}"`;
  etags.set(text, etag);
  const headers = {
    "content-type": type,
    "cache-control": "public, max-age=300",
    "x-content-type-options": "nosniff",
    etag,
  };
  if (isNotModified(call.request, etag)) return { kind: "empty", status: 304, headers };
  return { kind: "text", status: 200, headers, text };
}
