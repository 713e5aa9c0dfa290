/** The operations of a server as the command line sees them: the composition root brings both together. */
import type { StartServerRequest } from "./server-program.ts";

export type OperationRequest = Pick<
  StartServerRequest,
  "flags" | "world" | "clock" | "random" | "version"
> & {
  readonly signal: AbortSignal;
};

export interface BackedUp {
  /** Undefined: there are none. */
  readonly accounts: { readonly users: number; readonly tokens: number } | undefined;
  /** Undefined: the forge is elsewhere. */
  readonly forge: { readonly projects: number; readonly objects: number; readonly bytes: number } | undefined;
}

export interface Finding {
  readonly name: string;
  readonly state: "ok" | "warn" | "fail";
  readonly detail: string;
  readonly hint?: string;
}

export interface OperationsProgram {
  backupServer(
    request: OperationRequest,
    file: string,
  ): Promise<BackedUp & { readonly file: string; readonly bytes: number }>;
  restoreServer(
    request: OperationRequest,
    file: string,
  ): Promise<BackedUp & { readonly dataDirectory: string; readonly createdAt: string; readonly mic: string }>;
  diagnoseServer(request: OperationRequest): Promise<readonly Finding[]>;
}
