import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { MemoryStore } from "../../src/core/store/memory-store.ts";
import { describeForge } from "../conformance/forge.ts";

for (const trustWriters of [true, false]) {
  describeForge(`ForgeService over memory, ${trustWriters ? "trusted" : "untrusted"} writers,`, async () => {
    const forge = new ForgeService({
      store: new MemoryStore(systemClock),
      address: "memory",
      clock: systemClock,
      random: systemRandom,
      trustWriters,
    });
    return { forge, [Symbol.asyncDispose]: () => forge[Symbol.asyncDispose]() };
  });
}
