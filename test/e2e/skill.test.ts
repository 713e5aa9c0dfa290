import { expect, test } from "vitest";
import { runBash, skillBlocks } from "../support/skill-script.ts";
import { Served } from "./served.ts";
import { World } from "./support.ts";

test("an agent that has curl and /SKILL.md of a running server clones, edits and lands", async () => {
  const world = await World.create();
  const token = "token-of-an-agent-with-nothing-but-curl";
  const served = await Served.start(world, { token });
  const skill = await (await fetch(`${served.url}/SKILL.md`)).text();
  const { setUp, create, clone, edit, define, land, look } = skillBlocks(skill);
  const env = { MIC_URL: served.url, MIC_TOKEN: token, MIC_PROJECT: "acme%2Fapp" };
  const run = await runBash(["set -e -o pipefail", setUp, create, clone, edit, define, land, look], env);
  expect(run, run.stderr).toMatchObject({ code: 0 });
  const answer = await fetch(`${served.url}/api/mic/projects/acme%2Fapp/files/hello.txt?at=1`, {
    headers: { authorization: `Bearer ${token}` },
  });
  expect(await answer.text()).toBe("hello\n");
  expect(await served.end("SIGTERM")).toBe(0);
});
