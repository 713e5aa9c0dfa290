/** Streams that are open when what allowed them is taken away. */
import { Client, credentials, Metadata, type StatusObject, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Caller } from "../support/access-expectations.ts";
import { methodRequest } from "../support/access-requests.ts";
import { type AccessProject, AccessWorld } from "../support/access-world.ts";

const WATCH = "/mic.v1.ContentService/WatchLandings";
let world: AccessWorld;
let client: Client;
beforeAll(async () => {
  world = await AccessWorld.start();
  client = new Client(new URL(world.url).host, credentials.createInsecure());
});
afterAll(async () => {
  client.close();
  await world[Symbol.asyncDispose]();
});

interface Stream {
  /** How it ended: a word, or a gRPC status. */
  readonly ended: Promise<string>;
  readonly isOver: () => boolean;
}

function watched(ended: Promise<string>): Stream {
  let isOver = false;
  void ended.then(() => {
    isOver = true;
  });
  return { ended, isOver: () => isOver };
}

/** Resolves once the server has begun to answer. */
async function followRest(project: AccessProject, caller: Caller): Promise<Stream> {
  const token = world.token(caller, project);
  const response = await fetch(`${world.url}/api/mic/projects/${project.id}/landings/events`, {
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
  });
  expect(response.status).toBe(200);
  return watched(
    response.text().then(
      () => "ended",
      () => "ended",
    ),
  );
}

async function followGrpc(project: AccessProject, caller: Caller): Promise<Stream> {
  const metadata = new Metadata();
  const token = world.token(caller, project);
  if (token !== undefined) metadata.set("authorization", `Bearer ${token}`);
  const asIs = (bytes: Buffer): Buffer => bytes;
  const call = client.makeServerStreamRequest(
    WATCH,
    asIs,
    asIs,
    Buffer.from(methodRequest(WATCH, project)),
    metadata,
  );
  call.on("error", () => undefined);
  const ended = new Promise<string>((resolve) => {
    call.on("status", ({ code }: StatusObject) => resolve(status[code]!));
  });
  // A landing that comes through shows that the stream stands.
  const first = new Promise<void>((resolve) => call.once("data", () => resolve()));
  await world.land(project);
  await Promise.race([first, ended]);
  return watched(ended);
}

const follow = async (project: AccessProject, caller: Caller): Promise<Stream[]> => [
  await followRest(project, caller),
  await followGrpc(project, caller),
];
const endings = (streams: readonly Stream[]): Promise<string[]> =>
  Promise.all(streams.map(({ ended }) => ended));

describe("an open stream", () => {
  test("ends when its caller loses the role, and those of others do not", async () => {
    const project = await world.project("private");
    const reading = await follow(project, "reader");
    const writing = await follow(project, "writer");
    world.accounts.setProjectRole(project.id, world.user("project-read"), undefined);
    expect(await endings(reading)).toEqual(["ended", "NOT_FOUND"]);
    expect(writing.map(({ isOver }) => isOver())).toEqual([false, false]);
    world.accounts.setProjectRole(project.id, world.user("project-write"), undefined);
    await endings(writing);
  });

  test("ends when its token is revoked", async () => {
    const project = await world.project("private");
    const streams = await follow(project, "owner of the organization");
    const token = world.accounts.findToken(world.token("owner of the organization", project)!, "personal")!;
    world.accounts.revokeToken(token.id);
    expect(await endings(streams)).toEqual(["ended", "UNAUTHENTICATED"]);
  });

  test("of somebody who has not signed in ends when the project is public no more", async () => {
    const project = await world.project("public");
    const strangers = await follow(project, "nobody");
    const members = await follow(project, "writer");
    await world.forge.updateProject(project.id, { visibility: "private" });
    expect(await endings(strangers)).toEqual(["ended", "UNAUTHENTICATED"]);
    expect(members.map(({ isOver }) => isOver())).toEqual([false, false]);
    world.accounts.setProjectRole(project.id, world.user("project-write"), undefined);
    await endings(members);
  });

  test("ends when another server closes the project, or takes it out of the organization", async () => {
    const [closed, moved] = [await world.project("public"), await world.project("private")];
    const strangers = await follow(closed, "nobody");
    const members = await follow(moved, "member of the organization who reads");
    const readers = await follow(moved, "reader");
    await world.elsewhere(async (forge) => {
      await forge.updateProject(closed.id, { visibility: "private" });
      await forge.updateProject(moved.id, { name: `other-${moved.org}/moved` });
    });
    expect(await endings(strangers)).toEqual(["ended", "UNAUTHENTICATED"]);
    expect(await endings(members)).toEqual(["ended", "NOT_FOUND"]);
    expect(readers.map(({ isOver }) => isOver())).toEqual([false, false]);
    await world.elsewhere((forge) => forge.deleteProject(moved.id));
    expect(await endings(readers)).toEqual(["ended", "NOT_FOUND"]);
  });
});
