/** What a script finds, counted for its last line. */
import { isDeepStrictEqual } from "node:util";

export class Checks {
  passed = 0;
  failed = 0;

  /** `found` must hold everything that `expected` does; more is fine. */
  expect(name: string, found: unknown, expected: unknown): void {
    if (holds(found, expected)) this.#pass(name);
    else this.fail(name, `found ${JSON.stringify(found)}, expected ${JSON.stringify(expected)}`);
  }

  /** Runs a part; what it throws counts as one failure. */
  async part(name: string, run: () => void | Promise<void>): Promise<void> {
    console.log(`\n${name}`);
    try {
      await run();
    } catch (error) {
      this.fail(name, error instanceof Error ? error.message : String(error));
    }
  }

  /** What another runner counted. */
  add(passed: number, failed: number): void {
    this.passed += passed;
    this.failed += failed;
  }

  #pass(name: string): void {
    this.passed++;
    console.log(`ok      ${name}`);
  }

  fail(name: string, why: string): void {
    this.failed++;
    console.log(`FAILED  ${name}`);
    for (const line of why.split("\n").slice(0, 20)) console.log(`        ${line}`);
  }

  get summary(): string {
    return `${this.passed} passed, ${this.failed} failed`;
  }
}

function holds(found: unknown, expected: unknown): boolean {
  if (expected instanceof RegExp) return typeof found === "string" && expected.test(found);
  if (Array.isArray(expected)) {
    return (
      Array.isArray(found) &&
      found.length === expected.length &&
      expected.every((item, i) => holds(found[i], item))
    );
  }
  if (typeof expected === "object" && expected !== null) {
    return (
      typeof found === "object" &&
      found !== null &&
      Object.entries(expected).every(([key, value]) => holds((found as Record<string, unknown>)[key], value))
    );
  }
  return isDeepStrictEqual(found, expected);
}
