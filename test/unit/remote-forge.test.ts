import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { openRemoteForge } from "../../src/core/remote/remote-forge.ts";
import { describeForge } from "../conformance/forge.ts";
import { TOKEN, WireServer } from "../support/wire-server.ts";

for (const transport of ["http", "grpc"] as const) {
  describeForge(`a forge behind a server, over ${transport},`, async () => {
    const server = await WireServer.start();
    const origin = transport === "http" ? server.url : `http://${server.grpcAddress}`;
    const forge = await openRemoteForge(origin, {
      token: TOKEN,
      clock: systemClock,
      random: systemRandom,
      transport,
    });
    return {
      forge,
      async [Symbol.asyncDispose]() {
        await forge[Symbol.asyncDispose]();
        await server[Symbol.asyncDispose]();
      },
    };
  });
}
