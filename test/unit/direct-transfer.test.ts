import { beforeAll, describe, expect, test } from "vitest";
import { hashObject } from "../../src/core/base/hash.ts";
import type { PackId, ProjectId } from "../../src/core/base/ids.ts";
import { mintProjectId } from "../../src/core/base/random.ts";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { encodePack } from "../../src/core/codec/pack.ts";
import type { Forge } from "../../src/core/forge/forge.ts";
import { ForgeService } from "../../src/core/forge/service.ts";
import { isPlace } from "../../src/core/remote/direct-uploads.ts";
import { openRemoteForge } from "../../src/core/remote/remote-forge.ts";
import { openS3Store } from "../../src/core/store/s3/open.ts";
import { framesOf, testObject } from "../support/packs.ts";
import { RestServer } from "../support/rest-server.ts";
import { S3Server } from "../support/s3-server.ts";
import { TOKEN, WireServer } from "../support/wire-server.ts";

const LARGE = 9 << 20;

interface World extends AsyncDisposable {
  readonly s3: S3Server;
  readonly forge: ForgeService;
  readonly project: ProjectId;
}

let large: { readonly id: PackId; readonly bytes: Uint8Array };
beforeAll(() => {
  large = encodePack(
    framesOf([testObject(systemRandom.bytes(65_536).slice()), ...pieces()], 1 << 20, "store"),
  );
});

function pieces() {
  return Array.from({ length: LARGE >> 16 }, (_, i) => testObject(new Uint8Array(65_536).fill(i).map(noise)));
}

function noise(value: number, at: number): number {
  return (value * 31 + at * 7 + (at >> 8)) & 255;
}

async function world(isPresigned = true): Promise<World> {
  const s3 = await S3Server.start();
  const store = await openS3Store(s3.options());
  const forge = new ForgeService({
    store,
    address: "s3://bucket",
    clock: systemClock,
    random: systemRandom,
    trustWriters: false,
    ...(isPresigned ? { presigning: store } : {}),
  });
  const { id } = await forge.createProject({ id: mintProjectId(systemRandom), name: "org/direct" });
  return {
    s3,
    forge,
    project: id,
    [Symbol.asyncDispose]: async () => {
      await forge[Symbol.asyncDispose]();
      await s3[Symbol.asyncDispose]();
    },
  };
}

async function remote(forge: Forge): Promise<{ client: Forge; server: WireServer }> {
  const server = await WireServer.start({ forge });
  const client = await openRemoteForge(server.url, {
    token: TOKEN,
    clock: systemClock,
    random: systemRandom,
  });
  return { client, server };
}

function keysOf({ requests }: S3Server, method: string): string[] {
  return requests.filter((request) => request.method === method).map(({ key }) => key);
}

