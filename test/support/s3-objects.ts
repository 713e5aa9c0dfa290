/** What the S3 test server keeps, and what it answers to each operation when nothing is wrong. */
import { createHash } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";

export interface S3Request {
  readonly method: string;
  readonly bucket: string;
  /** Decoded; "" for the bucket itself. */
  readonly key: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly body: Uint8Array;
}

export interface S3Answer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: Uint8Array;
}

interface StoredVersion {
  readonly bytes: Uint8Array;
  /** Quoted. */
  readonly etag: string;
  readonly generation: number;
  readonly headers: IncomingHttpHeaders;
}

interface Upload {
  readonly key: string;
  readonly headers: IncomingHttpHeaders;
  readonly parts: Map<number, { readonly bytes: Uint8Array; readonly etag: string }>;
}

const NOTHING = new Uint8Array(0);

export class S3Objects {
  readonly bucket: string;
  /** As on Google's stores: generations as preconditions. */
  readonly isGcs: boolean;
  readonly objects = new Map<string, StoredVersion>();
  readonly uploads = new Map<string, Upload>();
  /** Of every part but the last. */
  partBytesMin = 5 << 20;
  /** Answers 501 to DeleteObjects. */
  lacksBatchDelete = false;
  #generation = 1_700_000_000_000_000;
  #uploads = 0;

  constructor(bucket: string, isGcs: boolean) {
    this.bucket = bucket;
    this.isGcs = isGcs;
  }

  answer(request: S3Request): S3Answer {
    if (request.bucket !== this.bucket) return errorAnswer(404, "NoSuchBucket");
    const { method, key, query } = request;
    if (key === "") {
      if (method === "GET" && query.get("list-type") === "2") return this.#list(query);
      if (method === "POST" && query.has("delete")) return this.#deleteMany(request);
      if (method === "HEAD") return { status: 200, headers: {}, body: NOTHING };
      return errorAnswer(405, "MethodNotAllowed");
    }
    if (method === "POST" && query.has("uploads")) return this.#startUpload(request);
    if (query.has("uploadId")) return this.#upload(request, query.get("uploadId")!);
    if (method === "GET" || method === "HEAD") return this.#read(request);
    if (method === "PUT") return this.#write(request);
    if (method === "DELETE") {
      this.objects.delete(key);
      return { status: 204, headers: {}, body: NOTHING };
    }
    return errorAnswer(405, "MethodNotAllowed");
  }

