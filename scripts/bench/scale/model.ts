/** The written model of docs/scale.md: what is measured at smaller sizes, taken to larger ones. */
import type { ConflictCosts } from "./conflict-checks.ts";
import type { BuildCosts } from "./conflicts.ts";
import type { EditCosts } from "./tree.ts";

const KIB = 1024;
/** What a cold check reads at most of the index for each of its paths, and for each conflict it finds. */
const PAGE_BYTES = 64 * KIB;
const BLOCK_BYTES = 32 * KIB;
const PATHS = 100;
const HITS = 10;

export interface Prediction {
  readonly what: string;
  readonly unit: string;
  readonly predicted: number;
  readonly measured: number;
  /** The model says no more than that it is at most this. */
  readonly isBound?: boolean;
}

export interface MeasuredLog {
  readonly costs: ConflictCosts;
  /** Its highest rollup. */
  readonly built: BuildCosts;
}

/** `shorter`: logs each ten times as long as the one before, the last a tenth as long as `large`. */
export function predictLog(shorter: readonly MeasuredLog[], large: MeasuredLog): Prediction[] {
  const known = shorter.at(-1)!;
  // Each path is searched for by halves, in the pages of the index and among the blocks of one.
  const warm = shorter.map(({ costs }) => [Math.log10(costs.landings), costs.warm.p50] as const);
  const bytesOf = ({ front, partBytes }: BuildCosts): number => front + partBytes;
  const pages = Math.min(PATHS, 10 * known.built.pages);
  const coldBytes = 10 * known.built.front + pages * PAGE_BYTES + HITS * BLOCK_BYTES;
  return [
    {
      what: "bytes of the index of the log",
      unit: "MB",
      predicted: (10 * bytesOf(known.built)) / 1e6,
      measured: bytesOf(large.built) / 1e6,
    },
    {
      what: "requests of a cold conflict check",
      unit: "",
      predicted: known.costs.coldRequests,
      measured: large.costs.coldRequests,
    },
    {
      what: "bytes of a cold conflict check",
      unit: "KB",
      predicted: coldBytes / 1e3,
      measured: large.costs.coldBytes / 1e3,
      isBound: true,
    },
    {
      what: "warm conflict check",
      unit: "ms",
      predicted: line(warm, Math.log10(large.costs.landings)),
      measured: large.costs.warm.p50,
    },
  ];
}

/** Levels grow with the logarithm of the files, and what an edit stores and takes with the levels. */
export function predictEdit(known: readonly EditCosts[], large: EditCosts): Prediction[] {
  const at = (pick: (costs: EditCosts) => number): number => {
    const points = known.map((costs) => [Math.log10(costs.files), pick(costs)] as const);
    return line(points, Math.log10(large.files));
  };
  return [
    {
      what: "bytes that a landing of one file stores",
      unit: "KB",
      predicted: at(({ bytes }) => bytes) / 1e3,
      measured: large.bytes / 1e3,
    },
  ];
}

/** Least squares. */
function line(points: readonly (readonly [number, number])[], x: number): number {
  const mean = (index: 0 | 1): number => points.reduce((sum, point) => sum + point[index], 0) / points.length;
  const [meanX, meanY] = [mean(0), mean(1)];
  let over = 0;
  let under = 0;
  for (const [px, py] of points) {
    over += (px - meanX) * (py - meanY);
    under += (px - meanX) ** 2;
  }
  return meanY + (over / under) * (x - meanX);
}

// What docs/scale.md takes the figures to. Prices: list prices of AWS S3 in us-east-1, in dollars.
const PUT_PRICE = 0.005 / 1000;
const GET_PRICE = 0.0004 / 1000;
const GIGABYTE_MONTH_PRICE = 0.023;
/** A machine with 2 cores and 4 GiB. */
const AGENT_PRICE = 50;
const AGENT_CORES = 2;
const SECONDS_PER_MONTH = 30 * 86_400;

export interface Load {
  readonly landingsPerDay: number;
  readonly readsPerSecond: number;
  readonly openSessions: number;
  /** Updates of each open session in a day. */
  readonly sessionUpdatesPerDay: number;
  /** Projects that are read all the time. */
  readonly hotProjects: number;
  /** Bytes that a landing adds, content included, after merging. */
  readonly bytesPerLanding: number;
  /** Bytes of the tree and content at the beginning. */
  readonly bytesBefore: number;
}

export interface Carried {
  /** Of one core. */
  readonly readsPerCore: number;
  readonly landingsPerCore: number;
  /** Of a request to the bucket, in seconds. */
  readonly roundTrip: number;
}

export interface Needs {
  readonly agents: number;
  readonly puts: number;
  readonly gets: number;
  readonly gigabytesAfterYear: number;
  readonly dollars: Readonly<Record<"agents" | "puts" | "gets" | "storage", number>>;
}

/** A month. Agents are used to half of what they can. */
export function needsOf(load: Load, carried: Carried): Needs {
  const landingsPerSecond = load.landingsPerDay / 86_400;
  const cores = load.readsPerSecond / carried.readsPerCore + landingsPerSecond / carried.landingsPerCore;
  const agents = Math.max(2, Math.ceil((2 * cores) / AGENT_CORES));
  const days = 30;
  // Worst case: nobody shares a swap. Session updates are one swap each.
  const updates = load.openSessions * load.sessionUpdatesPerDay;
  const upkeep = 0.1;
  const puts = days * (2 * load.landingsPerDay * (1 + upkeep) + updates);
  // One question for the head is under way per agent and hot project, however many readers wait for it.
  const questions = (agents * load.hotProjects) / carried.roundTrip;
  const gets = SECONDS_PER_MONTH * Math.min(questions, load.readsPerSecond) + days * updates;
  const gigabytesAfterYear = (load.bytesBefore + 365 * load.landingsPerDay * load.bytesPerLanding) / 1e9;
  return {
    agents,
    puts,
    gets,
    gigabytesAfterYear,
    dollars: {
      agents: agents * AGENT_PRICE,
      puts: puts * PUT_PRICE,
      gets: gets * GET_PRICE,
      storage: gigabytesAfterYear * GIGABYTE_MONTH_PRICE,
    },
  };
}
