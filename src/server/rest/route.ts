/** A row of the table of routes: what the router matches, what the OpenAPI document says and what answers. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { z } from "zod";
import type { ErrorCode } from "../../core/base/errors.ts";
import type { ProjectId } from "../../core/base/ids.ts";
import type { Forge } from "../../core/forge/forge.ts";
import type { Access } from "../auth/access.ts";
import type { OwnedProjects } from "../auth/owned-projects.ts";
import type { Principal } from "../auth/principal.ts";
import type { Answer } from "./answer.ts";
import type { RestState } from "./rest-state.ts";

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** One call of a handler. */
export interface Call<Params, Query, Body> {
  readonly state: RestState;
  readonly forge: Forge;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly isHead: boolean;
  readonly principal: Principal;
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  /** Fires when the client is gone. Reads take it; what changes something runs to its end. */
  readonly signal: AbortSignal;
  /** Projects and organizations as the caller may see and change them. */
  readonly projects: OwnedProjects;
  /**
   * The id behind the `project` parameter, if the caller may do this with it: no route reaches a project in another
   * way. Errors: those of `Authorizer.project`.
   */
  project(): ProjectId | Promise<ProjectId>;
}

export type RequestBody =
  | { readonly kind: "json"; readonly schema: z.ZodType; readonly optional?: boolean }
  /** The handler reads the request itself. */
  | { readonly kind: "bytes"; readonly description: string };

export interface AnswerDefinition {
  readonly status: number;
  readonly description: string;
  readonly type?: string;
  /** Of a JSON body. */
  readonly schema?: z.ZodType;
  /** Names of headers worth telling about, with what they say. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface RouteFields {
  readonly method: Method;
  /** `{name}` is one segment, `{+name}` all that is left. */
  readonly path: string;
  /** `operationId`. */
  readonly id: string;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  readonly params?: z.ZodObject;
  readonly query?: z.ZodObject;
  readonly body?: RequestBody;
  readonly answers: readonly AnswerDefinition[];
  /** Beyond those that any route may have: see openapi.ts. */
  readonly errors?: readonly ErrorCode[];
  /** What it asks of its caller. */
  readonly access: Access;
  /** It changes users, tokens or roles: where they are kept, not where they are followed. */
  readonly changesAccounts?: boolean;
}

export interface Route extends RouteFields {
  handle(call: Call<unknown, unknown, unknown>): Answer | Promise<Answer>;
}

type OutputOf<T> = T extends z.ZodType ? z.output<T> : unknown;
type BodyOf<T> = T extends { readonly kind: "json"; readonly schema: infer S } ? OutputOf<S> : undefined;

/** Types a handler by the schemas beside it. */
export function defineRoute<const F extends RouteFields>(
  fields: F,
  handle: (
    call: Call<OutputOf<F["params"]>, OutputOf<F["query"]>, BodyOf<F["body"]>>,
  ) => Answer | Promise<Answer>,
): Route {
  return { ...fields, handle: handle as Route["handle"] };
}
