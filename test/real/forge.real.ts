import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { describeForge } from "../conformance/forge.ts";
import { freshPrefix, openRealStore, realServers } from "./servers.ts";

for (const server of realServers()) {
  describeForge(`ForgeService over a bucket on ${server.kind}`, async () => {
    const store = await openRealStore(server, freshPrefix(), "undici");
    const ports = { clock: systemClock, random: systemRandom };
    const forge = new ForgeService({ store, address: store.description, ...ports, trustWriters: false });
    return { forge, [Symbol.asyncDispose]: () => forge[Symbol.asyncDispose]() };
  });
}
