/** What the methods of one server share, whichever transport a call came by. */
import { type ProjectId, parseProjectId } from "../../core/base/ids.ts";
import { parseProjectName } from "../../core/base/project-name.ts";
import type { ServerContext } from "../context.ts";
import { ByteBudget } from "./byte-budget.ts";
import { CallGates } from "./call-gates.ts";

/** Bytes of uploads that are in memory at a time, over all callers; the rest wait in their sockets. */
export const UPLOAD_BYTES_MAX = 128 << 20;
const NAMES_MAX = 10_000;
const ID = /^[0-9a-f]{32}$/;

export class MethodState {
  readonly gates = new CallGates();
  readonly uploads = new ByteBudget(UPLOAD_BYTES_MAX);
  readonly #context: ServerContext;
  readonly #ids = new Map<string, ProjectId>();

  constructor(context: ServerContext) {
    this.#context = context;
  }

  /**
   * A name never means another project than the one it meant first, so what it means is remembered; whether the
   * project is still there is for the forge to say. Errors: `not-found`, `usage`.
   */
  async project(text: string, signal: AbortSignal): Promise<ProjectId> {
    if (ID.test(text)) return text as ProjectId;
    const known = this.#ids.get(text);
    if (known !== undefined) return known;
    if (!text.includes("/")) return parseProjectId(text);
    parseProjectName(text);
    const { id } = await this.#context.forge.getProject(text, { signal });
    if (this.#ids.size >= NAMES_MAX) this.#ids.clear();
    this.#ids.set(text, id);
    return id;
  }
}

const STATES = new WeakMap<ServerContext, MethodState>();

/** One for each server, so that gRPC and HTTP/1.1 count together. */
export function methodStateOf(context: ServerContext): MethodState {
  let state = STATES.get(context);
  if (state === undefined) {
    state = new MethodState(context);
    STATES.set(context, state);
  }
  return state;
}
