/** What the server sees of the replica of its accounts. */
import type { AuthDatabase } from "../database/auth-database.ts";
import type { AccountsDurability } from "../durability.ts";

export interface ReplicaStatus {
  readonly role: "primary" | "follower";
  /** Of the primary; 0 before there was one. */
  readonly generation: number;
  /** Milliseconds since the oldest change that the replica (primary) or this server (follower) does not have; 0: none. */
  readonly lagMs: number;
  /** How often Litestream was started again. */
  readonly restarts: number;
  /** For people and /readyz; undefined: all is well. */
  readonly problem: string | undefined;
}

export interface AccountsReplica extends AccountsDurability, AsyncDisposable {
  /** False: accounts are only read here, and changes go to `primaryUrl`. May change at any time. */
  readonly isPrimary: boolean;
  /** `http(s)://host[:port]`; undefined while nobody is the primary, or where it is this server. */
  readonly primaryUrl: string | undefined;
  status(): ReplicaStatus;
  /** Before anybody writes to it. It was opened for writing, with the file that `open` left. */
  attach(database: AuthDatabase): Promise<void>;
  /** Where this server listens, for others. */
  announce(url: string): void;
  /** Gives the lease up after a last sync. Before the database is closed; again does nothing. */
  close(): Promise<void>;
}
