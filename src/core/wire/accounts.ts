/** Users' own accounts on the wire. */
import { MicError } from "../base/errors.ts";
import { Scope as WireScope } from "./gen/mic/v1/accounts.ts";

export type Scope = "read" | "write" | "admin";

const SCOPE_TO_WIRE: Readonly<Record<Scope, WireScope>> = {
  read: WireScope.READ,
  write: WireScope.WRITE,
  admin: WireScope.ADMIN,
};

export function scopeToWire(scope: Scope): WireScope {
  return SCOPE_TO_WIRE[scope];
}

/** Undefined where it is not given. Errors: `usage`. */
export function scopeFromWire(value: WireScope): Scope | undefined {
  if (value === WireScope.UNSPECIFIED) return undefined;
  if (value === WireScope.READ) return "read";
  if (value === WireScope.WRITE) return "write";
  if (value === WireScope.ADMIN) return "admin";
  throw new MicError("usage", `scope ${value} is not known`);
}