  #names(version: StoredVersion): Record<string, string> {
    return this.isGcs
      ? { etag: version.etag, "x-goog-generation": String(version.generation) }
      : { etag: version.etag };
  }

  #read({ headers, key }: S3Request): S3Answer {
    const version = this.objects.get(key);
    if (version === undefined) return errorAnswer(404, "NoSuchKey");
    const names = this.#names(version);
    if (headers["if-none-match"] === version.etag) return { status: 304, headers: names, body: NOTHING };
    const match = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? "");
    if (match === null) return { status: 200, headers: names, body: version.bytes };
    const first = Number(match[1]);
    const size = version.bytes.length;
    if (first >= size) return errorAnswer(416, "InvalidRange");
    const body = version.bytes.slice(first, Number(match[2]) + 1);
    const range = `bytes ${first}-${first + body.length - 1}/${size}`;
    return { status: 206, headers: { ...names, "content-range": range }, body };
  }

  #write({ key, headers, body }: S3Request): S3Answer {
    const current = this.objects.get(key);
    if (this.isGcs) {
      const generation = headers["x-goog-if-generation-match"];
      if (generation !== undefined && generation !== String(current?.generation ?? 0)) {
        return errorAnswer(412, "PreconditionFailed");
      }
    } else {
      if (headers["if-none-match"] === "*" && current !== undefined)
        return errorAnswer(412, "PreconditionFailed");
      const expected = headers["if-match"];
      if (expected !== undefined && current === undefined) return errorAnswer(404, "NoSuchKey");
      if (expected !== undefined && current?.etag !== expected) return errorAnswer(412, "PreconditionFailed");
    }
    return { status: 200, headers: this.#names(this.#store(key, body, headers, md5(body))), body: NOTHING };
  }

  #store(key: string, bytes: Uint8Array, headers: IncomingHttpHeaders, hash: string): StoredVersion {
    const version = { bytes, etag: `"${hash}"`, generation: ++this.#generation, headers };
    this.objects.set(key, version);
    return version;
  }

  #list(query: URLSearchParams): S3Answer {
    const prefix = query.get("prefix") ?? "";
    const after = query.get("start-after") ?? "";
    const limit = Math.min(1000, Number(query.get("max-keys") ?? 1000));
    const keys = [...this.objects.keys()].sort().filter((key) => key.startsWith(prefix) && key > after);
    const page = keys.slice(0, limit);
    const contents = page.map((key) => {
      const name = encodeURIComponent(key).replaceAll("%20", "+").replaceAll("%2F", "/");
      const { bytes, etag } = this.objects.get(key)!;
      return `<Contents><Key>${name}</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified><ETag>${etag.replaceAll('"', "&quot;")}</ETag><Size>${bytes.length}</Size></Contents>`;
    });
    return xmlAnswer(
      200,
      `<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>${this.bucket}</Name><EncodingType>url</EncodingType><KeyCount>${page.length}</KeyCount><IsTruncated>${keys.length > limit}</IsTruncated>${contents.join("")}</ListBucketResult>`,
    );
  }

  #deleteMany({ headers, body }: S3Request): S3Answer {
    if (this.lacksBatchDelete) return errorAnswer(501, "NotImplemented");
    const hash = createHash("md5").update(body).digest("base64");
    if (headers["content-md5"] !== hash) return errorAnswer(400, "BadDigest");
    for (const match of new TextDecoder().decode(body).matchAll(/<Key>([^<]*)<\/Key>/g)) {
      this.objects.delete(match[1]!.replace(/&#(\d+);/g, (_, code) => String.fromCharCode(Number(code))));
    }
    return xmlAnswer(200, '<DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></DeleteResult>');
  }

  #startUpload({ key, headers }: S3Request): S3Answer {
    const id = `upload ${++this.#uploads}&`;
    this.uploads.set(id, { key, headers, parts: new Map() });
    return xmlAnswer(
      200,
      `<InitiateMultipartUploadResult><UploadId>${id.replace("&", "&amp;")}</UploadId></InitiateMultipartUploadResult>`,
    );
  }

  #upload({ method, key, query, body }: S3Request, id: string): S3Answer {
    const upload = this.uploads.get(id);
    if (upload?.key !== key) return errorAnswer(404, "NoSuchUpload");
    if (method === "DELETE") {
      this.uploads.delete(id);
      return { status: 204, headers: {}, body: NOTHING };
    }
    if (method === "PUT") {
      const etag = `"${md5(body)}"`;
      upload.parts.set(Number(query.get("partNumber")), { bytes: body, etag });
      return { status: 200, headers: { etag }, body: NOTHING };
    }
    const listed = [
      ...new TextDecoder().decode(body).matchAll(/<PartNumber>(\d+)<\/PartNumber><ETag>([^<]*)</g),
    ];
    const pieces: Uint8Array[] = [];
    for (const [i, match] of listed.entries()) {
      const part = upload.parts.get(Number(match[1]));
      const etag = match[2]!.replaceAll("&#34;", '"');
      if (part?.etag !== etag) return errorAnswer(400, "InvalidPart");
      if (part.bytes.length < this.partBytesMin && i < listed.length - 1)
        return errorAnswer(400, "EntityTooSmall");
      pieces.push(part.bytes);
    }
    this.uploads.delete(id);
    const whole = new Uint8Array(Buffer.concat(pieces));
    const version = this.#store(key, whole, upload.headers, `${md5(whole)}-${pieces.length}`);
    return xmlAnswer(
      200,
      `<CompleteMultipartUploadResult><ETag>${version.etag.replaceAll('"', "&quot;")}</ETag></CompleteMultipartUploadResult>`,
    );
  }
}

export function xmlAnswer(status: number, xml: string): S3Answer {
  const body = new TextEncoder().encode(`<?xml version="1.0" encoding="UTF-8"?>\n${xml}`);
  return { status, headers: { "content-type": "application/xml" }, body };
}

export function errorAnswer(
  status: number,
  code: string,
  fields: Readonly<Record<string, string>> = {},
): S3Answer {
  const more = Object.entries(fields).map(([name, value]) => `<${name}>${value}</${name}>`);
  return xmlAnswer(status, `<Error><Code>${code}</Code><Message>as told</Message>${more.join("")}</Error>`);
}

function md5(bytes: Uint8Array): string {
  return createHash("md5").update(bytes).digest("hex");
}
