/** Calls that are running when what allowed them is taken away: their token, their caller's role, a project's visibility. */
import { isMicError, MicError } from "../../core/base/errors.ts";
import type { ProjectId } from "../../core/base/ids.ts";
import type { ServerContext } from "../context.ts";
import type { Access } from "./access.ts";
import type { Principal } from "./principal.ts";

export interface WatchCall {
  readonly context: Pick<ServerContext, "authorizer">;
  readonly principal: Principal;
  readonly access: Access;
  /** What the call is about, once it is known. */
  readonly project: () => ProjectId | undefined;
  /** Called once; never after this is disposed of. */
  readonly end: (reason: MicError) => void;
}

/** Ends a call that lasts when it would be refused if it began now. */
export class LastingCall implements Disposable {
  readonly #call: WatchCall;
  readonly #stopListening: () => void;
  #isOver = false;

  constructor(call: WatchCall) {
    this.#call = call;
    const { ended } = call.principal;
    this.#stopListening = call.context.authorizer.onChange(() => void this.#ask());
    if (ended.aborted) this.#onEnded();
    else ended.addEventListener("abort", this.#onEnded, { once: true });
  }

  readonly #onEnded = (): void => this.#end(tokenEnded());

  async #ask(): Promise<void> {
    const { context, principal, access } = this.#call;
    const project = this.#call.project();
    if (project === undefined) return;
    let refusal: MicError | undefined;
    try {
      refusal = await context.authorizer.refusal(principal, access, project);
    } catch (error) {
      // A store that does not answer takes nothing away; whatever else goes wrong must not let the call go on.
      if (isMicError(error) && error.kind === "retry") return;
      refusal = isMicError(error)
        ? error
        : new MicError("internal", "bug: asking again failed", { cause: error });
    }
    if (refusal !== undefined) this.#end(refusal);
  }

  #end(reason: MicError): void {
    if (this.#isOver) return;
    this[Symbol.dispose]();
    this.#call.end(reason);
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#stopListening();
    this.#call.principal.ended.removeEventListener("abort", this.#onEnded);
  }
}

function tokenEnded(): MicError {
  return new MicError("unauthenticated", "the token has expired or was revoked", {
    hint: "call again; where that is refused, sign in: mic auth login",
  });
}
