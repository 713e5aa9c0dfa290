/** The conformance kits on real object servers: of the store over both transports, and of the forge over the store. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RealServer } from "../../test/real/servers.ts";
import { REPOSITORY } from "../bench/harness.ts";
import type { Checks } from "./checks.ts";
import { type ObjectServer, startObjectServer } from "./object-servers.ts";

const BUCKET = "kits";

export async function conformance(checks: Checks): Promise<void> {
  await using minio = await startObjectServer("minio");
  await using versitygw = await startObjectServer("versitygw");
  const servers = [minio, versitygw];
  for (const server of servers) await server.makeBucket(BUCKET);
  const directory = mkdtempSync(join(tmpdir(), "mic-kits-"));
  try {
    const report = join(directory, "report.json");
    const child = Bun.spawn(
      [
        ...[process.execPath, "--bun", "node_modules/vitest/vitest.mjs", "run"],
        ...["--config", "vitest.real.config.ts"],
      ],
      {
        cwd: REPOSITORY,
        env: {
          ...process.env,
          NO_COLOR: "1",
          MIC_TEST_REPORT: report,
          MIC_REAL_SERVERS: JSON.stringify(servers.map(describe)),
        },
        stdin: "ignore",
        stdout: "inherit",
        stderr: "inherit",
      },
    );
    const code = await child.exited;
    const { numPassedTests, numFailedTests, success } = JSON.parse(readFileSync(report, "utf8")) as {
      readonly numPassedTests: number;
      readonly numFailedTests: number;
      readonly success: boolean;
    };
    checks.add(numPassedTests, numFailedTests);
    checks.expect("the kits pass on every server", { code, success }, { code: 0, success: true });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function describe({ kind, endpoint, keys }: ObjectServer): RealServer {
  return { kind, endpoint, bucket: BUCKET, ...keys };
}
