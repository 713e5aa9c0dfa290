/** The S3 adapter as an object store, over both transports, plain and under a prefix, in both dialects. */
import { openS3Store } from "../../src/core/store/s3/open.ts";
import type { S3Options } from "../../src/core/store/s3/options.ts";
import { describeObjectStore, type StoreFixture } from "../conformance/object-store.ts";
import { S3Server, type S3ServerOptions } from "../support/s3-server.ts";

async function fixture(server: S3ServerOptions, change: Partial<S3Options>): Promise<StoreFixture> {
  const running = await S3Server.start(server);
  const open = () => openS3Store(running.options(change));
  const store = await open();
  return {
    store,
    another: open,
    isAtomic: false,
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      await running[Symbol.asyncDispose]();
    },
  };
}

describeObjectStore("S3 over fetch", () => fixture({}, { transport: "fetch" }));
describeObjectStore("S3 over undici, under a prefix", () =>
  fixture({}, { transport: "undici", prefix: "team/forge~1/" }),
);
describeObjectStore("Google's S3 over fetch", () => fixture({ gcs: true }, { transport: "fetch" }));
