/** Opens a store on a bucket. Nothing is sent before the first operation. */
import type { ObjectStore } from "../object-store.ts";
import type { PresigningStore } from "../presign.ts";
import type { S3Options } from "./options.ts";

export type S3Store = ObjectStore & PresigningStore;

/** Errors: `usage` for an endpoint, bucket or prefix that cannot be one; `unsupported` for a store that cannot host a forge. */
export async function openS3Store(options: S3Options): Promise<S3Store> {
  const { S3ObjectStore } = await import("./s3-store.ts");
  return new S3ObjectStore(options);
}
