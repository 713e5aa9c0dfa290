/**
 * Organizations. One is there as soon as it has a record of its own or a project ever had a name in it: forges
 * whose projects are older than the records need nothing to be written.
 */
import { bytesToHex } from "../../base/bytes.ts";
import { isMicError, MicError } from "../../base/errors.ts";
import { parseOrgName } from "../../base/project-name.ts";
import { DESCRIPTION_BYTES_MAX, decodeMeta } from "../../codec/meta.ts";
import { decodeName } from "../../codec/name.ts";
import { decodeOrganization, encodeOrganization, type OrganizationRecord } from "../../codec/organization.ts";
import {
  metaKey,
  NAMES_PREFIX,
  ORGANIZATIONS_PREFIX,
  organizationKey,
  orgPrefix,
} from "../../objects/keys.ts";
import type { ObjectStore } from "../../store/object-store.ts";
import type {
  CallOptions,
  CreateOrganization,
  OrganizationInfo,
  PageRequest,
  PartialPage,
} from "../forge.ts";
import { type SwapContext, swapLoop } from "../swap-loop.ts";

const LIST_LIMIT_DEFAULT = 100;
const LIST_LIMIT_MAX = 1000;
/** Organizations read at once. */
const READ_TOGETHER = 32;
const NONCE_BYTES = 16;

/** Errors: `usage` for an invalid name, `too-large`, `already-exists`. */
export async function createOrganization(
  context: SwapContext,
  request: CreateOrganization,
  options: CallOptions = {},
): Promise<OrganizationInfo> {
  const name = parseOrgName(request.name);
  const fresh = freshRecord(context, name, request.description ?? "");
  if ((await readDerived(context, name, options)) !== undefined) throw organizationTaken(name);
  const stored = await changeOrganization(context, name, options.signal, (current) => {
    if (current !== undefined && current.nonce !== fresh.nonce) throw organizationTaken(name);
    return current ?? fresh;
  });
  return toInfo(stored);
}

/** For the first project in it. Whose creation wins does not matter. */
export async function ensureOrganization(
  context: SwapContext,
  name: string,
  signal?: AbortSignal,
): Promise<void> {
  const fresh = freshRecord(context, parseOrgName(name), "");
  await changeOrganization(context, name, signal, (current) => current ?? fresh);
}

/** Errors: `not-found`, `usage` for an invalid name. */
export async function getOrganization(
  context: SwapContext,
  name: string,
  options: CallOptions = {},
): Promise<OrganizationInfo> {
  const found = await readOrganization(context, parseOrgName(name), options);
  if (found !== undefined) return found;
  throw new MicError("not-found", `there is no organization ${name}`, {
    hint: "check the name, or list organizations with `mic org list`",
  });
}

/** In the order in which their projects are listed: that of `name/`. What is damaged is left out, and named. */
export async function listOrganizations(
  context: SwapContext,
  request: PageRequest,
  options: CallOptions = {},
): Promise<PartialPage<OrganizationInfo>> {
  const limit = Math.min(Math.max(1, request.limit ?? LIST_LIMIT_DEFAULT), LIST_LIMIT_MAX);
  const names: string[] = [];
  for await (const name of organizationNames(context.store, request.after, options)) {
    names.push(name);
    if (names.length > limit) break;
  }
  const shown = names.slice(0, limit);
  const items: OrganizationInfo[] = [];
  const damaged: string[] = [];
  const read = async (name: string): Promise<OrganizationInfo | undefined> => {
    try {
      return await getOrganization(context, name, options);
    } catch (error) {
      if (!isMicError(error, "corrupt") && !isMicError(error, "unsupported")) throw error;
      damaged.push(name);
      return undefined;
    }
  };
  for (let start = 0; start < shown.length; start += READ_TOGETHER) {
    const together = shown.slice(start, start + READ_TOGETHER);
    for (const info of await Promise.all(together.map(read))) if (info !== undefined) items.push(info);
  }
  return {
    items,
    ...(names.length > limit ? { next: shown.at(-1)! } : {}),
    ...(damaged.length === 0 ? {} : { damaged }),
  };
}

