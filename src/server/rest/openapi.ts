/** The OpenAPI 3.1 document, made from the table of routes. */
import { z } from "zod";
import type { ErrorCode } from "../../core/base/errors.ts";
import { httpStatusOf } from "../http-status.ts";
import { parameterSchemas } from "./parameters.ts";
import { PROBLEM_TYPE } from "./problem.ts";
import type { AnswerDefinition, Route } from "./route.ts";
import { components, problem } from "./schemas.ts";

type Json = Record<string, unknown>;

/** What any route may answer, beyond what it declares. */
const COMMON_ERRORS: readonly ErrorCode[] = ["usage", "rate-limited", "unreachable", "internal", "corrupt"];
const PRIVATE_ERRORS: readonly ErrorCode[] = ["unauthenticated", "forbidden"];
/** Of a path, or of a body. */
const INPUT_ERRORS: readonly ErrorCode[] = ["too-large"];
/** Answers of the protocol itself. */
const NOT_ACCEPTABLE = 406;
const UNSUPPORTED_MEDIA_TYPE = 415;
const RANGE_NOT_SATISFIABLE = 416;

export function openApiDocument(version: string, routes: readonly Route[]): Json {
  const schemas: Json = {};
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    const path = route.path.replace("{+", "{");
    paths[path] ??= {};
    paths[path][route.method.toLowerCase()] = operationOf(route, schemas);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "mic",
      version,
      summary: "Version control for many writers at once, people and agents",
      description:
        "Errors are RFC 9457 problem documents; `code` is what scripts look at. /SKILL.md shows a whole session " +
        "with curl.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    security: [{ token: [] }],
    tags: [...new Set(routes.map(({ tag }) => tag))].map((name) => ({ name })),
    paths,
    components: {
      schemas,
      securitySchemes: { token: { type: "http", scheme: "bearer" } },
    },
  };
}

/** Statuses that a route declares, with those that any route may have: for whoever checks answers. */
export function statusesOf(route: Route): ReadonlySet<number> {
  return new Set([...route.answers.map(({ status }) => status), ...problemsOf(route).keys()]);
}

function operationOf(route: Route, schemas: Json): Json {
  const parameters = [
    ...parametersIn("path", route.params, schemas),
    ...parametersIn("query", route.query, schemas),
  ];
  return {
    operationId: route.id,
    tags: [route.tag],
    summary: route.summary,
    ...(route.description === undefined ? {} : { description: route.description }),
    ...securityOf(route),
    "x-access": route.access,
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(route.body === undefined ? {} : { requestBody: bodyOf(route.body, schemas) }),
    responses: responsesOf(route, schemas),
  };
}

/** An empty requirement: a token is not needed where the project is public. */
function securityOf({ access }: Route): Json {
  if (access === "anyone") return { security: [] };
  return access === "project-read" || access === "organization-read" ? { security: [{ token: [] }, {}] } : {};
}

function parametersIn(place: "path" | "query", object: z.ZodObject | undefined, schemas: Json): Json[] {
  return Object.entries(object?.shape ?? {}).map(([name, value]) => {
    const schema = value as z.ZodType;
    const { description, ...rest } = schemaOf(schema, schemas, "input") as Json & { description?: string };
    return {
      name,
      in: place,
      required: place === "path" || !schema.safeParse(undefined).success,
      ...(description === undefined ? {} : { description }),
      ...(rest["type"] === "array" ? { style: "form", explode: true } : {}),
      schema: rest,
    };
  });
}

function bodyOf(body: NonNullable<Route["body"]>, schemas: Json): Json {
  if (body.kind === "bytes") {
    return {
      required: true,
      description: body.description,
      content: { "application/octet-stream": { schema: {} } },
    };
  }
  const schema = schemaOf(body.schema, schemas, "input");
  return { required: body.optional !== true, content: { "application/json": { schema } } };
}

function responsesOf(route: Route, schemas: Json): Json {
  const responses: Record<string, Json> = {};
  for (const answer of route.answers) {
    const response = responses[answer.status] ?? { description: answer.description };
    responses[answer.status] = response;
    const content = contentOf(answer, schemas);
    if (content !== undefined) response["content"] = { ...(response["content"] as Json), ...content };
    if (answer.headers === undefined) continue;
    response["headers"] = Object.fromEntries(
      Object.entries(answer.headers).map(([name, description]) => [
        name,
        { description, schema: { type: "string" } },
      ]),
    );
  }
  const problemContent = { [PROBLEM_TYPE]: { schema: schemaOf(problem, schemas, "output") } };
  for (const [status, description] of problemsOf(route)) {
    responses[status] = { description, content: problemContent };
  }
  return responses;
}

function contentOf({ type, schema }: AnswerDefinition, schemas: Json): Json | undefined {
  if (schema !== undefined) return { "application/json": { schema: schemaOf(schema, schemas, "output") } };
  return type === undefined ? undefined : { [type]: { schema: {} } };
}

function problemsOf(route: Route): Map<number, string> {
  const codes = new Set<ErrorCode>([
    ...COMMON_ERRORS,
    ...(route.access === "anyone" ? [] : PRIVATE_ERRORS),
    ...(route.body === undefined && route.params === undefined ? [] : INPUT_ERRORS),
    ...(route.errors ?? []),
  ]);
  const byStatus = new Map<number, string>();
  for (const code of codes) {
    const status = httpStatusOf(code);
    const before = byStatus.get(status);
    byStatus.set(status, before === undefined ? `Code ${code}` : `${before}, ${code}`);
  }
  byStatus.set(NOT_ACCEPTABLE, "Accept excludes what this answers with");
  if (route.body !== undefined) byStatus.set(UNSUPPORTED_MEDIA_TYPE, "The body has another type or encoding");
  if (route.answers.some(({ status }) => status === 206)) {
    byStatus.set(RANGE_NOT_SATISFIABLE, "The range is beyond the content");
  }
  return new Map([...byStatus].sort(([a], [b]) => a - b));
}

/** Named shapes become references to `schemas`, where they are added. */
function schemaOf(schema: z.ZodType, schemas: Json, io: "input" | "output"): Json {
  const made = z.toJSONSchema(z.object({ value: schema }), {
    metadata: components,
    io,
    unrepresentable: "any",
    override: ({ zodSchema, jsonSchema }) => {
      const known = parameterSchemas.get(zodSchema as unknown as z.ZodType);
      if (known !== undefined) {
        for (const name of Object.keys(jsonSchema)) delete (jsonSchema as Json)[name];
        Object.assign(jsonSchema, known.schema);
      }
      const described = z.globalRegistry.get(zodSchema as unknown as z.ZodType)?.description;
      if (described !== undefined) jsonSchema.description = described;
      // Answers may gain fields; bodies with fields that mean nothing are refused.
      if (io === "output" && jsonSchema.additionalProperties === false)
        delete jsonSchema.additionalProperties;
    },
  }) as unknown as { readonly $defs?: Json; readonly properties: { readonly value: Json } };
  const text = JSON.stringify({ defs: made.$defs ?? {}, value: made.properties.value });
  const { defs, value } = JSON.parse(text.replaceAll('"#/$defs/', '"#/components/schemas/')) as {
    defs: Record<string, Json>;
    value: Json;
  };
  for (const [name, each] of Object.entries(defs)) {
    const { id: _, ...rest } = each;
    schemas[name] = rest;
  }
  return value;
}