describe("a client of a server with presigned URLs", () => {
  test("puts a large pack into the store, without its token, and the server verifies it", async () => {
    await using place = await world();
    const { client, server } = await remote(place.forge);
    await using _client = client;
    await using _server = server;
    const { s3, project } = place;
    s3.requests.length = 0;
    expect(await client.putPack(project, large.bytes)).toBe(large.id);
    const [staged, stored] = keysOf(s3, "PUT");
    expect(staged).toMatch(new RegExp(`^projects/${project}/staging/\\d{4}-\\d\\d-\\d\\d/[0-9a-f]{32}$`));
    expect(stored).toMatch(new RegExp(`^projects/${project}/packs/.*/${large.id}\\.pack$`));
    const upload = s3.requests.find(({ key }) => key === staged);
    expect(JSON.stringify(upload!.headers)).not.toContain(TOKEN);
    expect(upload!.headers["authorization"]).toBeUndefined();
    // The place is empty again.
    expect((await (await openS3Store(s3.options())).list(`projects/${project}/staging/`)).objects).toEqual(
      [],
    );
    expect(Buffer.compare((await place.forge.getPack(project, large.id))!, large.bytes)).toBe(0);
  });

  test("sends a small pack through the server", async () => {
    await using place = await world();
    const { client, server } = await remote(place.forge);
    await using _client = client;
    await using _server = server;
    const small = encodePack(framesOf([testObject("small")]));
    expect(await client.putPack(place.project, small.bytes)).toBe(small.id);
    expect(keysOf(place.s3, "PUT").some((key) => key.includes("/staging/"))).toBe(false);
  });

  test("sends it through the server when the store cannot be reached or refuses, and does not try again", async () => {
    for (const what of [{ kind: "refuse", status: 403 }, { kind: "drop" }] as const) {
      await using place = await world();
      const { client, server } = await remote(place.forge);
      await using _client = client;
      await using _server = server;
      const { s3, project } = place;
      s3.misbehave(what, ({ key }) => key.includes("/staging/"), 10);
      expect(await client.putPack(project, large.bytes)).toBe(large.id);
      s3.requests.length = 0;
      expect(await client.putPack(project, large.bytes)).toBe(large.id);
      expect(keysOf(s3, "PUT").some((key) => key.includes("/staging/"))).toBe(false);
    }
  });

  test("sends it through a server that does not offer it", async () => {
    await using place = await world(false);
    const { client, server } = await remote(place.forge);
    await using _client = client;
    await using _server = server;
    expect(await client.putPack(place.project, large.bytes)).toBe(large.id);
    expect(keysOf(place.s3, "PUT").some((key) => key.includes("/staging/"))).toBe(false);
  });
});

describe("finishUpload()", () => {
  test("stores nothing that is not a pack, is not there, or is not as long as announced", async () => {
    await using place = await world();
    const { forge, project, s3 } = place;
    const put = async (body: Uint8Array<ArrayBuffer>): Promise<string> => {
      const { url, upload } = (await forge.startUpload(project, body.length))!;
      expect((await fetch(url, { method: "PUT", body })).status).toBe(200);
      return upload;
    };
    const damaged = new Uint8Array(large.bytes);
    damaged[5000]! ^= 1;
    s3.requests.length = 0;
    await expect(forge.finishUpload(project, await put(damaged))).rejects.toMatchObject({ code: "corrupt" });
    const upload = await put(new Uint8Array(large.bytes));
    const shorter = upload.replace(/\d+$/, "1000");
    await expect(forge.finishUpload(project, shorter)).rejects.toMatchObject({ code: "corrupt" });
    const longer = upload.replace(/\d+$/, String(large.bytes.length + 1));
    await expect(forge.finishUpload(project, longer)).rejects.toMatchObject({ code: "corrupt" });
    const { upload: empty } = (await forge.startUpload(project, 100))!;
    await expect(forge.finishUpload(project, empty)).rejects.toMatchObject({ code: "not-found" });
    for (const bad of ["", "x", "../../head", `${upload}/..`, upload.replace(/\d+$/, "999999999")]) {
      await expect(forge.finishUpload(project, bad)).rejects.toMatchObject({
        code: expect.stringMatching(/^(?:usage|too-large)$/),
      });
    }
    expect(keysOf(s3, "PUT").every((key) => key.includes("/staging/"))).toBe(true);
    expect(await forge.finishUpload(project, upload)).toBe(large.id);
  });

  test("is not missed by fsck: what lies there is nobody's yet", async () => {
    await using place = await world();
    const { forge, project } = place;
    const { url } = (await forge.startUpload(project, 5))!;
    expect((await fetch(url, { method: "PUT", body: "hello" })).status).toBe(200);
    expect(await forge.fsck(project)).toMatchObject({ findings: [], unreferenced: 1 });
  });

  test("takes an upload of its own project only", async () => {
    await using place = await world();
    const { forge, project } = place;
    const { id: other } = await forge.createProject({ id: mintProjectId(systemRandom), name: "org/other" });
    const { url, upload } = (await forge.startUpload(project, large.bytes.length))!;
    await fetch(url, { method: "PUT", body: new Uint8Array(large.bytes) });
    await expect(forge.finishUpload(other, upload)).rejects.toMatchObject({ code: "not-found" });
  });
});

