/** A run that broke an invariant, with what replays it. */

export type Story = "landing" | "life" | "workspace";

export class SimulationFailure extends Error {
  readonly seed: number;

  constructor(story: Story, seed: number, trace: readonly string[], cause: unknown) {
    const reason = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
    const replay = `replay: bun test/sim/main.ts --story ${story} --seed ${seed} --trace`;
    super([`seed ${seed}: ${reason}`, ...trace, replay].join("\n"), { cause });
    this.name = "SimulationFailure";
    this.seed = seed;
  }
}
