/**
 * Whether what was written to the auth database outlives this machine, and reaches the other servers. Whoever takes
 * something away (a token, a family, a role, a password, a user's access) calls `flushed` after the write and before
 * it answers: the answer says that it is gone everywhere.
 */
export interface AccountsDurability {
  /**
   * Resolves when everything that was written before the call is in the replica; at once where there is none.
   * Errors: `unreachable` when the replica cannot be reached in time (what was written is in force on this server and
   * may not be on others), or when this server is the primary no more. The same call may be repeated.
   */
  flushed(): Promise<void>;
}

/** For a server without a replica: the disk is all there is. */
export const LOCAL_DURABILITY: AccountsDurability = { flushed: () => Promise.resolve() };
