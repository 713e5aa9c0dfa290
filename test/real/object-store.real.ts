import { describeObjectStore } from "../conformance/object-store.ts";
import { freshPrefix, openRealStore, realServers } from "./servers.ts";

for (const server of realServers()) {
  for (const transport of ["fetch", "undici"] as const) {
    describeObjectStore(`a bucket on ${server.kind}, over ${transport},`, async () => {
      const prefix = freshPrefix();
      const store = await openRealStore(server, prefix, transport);
      return {
        store,
        another: () => openRealStore(server, prefix, transport),
        isAtomic: false,
        keysAreFiles: true,
        [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
      };
    });
  }
}