async function readOrganization(
  context: SwapContext,
  name: string,
  options: CallOptions,
): Promise<OrganizationInfo | undefined> {
  const stored = await context.store.get(organizationKey(name), options);
  if (stored === undefined) return await readDerived(context, name, options);
  return toInfo(decodeOrganizationOf(name, stored.bytes));
}

/** Of an organization without a record: as old as the project whose name comes first. */
async function readDerived(
  context: SwapContext,
  name: string,
  options: CallOptions,
): Promise<OrganizationInfo | undefined> {
  const { store } = context;
  const [first] = (await store.list(orgPrefix(name), { limit: 1, ...options })).objects;
  if (first === undefined) return undefined;
  const record = await store.get(first.key, options);
  const meta = record && (await store.get(metaKey(decodeName(record.bytes).project), options));
  return { name, description: "", createdAtMs: meta === undefined ? 0 : decodeMeta(meta.bytes).createdAtMs };
}

/** Those with a record and those with projects, each once. */
async function* organizationNames(
  store: ObjectStore,
  after: string | undefined,
  options: CallOptions,
): AsyncGenerator<string> {
  const sources = [ORGANIZATIONS_PREFIX, NAMES_PREFIX].map((prefix) =>
    firstComponents(store, prefix, after, options),
  );
  let heads = await Promise.all(sources.map((source) => source.next()));
  for (;;) {
    const names = heads.flatMap((head) => (head.done ? [] : [head.value]));
    if (names.length === 0) return;
    const least = names.reduce((a, b) => (`${a}/` < `${b}/` ? a : b));
    yield least;
    heads = await Promise.all(
      heads.map((head, i) => (!head.done && head.value === least ? sources[i]!.next() : head)),
    );
  }
}

/** The different first components of the keys below a prefix, however many keys each has. */
async function* firstComponents(
  store: ObjectStore,
  prefix: string,
  after: string | undefined,
  options: CallOptions,
): AsyncGenerator<string, undefined> {
  let last = after;
  for (;;) {
    const page = await store.list(prefix, {
      ...(last === undefined ? {} : { after: `${prefix}${last}${AFTER_SLASH}` }),
      ...options,
    });
    for (const { key } of page.objects) {
      const name = key.slice(prefix.length, key.indexOf("/", prefix.length));
      if (name !== last) yield name;
      last = name;
    }
    if (page.next === undefined) return undefined;
  }
}

/** The character after `/`: `x0` comes after every key below `x/` and before those of the next component. */
const AFTER_SLASH = "0";

function changeOrganization(
  context: SwapContext,
  name: string,
  signal: AbortSignal | undefined,
  change: (current: OrganizationRecord | undefined) => OrganizationRecord,
): Promise<OrganizationRecord> {
  return swapLoop(context, {
    key: organizationKey(name),
    what: `the organization ${name}`,
    decode: (bytes) => decodeOrganizationOf(name, bytes),
    encode: encodeOrganization,
    change,
    signal,
  });
}

function freshRecord(context: SwapContext, name: string, description: string): OrganizationRecord {
  if (Buffer.byteLength(description) > DESCRIPTION_BYTES_MAX) {
    throw new MicError("too-large", `a description is at most ${DESCRIPTION_BYTES_MAX} bytes`);
  }
  const createdAtMs = Math.max(1, Math.floor(context.clock.nowMs()));
  return { name, description, createdAtMs, nonce: bytesToHex(context.random.bytes(NONCE_BYTES)) };
}

export function decodeOrganizationOf(name: string, bytes: Uint8Array): OrganizationRecord {
  const record = decodeOrganization(bytes);
  if (record.name === name) return record;
  throw new MicError("corrupt", `the record of the organization ${name} is that of ${record.name}`);
}

function toInfo({ name, description, createdAtMs }: OrganizationRecord): OrganizationInfo {
  return { name, description, createdAtMs };
}

function organizationTaken(name: string): MicError {
  return new MicError("already-exists", `there is an organization ${name} already`, {
    hint: "choose another name",
    data: { organization: name },
  });
}
