/** What both adapters do with every call before its method runs. */
import type { ProjectId } from "../../core/base/ids.ts";
import type { Principal, ServerContext } from "../context.ts";
import type { Method, MethodCall } from "./method.ts";
import { type MethodState, methodStateOf } from "./method-state.ts";

class OpenCall implements MethodCall {
  readonly context: ServerContext;
  readonly state: MethodState;
  readonly principal: Principal;
  readonly signal: AbortSignal;

  constructor(context: ServerContext, principal: Principal, signal: AbortSignal) {
    this.context = context;
    this.state = methodStateOf(context);
    this.principal = principal;
    this.signal = signal;
  }

  project(text: string): Promise<ProjectId> {
    return this.state.project(text, this.signal);
  }
}

export function openCall(context: ServerContext, principal: Principal, signal: AbortSignal): MethodCall {
  return new OpenCall(context, principal, signal);
}

/** Waits for one of the caller's places, where the method has any. */
export async function enter(method: Method, call: MethodCall): Promise<Disposable | undefined> {
  if (method.callsMax === undefined) return undefined;
  return call.state.gates.enter(call.principal.account, method.path, method.callsMax, call.signal);
}
