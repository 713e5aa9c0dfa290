/**
 * Number 24 on the wire: a bit of a server's answer flipped between it and the client, at every byte or at a fixed
 * sample of them. What is verified by a hash (content, and in a clone the whole tree) must never come out different;
 * of the rest only its form can be checked, and that is what is asked here.
 */
import { request as httpRequest } from "node:http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isMicError } from "../../src/core/base/errors.ts";
import { hashObject } from "../../src/core/base/hash.ts";
import type { Position } from "../../src/core/base/ids.ts";
import { isTreePath } from "../../src/core/base/path.ts";
import type { Forge } from "../../src/core/forge/forge.ts";
import { openVerifiedFrame } from "../../src/core/objects/read-frame.ts";
import { cloneWorkspace } from "../../src/core/workspace/commands/clone.ts";
import { collectBytes, path, TestProject } from "../support/forge-project.ts";
import { HostileServer } from "../support/hostile-server.ts";
import { LyingServer, openClient } from "../support/lying-server.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { TestWorkspaces } from "../support/workspaces.ts";

const ONE = 1 as Position;

/** Between client and server: hands answers on, the chosen one with a bit flipped. */
class Flipper {
  /** Method whose answers are flipped. */
  method = "";
  byte = -1;
  mask = 1;
  /** Bytes of its last answer. */
  length = 0;

  async start(server: LyingServer): Promise<HostileServer> {
    return await HostileServer.relay((request, body, response) => {
      const forward = httpRequest(
        server.url + request.url,
        { method: "POST", headers: request.headers, agent: false },
        async (answer) => {
          const parts: Buffer[] = [];
          for await (const part of answer) parts.push(part as Buffer);
          const bytes = Buffer.concat(parts);
          if (request.url!.endsWith(`/${this.method}`)) {
            this.length = bytes.length;
            if (this.byte >= 0 && this.byte < bytes.length) bytes[this.byte]! ^= this.mask;
          }
          response.writeHead(answer.statusCode!, { "content-type": answer.headers["content-type"] });
          response.end(bytes);
        },
      );
      forward.end(body);
    });
  }

  /** Every byte of an answer, or `sample` of them; the bits from a fixed seed. */
  async each(
    method: string,
    run: (what: string) => Promise<void>,
    sample = Number.POSITIVE_INFINITY,
  ): Promise<void> {
    const random = new SeededRandom(20_261_121);
    this.method = method;
    this.byte = -1;
    await run(`${method}, whole`);
    const { length } = this;
    expect(length).toBeGreaterThan(20);
    const step = Math.max(1, length / sample);
    for (let at = 0; at < length; at += step) {
      this.byte = Math.floor(at);
      this.mask = 1 << (random.bytes(1)[0]! & 7);
      await run(`${method}, byte ${this.byte} of ${length} ^ ${this.mask}`);
    }
    this.byte = -1;
  }
}

let server: LyingServer;
let relay: HostileServer;
let forge: Forge;
let project: TestProject;
const flipper = new Flipper();
const files = { a: "content of a\n", "d/b": "content of b, which is another\n", "d/c": "c\n".repeat(300) };

beforeAll(async () => {
  server = await LyingServer.start();
  project = await TestProject.create(server.forge, "acme/app");
  await project.land({ put: files, goal: "the goal" });
  relay = await flipper.start(server);
  forge = await openClient(relay.origin);
});
afterAll(async () => {
  await forge[Symbol.asyncDispose]();
  await relay[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

/** Undefined for an error, which must be one of ours. */
async function outcome<T>(promise: Promise<T>, what: string): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    if (!isMicError(error) || error.code === "internal") throw new Error(what, { cause: error });
    return undefined;
  }
}

describe("a flipped bit in an answer", () => {
  test("never gives other objects", async () => {
    const wants = Object.values(files).map((text) => ({ id: hashObject(Buffer.from(text)), hint: 1 }));
    const read = async (): Promise<string[]> => {
      const got = new Map<string, string>();
      for await (const frame of forge.readObjects(project.id, wants)) {
        const raw = openVerifiedFrame(frame);
        for (const { id, offset, length } of frame.objects) {
          got.set(id, Buffer.from(raw.subarray(offset, offset + length)).toString());
        }
      }
      return wants.map(({ id }) => got.get(id)!);
    };
    let accepted = 0;
    await flipper.each("ReadObjects", async (what) => {
      const got = await outcome(read(), what);
      if (got === undefined) return;
      accepted += 1;
      expect(got, what).toEqual(Object.values(files));
    });
    // The whole answer, and hardly another one.
    expect(accepted).toBeLessThan(10);
  });

  test("never gives another file", async () => {
    const found = await forge.getPath(project.id, ONE, path("d/b"));
    if (found?.kind !== "entry") throw new Error("d/b is a file");
    await flipper.each("GetBlob", async (what) => {
      const got = await outcome(collectBytes(forge.readFile(project.id, found)), what);
      if (got !== undefined) expect(Buffer.from(got).toString(), what).toBe(files["d/b"]);
    });
  });

  test.each([
    ["Fetch", 120],
    ["GetHead", 60],
    ["GetProject", 60],
  ])("of %s never gives a clone that is not the tree it says it is", async (method, sample) => {
    const { root } = await server.forge.getHead(project.id);
    await using spaces = new TestWorkspaces();
    const context = spaces.context({ openForge: async () => forge });
    const clone = async (): Promise<string> => {
      const dir = spaces.newDir();
      await cloneWorkspace({ address: relay.origin, projectName: "acme/app", dir, workers: 0 }, context);
      return dir;
    };
    await flipper.each(
      method,
      async (what) => {
        const dir = await outcome(clone(), what);
        if (dir === undefined) return;
        const w = spaces.open(dir, context);
        expect(w.files(), what).toEqual(files);
        expect(w.ws.index.base, what).toEqual({ position: 1, root });
        expect(w.ws.settings.project, what).toBe(project.id);
      },
      sample,
    );
  });

  test("of a landing gives an error, or what has the form of the landing that was asked for", async () => {
    await flipper.each("GetLanding", async (what) => {
      const landing = await outcome(forge.getLanding(project.id, ONE), what);
      if (landing === undefined) return;
      expect(landing.position, what).toBe(1);
      for (const { path: name } of landing.operations) expect(isTreePath(name), what).toBe(true);
      for (const text of [landing.goal, landing.author, landing.agent])
        expect(text.isWellFormed()).toBe(true);
    });
  });
});
