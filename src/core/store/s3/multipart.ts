/** An upload of one large object in parts, several at a time. Nothing is readable before the last step. */
import { utf8 } from "../../base/bytes.ts";
import { isMicError, MicError } from "../../base/errors.ts";
import type { WaitOptions } from "../object-store.ts";
import type { S3Client } from "./client.ts";
import { errorFields } from "./errors.ts";
import type { TransportAnswer } from "./transport.ts";
import { childText, escapeXml, parseXml } from "./xml.ts";

export const MULTIPART_THRESHOLD_BYTES: number = 64 << 20;
/** All of one size but the last: some stores insist. The bytes are the caller's, parts are views of them. */
const PART_BYTES: number = 16 << 20;
const PARTS_AT_A_TIME = 4;
/** A caller who gave up does not wait for the tidying as well. */
const ABORT_PATIENCE_MS = 15_000;
/** An upload that the store lost is begun again once. */
const UPLOADS_MAX = 2;

export interface LargeObject {
  /** Within the bucket. */
  readonly key: string;
  /** For messages. */
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Of the object, such as its encryption. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Errors: as of any write. The upload is aborted then, so that its parts are not paid for. */
export async function putParts(
  client: S3Client,
  object: LargeObject,
  options: WaitOptions,
  partBytes: number = PART_BYTES,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const upload = await start(client, object, options);
    try {
      const etags = await sendParts(client, object, upload, partBytes, options);
      if (await complete(client, object, upload, etags, options)) return;
    } catch (error) {
      await abort(client, object, upload);
      throw error;
    }
    if (attempt === UPLOADS_MAX) {
      throw new MicError("unreachable", `writing ${object.name}: the store lost the upload`, {
        hint: "try again later",
      });
    }
  }
}

async function start(
  client: S3Client,
  { key, name, headers }: LargeObject,
  options: WaitOptions,
): Promise<string> {
  let upload: string | undefined;
  await client.ask(
    {
      operation: "multipart-start",
      method: "POST",
      key,
      query: { uploads: "" },
      headers,
      body: new Uint8Array(0),
      ...options,
    },
    `writing ${name}`,
    (answer) => {
      upload =
        answer.status === 200
          ? documentField(answer, "InitiateMultipartUploadResult", "UploadId")
          : undefined;
      return upload !== undefined && upload !== "";
    },
  );
  return upload!;
}

async function sendParts(
  client: S3Client,
  { key, name, bytes }: LargeObject,
  upload: string,
  partBytes: number,
  { signal, ...options }: WaitOptions,
): Promise<string[]> {
  const etags = new Array<string>(Math.ceil(bytes.length / partBytes));
  // One that fails ends the others: they are of no use, and must not outlive the call.
  const ending = new AbortController();
  const both = signal === undefined ? ending.signal : AbortSignal.any([signal, ending.signal]);
  let next = 0;
  let failure: { readonly error: unknown } | undefined;
  const work = async (): Promise<void> => {
    while (next < etags.length && failure === undefined) {
      const index = next++;
      const body = bytes.subarray(index * partBytes, (index + 1) * partBytes);
      try {
        const answer = await client.ask(
          {
            operation: "multipart-part",
            method: "PUT",
            key,
            query: { partNumber: String(index + 1), uploadId: upload },
            body,
            ...options,
            signal: both,
          },
          `writing ${name}`,
          (answer) => answer.status === 200 && answer.header("etag") !== undefined,
        );
        etags[index] = answer.header("etag")!;
      } catch (error) {
        failure ??= { error };
        ending.abort();
      }
    }
  };
  await Promise.all(Array.from({ length: PARTS_AT_A_TIME }, work));
  if (failure !== undefined) throw failure.error;
  return etags;
}

/** False: the store does not know the upload, and has no such object. */
async function complete(
  client: S3Client,
  { key, name, bytes }: LargeObject,
  upload: string,
  etags: readonly string[],
  options: WaitOptions,
): Promise<boolean> {
  const parts = etags
    .map((etag, i) => `<Part><PartNumber>${i + 1}</PartNumber><ETag>${escapeXml(etag)}</ETag></Part>`)
    .join("");
  const body = utf8(
    `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${parts}</CompleteMultipartUpload>`,
  );
  const answer = await client.ask(
    {
      operation: "multipart-complete",
      method: "POST",
      key,
      query: { uploadId: upload },
      headers: { "content-type": "application/xml" },
      body,
      ...options,
    },
    `writing ${name}`,
    (answer, refusal) =>
      refusal?.code === "NoSuchUpload" ||
      // The store says 200 at once and keeps the connection open; what became of it is in the document.
      (answer.status === 200 &&
        documentField(answer, "CompleteMultipartUploadResult", "ETag") !== undefined) ||
      (answer.status === 200 && errorFields(answer.body)?.("Code") === "NoSuchUpload"),
  );
  if (documentField(answer, "CompleteMultipartUploadResult", "ETag") !== undefined) return true;
  // An earlier completion whose answer was lost has ended the upload too.
  const found = await client.ask(
    { operation: "head", method: "HEAD", key, ...options },
    `writing ${name}`,
    ({ status }) => status === 200 || status === 404,
  );
  return found.status === 200 && found.header("content-length") === String(bytes.length);
}

/** As good as it can: a bucket's lifecycle rule removes what is left. Not with the caller's signal, which may have fired. */
async function abort(client: S3Client, { key, name }: LargeObject, upload: string): Promise<void> {
  try {
    await client.ask(
      {
        operation: "multipart-abort",
        method: "DELETE",
        key,
        query: { uploadId: upload },
        patienceMs: ABORT_PATIENCE_MS,
      },
      `ending the upload of ${name}`,
      ({ status }) => status < 300 || status === 404,
    );
  } catch (error) {
    if (!isMicError(error)) throw error;
  }
}

function documentField(answer: TransportAnswer, rootName: string, field: string): string | undefined {
  try {
    const root = parseXml(new TextDecoder().decode(answer.body).trim());
    return root.name === rootName ? childText(root, field) : undefined;
  } catch (error) {
    if (isMicError(error, "corrupt")) return undefined;
    throw error;
  }
}
