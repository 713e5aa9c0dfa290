/** What a store must do with one request at a time. */
import { equalBytes, utf8 } from "../../base/bytes.ts";
import type { Clock } from "../../base/clock.ts";
import { isMicError, MicError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import type { CommitOutcome, ETag, ObjectStore } from "../object-store.ts";

export interface ProbeContext {
  readonly store: ObjectStore;
  /** Of every key of this probe. */
  readonly prefix: string;
  readonly clock: Clock;
  readonly random: Random;
  /** At one key at once. */
  readonly writers: number;
  /** At most. */
  readonly pairRounds: number;
  readonly signal?: AbortSignal;
}

export interface ProbeFailure {
  readonly problem: string;
  readonly fix: string;
}

export interface Probe {
  readonly name: string;
  readonly rule: string;
  /** Undefined: the store did as the rule says. */
  run(context: ProbeContext): Promise<ProbeFailure | undefined>;
}

const CONDITIONS = "use a store that honours If-Match and If-None-Match on PUT";
const CONTENT_BYTES = 512;
/** A store refuses what was signed more than 15 minutes ago; on every store that is the longest of windows. */
const SIGNED_BEFORE_MS = 20 * 60_000;
const DEFINITE_ATTEMPTS = 8;
/** Stores that limit writes per key allow one in a second. */
const PAUSE_MS = 150;

export const PROBE_CHECKS: readonly Probe[] = [
  {
    name: "stale ETag",
    rule: "a write that expects an old version is refused",
    async run(context) {
      const key = `${context.prefix}stale`;
      const first = await create(context, key);
      const second = await replace(context, key, first);
      const outcome = await swap(context, key, first);
      const found = await context.store.get(key, signalOf(context));
      if (outcome.kind === "committed" || found?.etag !== second) {
        return { problem: "a write over a version that was replaced was accepted", fix: CONDITIONS };
      }
      return undefined;
    },
  },
  {
    name: "create over an object",
    rule: "a write that expects no object is refused where one is",
    async run(context) {
      const key = `${context.prefix}exists`;
      const etag = await create(context, key);
      const outcome = await swap(context, key, null);
      const found = await context.store.get(key, signalOf(context));
      if (outcome.kind === "committed" || found?.etag !== etag) {
        return { problem: "If-None-Match: * was ignored: an object was overwritten", fix: CONDITIONS };
      }
      return undefined;
    },
  },
  {
    name: "missing key",
    rule: "a write that expects a version is refused where no object is",
    async run(context) {
      const key = `${context.prefix}missing`;
      const etagOfAnother = await create(context, `${context.prefix}present`);
      const outcome = await swap(context, key, etagOfAnother);
      const found = await context.store.get(key, signalOf(context));
      if (outcome.kind === "committed" || found !== undefined) {
        return { problem: "If-Match was ignored: an object was created where none was", fix: CONDITIONS };
      }
      return undefined;
    },
  },
  {
    name: "ETags",
    rule: "PUT, GET, HEAD and a conditional GET agree on the ETag, and new content has another one",
    async run(context) {
      const { store } = context;
      const key = `${context.prefix}etag`;
      const first = await create(context, key);
      const read = await store.get(key, signalOf(context));
      if (read?.etag !== first) {
        return {
          problem: `a write gives the ETag ${first}, a read ${read?.etag ?? "no object"}`,
          fix: "take away what rewrites ETags between here and the store (a proxy that compresses, an encrypting gateway)",
        };
      }
      const head = canHead(store) ? await store.headEtag(key, signalOf(context)) : first;
      if (head !== first) {
        return {
          problem: `a write gives the ETag ${first}, a HEAD ${head ?? "no object"}`,
          fix: "take away what rewrites ETags between here and the store",
        };
      }
      if ((await store.revalidate(key, first, signalOf(context))) !== "unchanged") {
        return { problem: "a conditional read of the current version is not answered 304", fix: CONDITIONS };
      }
      const second = await replace(context, key, first);
      if (second === first) return { problem: "other content has the same ETag", fix: CONDITIONS };
      const fresh = await store.revalidate(key, first, signalOf(context));
      if (fresh === undefined || fresh === "unchanged" || fresh.etag !== second) {
        return {
          problem: "a conditional read does not see what was just written",
          fix: "name the store itself as the endpoint, not a cache or a replica",
        };
      }
      return undefined;
    },
  },
  {
    name: "old signature",
    rule: "a request that was signed 20 minutes ago is refused",
    async run(context) {
      const { store } = context;
      const key = `${context.prefix}signature`;
      const etag = await create(context, key);
      const checkedAtMs = (await store.nowMs()) - SIGNED_BEFORE_MS;
      const bytes = context.random.bytes(CONTENT_BYTES);
      const outcome = await store.commit([], { key, expected: etag, bytes, checkedAtMs }, signalOf(context));
      const found = await store.get(key, signalOf(context));
      if (outcome.kind === "committed" || found?.etag !== etag) {
        return {
          problem:
            "a write that was signed 20 minutes ago was accepted: one that is delayed could land at any time",
          fix: "use a store that enforces the 15 minutes of signature version 4",
        };
      }
      return undefined;
    },
  },
  {
    name: "list",
    rule: "what was written is listed at once, in order, page by page",
    async run(context) {
      const { store } = context;
      const prefix = `${context.prefix}list/`;
      // None is another's directory: servers that keep objects as files refuse that, and the forge never asks for it.
      const keys = ["a-b", "a/b", "a/c", "b", "e"].map((name) => prefix + name);
      await Promise.all(keys.map((key) => store.put(key, utf8(key), signalOf(context))));
      const listed: string[] = [];
      let isRightSize = true;
      for (let after: string | undefined; ; ) {
        const page = await store.list(prefix, {
          limit: 2,
          ...(after === undefined ? {} : { after }),
          ...signalOf(context),
        });
        for (const { key, size } of page.objects) {
          listed.push(key);
          if (size !== key.length) isRightSize = false;
        }
        after = page.next;
        if (after === undefined || listed.length > keys.length) break;
      }
      const isSame =
        listed.length === keys.length && listed.every((key, index) => key === [...keys].sort()[index]);
      if (isSame && isRightSize) return undefined;
      return {
        problem: `of ${keys.length} objects just written, a list shows ${listed.length}${isRightSize ? "" : ", with wrong sizes"}`,
        fix: "use a store whose lists are consistent and in byte order",
      };
    },
  },
  {
    name: "ranges",
    rule: "a part of an object can be read",
    async run(context) {
      const { store } = context;
      const key = `${context.prefix}range`;
      const bytes = context.random.bytes(3 * CONTENT_BYTES);
      await store.put(key, bytes, signalOf(context));
      const parts = [
        { offset: 7, length: CONTENT_BYTES },
        { offset: 2 * CONTENT_BYTES, length: 9 * CONTENT_BYTES },
        { offset: bytes.length + 1, length: 1 },
      ];
      const found = await Promise.all(parts.map((range) => store.get(key, { range, ...signalOf(context) })));
      const isRight = parts.every(({ offset, length }, index) =>
        sameBytes(found[index]?.bytes, bytes.subarray(offset, offset + length)),
      );
      return isRight
        ? undefined
        : { problem: "a range read gives other bytes", fix: "use a store with range reads" };
    },
  },
  {
    name: "delete",
    rule: "what was deleted is gone, and deleting it again is no error",
    async run(context) {
      const { store } = context;
      const keys = ["delete/1", "delete/2"].map((name) => context.prefix + name);
      await Promise.all(keys.map((key) => store.put(key, utf8(key), signalOf(context))));
      await store.delete(keys, signalOf(context));
      await store.delete(keys, signalOf(context));
      const left = await Promise.all(keys.map((key) => store.get(key, signalOf(context))));
      if (left.every((found) => found === undefined)) return undefined;
      return { problem: "an object that was deleted is still there", fix: "allow s3:DeleteObject" };
    },
  },
];

function signalOf({ signal }: ProbeContext): { readonly signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

async function swap(context: ProbeContext, key: string, expected: ETag | null): Promise<CommitOutcome> {
  const bytes = context.random.bytes(CONTENT_BYTES);
  return await context.store.commit([], { key, expected, bytes }, signalOf(context));
}

function create(context: ProbeContext, key: string): Promise<ETag> {
  return definite(context, key, () => swap(context, key, null));
}

function replace(context: ProbeContext, key: string, expected: ETag): Promise<ETag> {
  return definite(context, key, () => swap(context, key, expected));
}

/**
 * The ETag after a write that nobody disputes. An answer that is not definite (a store that limits writes per key, a
 * connection that broke) leads to a look at what is there. Errors: `unreachable` when none ever is.
 */
async function definite(
  context: ProbeContext,
  key: string,
  write: () => Promise<CommitOutcome>,
): Promise<ETag> {
  const before = await context.store.get(key, signalOf(context));
  let cause: unknown;
  for (let attempt = 0; attempt < DEFINITE_ATTEMPTS; attempt++) {
    const outcome = await write();
    if (outcome.kind === "committed") return outcome.etag;
    if (outcome.kind === "unknown") cause = outcome.cause;
    const found = await context.store.get(key, signalOf(context));
    if (found !== undefined && found.etag !== before?.etag) return found.etag;
    throwIfRefused(outcome);
    if (outcome.kind !== "unknown") {
      throw new MicError(
        "unsupported",
        `a conditional write that nothing speaks against is refused (${outcome.kind})`,
        {
          hint: CONDITIONS,
        },
      );
    }
    await context.clock.sleep(PAUSE_MS * (attempt + 1), context.signal);
  }
  throw new MicError("unreachable", `${context.store.description} gives no definite answer to a write`, {
    hint: "try again later",
    cause,
  });
}

const REFUSALS = ["unsupported", "forbidden", "unauthenticated"];

/** An answer that would be the same at any later time: nothing is gained by asking again. */
export function throwIfRefused(outcome: CommitOutcome): void {
  if (outcome.kind !== "unknown" || !isMicError(outcome.cause)) return;
  if (REFUSALS.includes(outcome.cause.code)) throw outcome.cause;
}

/** What only a store on HTTP can be asked. */
interface HeadStore {
  headEtag(key: string, options?: { readonly signal?: AbortSignal }): Promise<ETag | undefined>;
}

function canHead(store: object): store is HeadStore {
  return "headEtag" in store;
}

export function sameBytes(a: Uint8Array | undefined, b: Uint8Array): boolean {
  return a !== undefined && equalBytes(a, b);
}
