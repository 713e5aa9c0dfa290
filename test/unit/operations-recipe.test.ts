/** What docs/operations.md tells to type, typed: as root where that is possible, in a directory in place of `/`. */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

const ROOT = path.join(import.meta.dirname, "../..");
const TLS = path.join(ROOT, "test/support/tls");
const DOCUMENT = readFileSync(path.join(ROOT, "docs/operations.md"), "utf8");
const ENVIRONMENT = readFileSync(path.join(ROOT, "docs/examples/mic.env"), "utf8");
/** In place of the user and the group `mic`. */
const OTHER_ID = 65534;

let place: string;
beforeEach(() => {
  place = mkdtempSync(path.join(tmpdir(), "mic-recipe-"));
  for (const name of ["etc/mic", "lineage", "var/lib/mic"])
    mkdirSync(path.join(place, name), { recursive: true });
  chmodSync(place, 0o755);
  copyFileSync(path.join(TLS, "cert.pem"), path.join(place, "lineage/fullchain.pem"));
  copyFileSync(path.join(TLS, "key.pem"), path.join(place, "lineage/privkey.pem"));
});
afterEach(() => rmSync(place, { recursive: true }));

/** Below `place`, with the ids of nobody. */
const moved = (text: string): string =>
  text
    .replaceAll(/(?<=["'\s=])\/(?=etc\/|var\/lib\/)/g, `${place}/`)
    .replaceAll("-g mic", `-g ${OTHER_ID}`)
    .replaceAll("docs/examples/", `${ROOT}/docs/examples/`);

function shell(script: string, env: Record<string, string> = {}, as: { uid?: number; gid?: number } = {}) {
  const run = spawnSync("/bin/sh", ["-euc", script], {
    encoding: "utf8",
    env: { ...process.env, ...env },
    ...as,
  });
  return { status: run.status, words: run.stderr };
}

/** As systemd reads an `EnvironmentFile`. */
function variable(name: string): string {
  const line = ENVIRONMENT.split("\n").find((each) => each.startsWith(`${name}=`))!;
  return line.slice(name.length + 1).replace(/^"(.*)"$/, "$1");
}

describe("the recipe for a new machine", () => {
  test.skipIf(process.getuid?.() !== 0)(
    "lets the user of the unit read the certificate and its key, and not the secrets of the bucket",
    () => {
      const steps = DOCUMENT.split("\n").filter((line) =>
        /^install .*(\/etc\/mic$|\/etc\/mic\/mic\.env\b)/.test(line),
      );
      expect(steps).toHaveLength(2);
      rmSync(path.join(place, "etc/mic"), { recursive: true });
      for (const step of steps) expect(shell(moved(step))).toEqual({ status: 0, words: "" });
      const hook = moved(readFileSync(path.join(ROOT, "docs/examples/certbot-hook.sh"), "utf8"));
      expect(shell(hook, { RENEWED_LINEAGE: path.join(place, "lineage") })).toEqual({ status: 0, words: "" });
      const asUser = { uid: OTHER_ID, gid: OTHER_ID };
      const read = moved("cat /etc/mic/cert.pem /etc/mic/key.pem > /dev/null");
      expect(shell(read, {}, asUser)).toEqual({ status: 0, words: "" });
      expect(shell(moved("cat /etc/mic/mic.env"), {}, asUser).status).not.toBe(0);
      expect(shell(moved(": > /etc/mic/key.pem"), {}, asUser).status).not.toBe(0);
    },
  );

  test("asks the doctor with the flags of the unit", () => {
    const unit = readFileSync(path.join(ROOT, "docs/examples/mic.service"), "utf8");
    expect(unit).toContain("mic serve --data /var/lib/mic --json $MIC_FLAGS");
    const command = /systemd-run .*?\/bin\/sh -c '([^']+)'/s.exec(DOCUMENT)![1]!;
    for (const [from, to] of [
      ["fullchain", "cert"],
      ["privkey", "key"],
    ] as const) {
      copyFileSync(path.join(place, `lineage/${from}.pem`), path.join(place, `etc/mic/${to}.pem`));
    }
    const mic = `${process.execPath} ${path.join(ROOT, "bin/mic.ts")}`;
    const found = path.join(place, "found");
    writeFileSync(found, "");
    const script = `${moved(command).replace("/usr/local/bin/mic", mic)} --json > ${found}`;
    shell(script, {
      MIC_FLAGS: moved(` ${variable("MIC_FLAGS")}`),
      MIC_PUBLIC_URL: variable("MIC_PUBLIC_URL"),
      PATH: "/usr/bin:/bin",
      MIC_HOME: place,
    });
    const findings = JSON.parse(readFileSync(found, "utf8")).findings as { name: string; detail: string }[];
    expect(findings.find(({ name }) => name === "options")?.detail).toMatch(/0\.0\.0\.0:443 with TLS/);
    expect(findings.find(({ name }) => name === "tls")?.detail).toMatch(/^valid for|^the certificate/);
  });
});
