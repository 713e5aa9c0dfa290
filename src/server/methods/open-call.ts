/** What both adapters do with every call before its method runs. */
import type { MicError } from "../../core/base/errors.ts";
import type { ProjectId } from "../../core/base/ids.ts";
import type { Access } from "../auth/access.ts";
import { LastingCall } from "../auth/lasting-call.ts";
import type { OwnedProjects } from "../auth/owned-projects.ts";
import type { Principal } from "../auth/principal.ts";
import type { ServerContext } from "../context.ts";
import { addressBlock } from "../network/client-address.ts";
import type { Method, MethodCall } from "./method.ts";
import { type MethodState, methodStateOf } from "./method-state.ts";

/** Where a call came from; each is asked for only where it is needed. */
export interface CallOrigin {
  address(): string;
  origin(): string | undefined;
}

class OpenCall implements MethodCall {
  readonly context: ServerContext;
  readonly state: MethodState;
  readonly principal: Principal;
  readonly signal: AbortSignal;
  readonly #access: Access;
  readonly #from: CallOrigin;
  knownProject: ProjectId | undefined;

  constructor(
    context: ServerContext,
    principal: Principal,
    access: Access,
    signal: AbortSignal,
    from: CallOrigin,
  ) {
    this.context = context;
    this.state = methodStateOf(context);
    this.principal = principal;
    this.signal = signal;
    this.#access = access;
    this.#from = from;
  }

  get address(): string {
    return this.#from.address();
  }

  get origin(): string | undefined {
    return this.#from.origin();
  }

  get projects(): OwnedProjects {
    return this.context.projects;
  }

  project(text: string): ProjectId | Promise<ProjectId> {
    const id = this.context.authorizer.project(this.principal, this.#access, text, this.signal);
    if (typeof id === "string") {
      this.knownProject = id;
      return id;
    }
    return id.then((found) => {
      this.knownProject = found;
      return found;
    });
  }
}

/** Errors: those of `Authorizer.admit`. */
export function openCall(
  context: ServerContext,
  principal: Principal,
  { access }: Pick<Method, "access">,
  signal: AbortSignal,
  from: CallOrigin,
): MethodCall {
  context.authorizer.admit(principal, access);
  return new OpenCall(context, principal, access, signal, from);
}

/** For calls that last: `end` is called when they would be refused if they began now. */
export function watchCall(
  opened: MethodCall,
  { access }: Method,
  end: (reason: MicError) => void,
): LastingCall {
  const { context, principal } = opened;
  return new LastingCall({ context, principal, access, project: () => opened.knownProject, end });
}

/**
 * Waits for one of the caller's places, where the method has any. Those who have not signed in are told apart by their
 * addresses, so that none of them holds the places of all.
 */
export async function enter(method: Method, call: MethodCall): Promise<Disposable | undefined> {
  if (method.callsMax === undefined) return undefined;
  const caller = call.principal.userId ?? addressBlock(call.address);
  return call.state.gates.enter(caller, method.path, method.callsMax, call.signal);
}