describe("REST", () => {
  test("starts and finishes an upload, and sends the reader of a large pack to the store", async () => {
    await using place = await world();
    await using server = await RestServer.start({ forge: place.forge });
    const client = server.client();
    const packs = `/api/mic/projects/${place.project}/packs`;
    const started = await client.post(`${packs}/uploads`, { size: large.bytes.length });
    expect(started.status).toBe(201);
    const { url, method, finish } = started.json;
    expect((await fetch(url, { method, body: new Uint8Array(large.bytes) })).status).toBe(200);
    const finished = await client.post(finish);
    expect(finished.json).toEqual({ pack: large.id, size: large.bytes.length });
    expect(finished.headers.get("location")).toBe(`${packs}/${large.id}`);

    const moved = await client.get(`${packs}/${large.id}`);
    expect(moved.status).toBe(307);
    expect(moved.headers.get("cache-control")).toBe("no-store");
    const direct = await fetch(moved.headers.get("location")!);
    expect(hashObject(new Uint8Array(await direct.arrayBuffer()))).toBe(large.id as string);
    const through = await client.get(`${packs}/${large.id}?redirect=no`);
    expect(through.status).toBe(200);
    expect(through.bytes.length).toBe(large.bytes.length);
    expect((await client.post(`${packs}/uploads`, { size: 1e12 })).json.code).toBe("too-large");
    expect((await client.post(`${packs}/uploads/x`)).status).toBe(400);
    expect((await client.post(finish)).json.code).toBe("not-found");
  });

  test("says that there are no uploads past a server without presigned URLs", async () => {
    await using place = await world(false);
    await using server = await RestServer.start({ forge: place.forge });
    const client = server.client();
    const packs = `/api/mic/projects/${place.project}/packs`;
    expect((await client.post(`${packs}/uploads`, { size: 9e6 })).json.code).toBe("unsupported");
    await place.forge.putPack(place.project, large.bytes);
    expect((await client.get(`${packs}/${large.id}`)).status).toBe(200);
  });
});

describe("isPlace()", () => {
  const is = (url: string, origin = "https://mic.example", headers: Record<string, string> = {}): boolean =>
    isPlace({ url, headers }, origin, 9);

  test("takes a store on the web, and one as near as the server", () => {
    expect(is("https://bucket.s3.amazonaws.com/k?X-Amz-Signature=1")).toBe(true);
    expect(is("http://127.0.0.1:9000/k", "http://127.0.0.1:7420")).toBe(true);
    expect(is("http://10.0.0.5:9000/k", "http://10.0.0.4:7420")).toBe(true);
    expect(
      is("https://s/k", "https://m", { "content-length": "9", "x-amz-server-side-encryption": "AES256" }),
    ).toBe(true);
  });

  test("refuses what a server must not make its clients do", () => {
    for (const url of [
      "http://bucket.s3.amazonaws.com/k",
      "https://127.0.0.1/k",
      "https://localhost/k",
      "https://a.localhost/k",
      "https://[::1]/k",
      "https://[::ffff:127.0.0.1]/k",
      "https://169.254.169.254/latest",
      "https://10.1.2.3/k",
      "https://192.168.1.1/k",
      "https://172.20.0.1/k",
      "https://0.0.0.0/k",
      "https://2130706433/k",
      "https://user:secret@s3.example/k",
      "file:///etc/passwd",
      "",
    ]) {
      expect(is(url), url).toBe(false);
    }
    for (const headers of [
      { authorization: "Bearer x" },
      { host: "elsewhere" },
      { cookie: "a" },
      { "content-length": "10" },
      { "x-amz-acl": "a\r\nb: c" },
    ]) {
      expect(is("https://s3.example/k", "https://mic.example", headers as never)).toBe(false);
    }
  });
});
