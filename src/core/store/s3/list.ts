/** ListObjectsV2: pages of keys in byte order. */
import { isMicError, MicError } from "../../base/errors.ts";
import type { ListedObject, ListPage } from "../object-store.ts";
import { isStoreKey } from "../store-key.ts";
import type { S3Client } from "./client.ts";
import type { TransportAnswer } from "./transport.ts";
import { childrenNamed, childText, parseXml, type XmlElement } from "./xml.ts";

export interface ListRequest {
  readonly prefix: string;
  readonly limit: number;
  readonly after: string | undefined;
  readonly signal: AbortSignal | undefined;
}

interface RawPage {
  readonly objects: ListedObject[];
  readonly isTruncated: boolean;
  /** Where the rest begins, for a page that has no key to say it. */
  readonly token: string | undefined;
}

/**
 * Keys that no store of ours can have (a console's `folder/`, other programs' names with spaces) are left out.
 * A page may then be short, but an empty one is the end: callers ask for one key to learn whether there is any.
 */
export async function listPage(
  client: S3Client,
  storePrefix: string,
  request: ListRequest,
): Promise<ListPage> {
  for (let { after } = request; ; ) {
    const page = await ownPage(client, storePrefix, { ...request, after });
    if (page.objects.length > 0 || page.next === undefined) return page;
    after = page.next;
  }
}

async function ownPage(client: S3Client, storePrefix: string, request: ListRequest): Promise<ListPage> {
  const query: Record<string, string> = {
    "list-type": "2",
    "encoding-type": "url",
    "max-keys": String(request.limit),
    prefix: storePrefix + request.prefix,
  };
  const after = request.after === undefined ? undefined : storePrefix + request.after;
  const start: Record<string, string> = after === undefined ? {} : { "start-after": after };
  let page = await askForPage(client, { ...query, ...start }, request);
  // Where much was deleted, a store may stop looking before it has found anything. That is not the end.
  for (let seen: string | undefined; page.isTruncated && page.objects.length === 0; ) {
    const { token } = page;
    if (token === undefined || token === "" || token === seen) {
      throw new MicError("unsupported", `${client.origin} says that a list goes on, and not where`, {
        hint: "run `mic storage probe` to see what the store lacks",
        data: { prefix: request.prefix },
      });
    }
    seen = token;
    page = await askForPage(client, { ...query, "continuation-token": token }, request);
  }
  const { objects, isTruncated } = page;
  checkOrder(client.origin, objects, after);
  const own: ListedObject[] = [];
  for (const { key, size } of objects) {
    const name = key.slice(storePrefix.length);
    if (key.startsWith(storePrefix) && isStoreKey(name)) own.push({ key: name, size });
  }
  const last = objects.at(-1)?.key;
  if (!isTruncated || last === undefined) return { objects: own };
  return { objects: own, next: last.slice(storePrefix.length) };
}

async function askForPage(
  client: S3Client,
  query: Readonly<Record<string, string>>,
  { prefix, signal }: ListRequest,
): Promise<RawPage> {
  let page: RawPage | undefined;
  await client.ask(
    { operation: "list", method: "GET", query, signal },
    `listing ${prefix === "" ? "the bucket" : prefix}`,
    (answer) => {
      page = answer.status === 200 ? readPage(answer) : undefined;
      return page !== undefined;
    },
  );
  return page!;
}

/**
 * A store that does not know `start-after`, or has no order, would be listed for ever or in part. Only ASCII is
 * compared: other keys are not ours, and stores order them in their own ways.
 */
function checkOrder(origin: string, objects: readonly ListedObject[], after: string | undefined): void {
  let last = after ?? "";
  for (const { key } of objects) {
    if (ASCII.test(last) && ASCII.test(key) && key <= last) {
      throw new MicError("unsupported", `${origin} lists keys out of order, or again`, {
        hint: "run `mic storage probe` to see what the store lacks",
        data: { key, after: last },
      });
    }
    last = key;
  }
}

const ASCII = /^[\x20-\x7e]*$/;

/** `undefined` for what is no whole page: an answer that was cut off, an error under status 200. */
function readPage(answer: TransportAnswer): RawPage | undefined {
  let root: XmlElement;
  try {
    root = parseXml(new TextDecoder().decode(answer.body));
  } catch (error) {
    if (isMicError(error, "corrupt")) return undefined;
    throw error;
  }
  if (root.name !== "ListBucketResult") return undefined;
  const isEncoded = childText(root, "EncodingType") === "url";
  const objects: ListedObject[] = [];
  for (const element of childrenNamed(root, "Contents")) {
    const raw = childText(element, "Key");
    const size = Number(childText(element, "Size"));
    if (raw === undefined || !Number.isSafeInteger(size)) return undefined;
    const key = isEncoded ? decodeKey(raw) : raw;
    if (key === undefined) return undefined;
    objects.push({ key, size });
  }
  return {
    objects,
    isTruncated: childText(root, "IsTruncated") === "true",
    token: childText(root, "NextContinuationToken"),
  };
}

function decodeKey(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll("+", "%20"));
  } catch (error) {
    if (error instanceof URIError) return undefined;
    throw error;
  }
}
