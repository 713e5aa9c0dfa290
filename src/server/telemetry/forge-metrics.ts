/** What the forge's upkeep does and finds: damage makes nothing wrong at once, and somebody should know of it. */
import { isMicError } from "../../core/base/errors.ts";
import type { ForgeService } from "../../core/forge/service.ts";
import { Counter, Gauge, type Metric } from "../metrics.ts";

type Watched = Pick<ForgeService, "upkeep" | "collect" | "rollupDamage">;

/** Changes the methods of `forge`, so that everyone who was given it is covered. */
export function countUpkeep(forge: Watched): readonly Metric[] {
  const done = new Counter(
    "mic_upkeep_total",
    "What upkeep did: rollups built, packs merged, objects collected",
  );
  const failed = new Counter("mic_upkeep_failures_total", "Upkeep and collection that failed, by error code");
  const counted = async <Result>(work: Promise<Result>, count: (result: Result) => void): Promise<Result> => {
    try {
      const result = await work;
      count(result);
      return result;
    } catch (error) {
      const code = isMicError(error) ? error.code : "internal";
      if (code !== "aborted") failed.add(1, `code="${code}"`);
      throw error;
    }
  };
  const upkeep = forge.upkeep.bind(forge);
  forge.upkeep = (...args) =>
    counted(upkeep(...args), ({ rollups, packsMerged }) => {
      done.add(rollups, 'what="rollups"');
      done.add(packsMerged, 'what="packs-merged"');
    });
  const collect = forge.collect.bind(forge);
  forge.collect = (...args) =>
    counted(collect(...args), ({ deleted }) => done.add(deleted, 'what="objects-collected"'));
  return [
    done,
    failed,
    new Gauge(
      "mic_rollups_damaged",
      "Rollups of open projects that are missing or damaged",
      () => forge.rollupDamage().damaged,
    ),
    new Gauge(
      "mic_rollup_fallbacks",
      "How often the log of an open project was read because a rollup could not be",
      () => forge.rollupDamage().fallbacks,
    ),
  ];
}
