/** Calls whose token is refused and has a successor, over both transports. */
import { randomBytes } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { fixedToken, type TokenSource } from "../../src/core/remote/channel.ts";
import { openRemoteForge } from "../../src/core/remote/remote-forge.ts";
import { TestProject } from "../support/forge-project.ts";
import { TOKEN, WireServer } from "../support/wire-server.ts";

let server: WireServer;
beforeEach(async () => {
  server = await WireServer.start();
});
afterEach(() => server[Symbol.asyncDispose]());

/** Hands out `first` until it is replaced. */
function renewing(first: string, successor: string | undefined) {
  const replaced: string[] = [];
  let token = first;
  const source: TokenSource = {
    current: async () => token,
    replace: async (refused) => {
      replaced.push(refused);
      if (successor !== undefined) token = successor;
      return successor;
    },
  };
  return { source, replaced };
}

describe.each(["http", "grpc"] as const)("over %s, a token that is refused", (transport) => {
  const open = (token: TokenSource) =>
    openRemoteForge(transport === "http" ? server.url : `http://${server.grpcAddress}`, {
      token,
      transport,
      clock: systemClock,
      random: systemRandom,
      timeoutMs: 5000,
    });

  test("is replaced, and the same call made again: a landing, a stream, an upload", async () => {
    await using own = await open(fixedToken(TOKEN));
    for (const content of ["1\n", randomBytes(6 << 20).toString("latin1")]) {
      const { id } = await TestProject.create(own, `ada/p${content.length}`);
      const { source, replaced } = renewing("expired", TOKEN);
      await using forge = await open(source);
      const project = new TestProject(forge, id);
      await project.land({ put: { file: content } });
      expect((await own.getHead(id)).position).toBe(1);
      expect(replaced).toEqual(["expired"]);
    }
    const { source, replaced } = renewing("expired", TOKEN);
    await using forge = await open(source);
    const listed = await forge.listProjects({});
    expect([listed.items.length, replaced]).toEqual([2, ["expired"]]);
  });

  test("without a successor, or with one that is refused too, is the call's failure", async () => {
    for (const successor of [undefined, "expired too"]) {
      const { source, replaced } = renewing("expired", successor);
      await using forge = await open(source);
      await expect(forge.listProjects({})).rejects.toMatchObject({ code: "unauthenticated" });
      expect(replaced).toEqual(["expired"]);
    }
  });

  test("is asked for anew for every call", async () => {
    let asked = 0;
    const source: TokenSource = {
      current: async () => {
        asked++;
        return TOKEN;
      },
      replace: async () => undefined,
    };
    await using forge = await open(source);
    for (let i = 0; i < 3; i++) await forge.listProjects({});
    expect(asked).toBe(3);
  });
});
