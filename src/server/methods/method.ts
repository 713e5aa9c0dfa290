/**
 * A method of the API apart from its transport: how its messages are read and written, and what it does. The
 * adapters (../grpc, ../content) authenticate, frame, and watch deadlines; nothing here knows how a call came.
 */
import type { ProjectId } from "../../core/base/ids.ts";
import type { Access } from "../auth/access.ts";
import type { OwnedProjects } from "../auth/owned-projects.ts";
import type { Principal } from "../auth/principal.ts";
import type { ServerContext } from "../context.ts";
import type { MethodState } from "./method-state.ts";

/**
 * A message as it goes out, perhaps in parts: stored content is never copied to stand behind its header. The last
 * of several parts may be gone once the next message is asked for.
 */
export type Encoded = Uint8Array | readonly Uint8Array[];

export interface MethodCall {
  readonly context: ServerContext;
  readonly state: MethodState;
  readonly principal: Principal;
  /** Of the caller, for the audit log. */
  readonly address: string;
  /** Under which the caller sees this server; undefined where it cannot be told. */
  readonly origin: string | undefined;
  /** Projects and organizations as the caller may see and change them. */
  readonly projects: OwnedProjects;
  /** Fires when the caller is gone, cancelled, or out of time. */
  readonly signal: AbortSignal;
  /**
   * The id of the project that `text` names, if the caller may call the method on it: no method reaches a project in
   * another way. Errors: those of `Authorizer.project`.
   */
  project(text: string): ProjectId | Promise<ProjectId>;
  /** What `project` answered last. */
  readonly knownProject: ProjectId | undefined;
}

/** Requests as bytes; it ends where the caller has sent everything and throws `aborted` once `signal` fires. */
export type Requests<T> = AsyncIterable<T>;

export interface Method {
  /** `/mic.v1.ContentService/GetHead`. */
  readonly path: string;
  /** `mic.v1.ContentService`. */
  readonly service: string;
  readonly name: string;
  readonly access: Access;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  /** A call holds one of this many places of its caller; further ones wait. Absent: no limit. */
  readonly callsMax?: number;
  /** Bytes of one request message. */
  readonly requestBytesMax: number;
  /** For a method without a request stream. */
  readonly answer: Answer;
}

/** What a method does, by the two directions; bytes in, bytes out. */
export type Answer =
  | { readonly kind: "unary"; readonly run: (request: Uint8Array, call: MethodCall) => Promise<Encoded> }
  | {
      readonly kind: "client-stream";
      readonly run: (requests: Requests<Uint8Array>, call: MethodCall) => Promise<Encoded>;
    }
  | {
      readonly kind: "server-stream";
      readonly run: (request: Uint8Array, call: MethodCall) => AsyncIterable<Encoded>;
    };
