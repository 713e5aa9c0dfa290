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
}

/**
 * Keys that no store of ours can have (a console's `folder/`, other programs' names with spaces) are left out.
 * A page may then be short, or empty and still have a `next`.
 */
export async function listPage(
  client: S3Client,
  storePrefix: string,
  request: ListRequest,
): Promise<ListPage> {
  const query: Record<string, string> = {
    "list-type": "2",
    "encoding-type": "url",
    "max-keys": String(request.limit),
    prefix: storePrefix + request.prefix,
  };
  if (request.after !== undefined) query["start-after"] = storePrefix + request.after;
  let page: RawPage | undefined;
  await client.ask(
    { operation: "list", method: "GET", query, signal: request.signal },
    `listing ${request.prefix === "" ? "the bucket" : request.prefix}`,
    (answer) => {
      page = answer.status === 200 ? readPage(answer) : undefined;
      return page !== undefined;
    },
  );
  const { objects, isTruncated } = page!;
  checkOrder(client.origin, objects, query["start-after"]);
  const own: ListedObject[] = [];
  for (const { key, size } of objects) {
    const name = key.slice(storePrefix.length);
    if (key.startsWith(storePrefix) && isStoreKey(name)) own.push({ key: name, size });
  }
  const last = objects.at(-1)?.key;
  if (!isTruncated || last === undefined) return { objects: own };
  return { objects: own, next: last.slice(storePrefix.length) };
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
  return { objects, isTruncated: childText(root, "IsTruncated") === "true" };
}

function decodeKey(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll("+", "%20"));
  } catch (error) {
    if (error instanceof URIError) return undefined;
    throw error;
  }
}
