import { afterAll, beforeAll, expect, test } from "vitest";
import { LLMS_TEXT } from "../../src/server/rest/llms-text.ts";
import { ROUTES } from "../../src/server/rest/routes.ts";
import { SKILL_TEXT } from "../../src/server/rest/skill-text.ts";
import { RestServer, TOKEN } from "../support/rest-server.ts";
import { runBash, skillBlocks } from "../support/skill-script.ts";

let server: RestServer;
const env = (): Record<string, string> => ({
  MIC_URL: server.url,
  MIC_TOKEN: TOKEN,
  MIC_PROJECT: "acme%2Fapp",
});
const P = "/api/mic/projects/acme%2Fapp";

beforeAll(async () => {
  server = await RestServer.start();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

test("SKILL.md's blocks create, clone, edit and land", async () => {
  const { setUp, create, clone, edit, define, land, look } = skillBlocks(SKILL_TEXT);
  const run = await runBash(["set -e -o pipefail", setUp, create, clone, edit, define, land, look], env());
  expect(run.stderr).not.toContain("curl: (22)");
  expect(run, run.stderr).toMatchObject({ code: 0 });
  const client = server.client();
  expect((await client.get(`${P}/files/hello.txt`)).text).toBe("hello\n");
  expect((await client.get(`${P}/landings/1`)).json).toMatchObject({ goal: "Say hello", agent: "curl" });
});

test("SKILL.md's blocks land what is not plain: symlinks, modes, odd names and texts, removals, notes", async () => {
  const { setUp, clone, define, land, notes } = skillBlocks(SKILL_TEXT);
  const own = String.raw`
printf 'true\n' > work/run.sh; chmod +x work/run.sh; ln -s hello.txt work/link
printf 'x' > 'work/a "b" c.txt'; : > work/empty; head -c 3000000 /dev/zero > work/large.bin
CHANGED=(run.sh link 'a "b" c.txt' empty large.bin)
REMOVED=(hello.txt)
GOAL='Quotes " and \ and
lines and	tabs'
`;
  const run = await runBash(
    [
      "set -e -o pipefail",
      setUp,
      clone,
      own,
      define,
      land,
      "BASE=2 CHANGED=(run.sh) REMOVED=() GOAL=Noted",
      "printf 'false' > work/run.sh",
      notes,
      "record && land",
    ],
    env(),
  );
  expect(run, run.stderr).toMatchObject({ code: 0 });
  const client = server.client();
  const items = (await client.get(`${P}/tree`)).json.items;
  expect(
    items.map((item: { name: string; kind: string; size: number }) => [item.name, item.kind, item.size]),
  ).toEqual([
    ['a "b" c.txt', "file", 1],
    ["empty", "file", 0],
    ["large.bin", "file", 3_000_000],
    ["link", "symlink", 9],
    ["run.sh", "executable", 5],
  ]);
  expect((await client.get(`${P}/landings/2`)).json.goal).toBe('Quotes " and \\ and\nlines and\ttabs');
  expect((await client.get(`${P}/landings/3`)).json).toMatchObject({
    goal: "Noted",
    decisions: ["Greet in English, the users all read it"],
    conversation: [{ role: "user", text: "Please say hello" }],
  });
});

test("SKILL.md's blocks settle a conflict", async () => {
  const { setUp, clone, edit, define, land, conflict } = skillBlocks(SKILL_TEXT);
  const lines = (last: string, first = "1"): string =>
    `printf '${first}\\n2\\n3\\n4\\n5\\n${last}\\n' > work/hello.txt`;
  const ours = ["set -e -o pipefail", setUp, clone, edit, lines("6"), define, land];
  expect(await runBash(ours, env())).toMatchObject({ code: 0 });
  const client = server.client();
  const before = (await client.get(`${P}/head`)).json.position;
  // Others change the first line between our clone and our landing.
  const others = `(${[lines("6", "one"), "GOAL=Theirs", land].join("\n")})`;
  const refused = [...["set -e -o pipefail", setUp, clone, edit, define], others, lines("six"), "GOAL=Ours"];
  const run = await runBash([...refused, `if ${land.trim()}; then exit 9; fi`, conflict, land], env());
  expect(run, run.stderr).toMatchObject({ code: 0 });
  expect(run.stdout).toContain('"code":"conflict"');
  expect((await client.get(`${P}/head`)).json.position).toBe(before + 2);
  expect((await client.get(`${P}/files/hello.txt`)).text).toBe("one\n2\n3\n4\n5\nsix\n");
});

test("SKILL.md and llms.txt name only what is there", () => {
  const paths = ROUTES.map(({ path }) => path);
  const skill = SKILL_TEXT.matchAll(/\$P\/([a-z]+)/g);
  for (const [, name] of skill) expect(paths.some((path) => path.includes(`{project}/${name}`))).toBe(true);
  for (const [, path] of LLMS_TEXT.matchAll(/\]\((\/[^)]*)\)/g)) expect(paths).toContain(path);
});
