/**
 * What a call costs its caller's budget, in units: about a millisecond of a processor's time on a small server, and
 * more where nobody but a scraper would do it all day.
 *
 * | price | calls |
 * | --- | --- |
 * | 0.1 | heads, single entries, landings and what belongs to a session, content by hash, writes, live streams |
 * | 0.5 | content in bulk: a clone makes one such call, whatever its size |
 * | 1 | what is not named here |
 * | 2 | pages of trees, landings, projects, sessions |
 * | 20 | differences |
 * | 50 | blame, archives, a check of a whole project |
 *
 * Bytes of answers cost BYTE_PRICE on top, little enough that a clone never waits for it.
 */
import type { Method } from "../methods/method.ts";

const CHEAP = 0.1;
const BULK = 0.5;
const PLAIN = 1;
const PAGE = 2;
const DIFFERENCE = 20;
const SEARCH = 50;

/** 0.005 for a MiB: who receives 10 Gbit/s spends 6 units a second. */
export const BYTE_PRICE = 0.005 / (1 << 20);

/** By the name of a gRPC method, without its service. */
const PRICE_OF_METHOD: Readonly<Record<string, number>> = {
  GetHead: CHEAP,
  GetPath: CHEAP,
  GetTreeAtPosition: CHEAP,
  FindContent: CHEAP,
  FindLanding: CHEAP,
  GetLanding: CHEAP,
  GetBlob: CHEAP,
  PutBlob: CHEAP,
  PutPack: CHEAP,
  StartUpload: CHEAP,
  FinishUpload: CHEAP,
  WatchLandings: CHEAP,
  GetProject: CHEAP,
  GetOrganization: CHEAP,
  ListEntries: BULK,
  Fetch: BULK,
  ReadObjects: BULK,
  GetTree: PAGE,
  ListLandings: PAGE,
  ListProjects: PAGE,
  ListOrganizations: PAGE,
  ListSessions: PAGE,
  Diff: DIFFERENCE,
  Blame: SEARCH,
  Fsck: SEARCH,
};

/** By the operation id of a REST route. */
const PRICE_OF_ROUTE: Readonly<Record<string, number>> = {
  getHead: CHEAP,
  getLanding: CHEAP,
  getFile: CHEAP,
  getBlob: CHEAP,
  putBlob: CHEAP,
  putPack: CHEAP,
  startUpload: CHEAP,
  finishUpload: CHEAP,
  getProject: CHEAP,
  getOrganization: CHEAP,
  followLandings: CHEAP,
  followSession: CHEAP,
  startSession: CHEAP,
  getSession: CHEAP,
  recordOperations: CHEAP,
  recordDecision: CHEAP,
  recordConversation: CHEAP,
  abandonSession: CHEAP,
  landSession: CHEAP,
  getPack: BULK,
  listTree: PAGE,
  listLandings: PAGE,
  listProjects: PAGE,
  listOrganizations: PAGE,
  listSessions: PAGE,
  diff: DIFFERENCE,
  blame: SEARCH,
  getArchive: SEARCH,
};

/** For those who check them against what there is. */
export const PRICED_NAMES = {
  methods: Object.keys(PRICE_OF_METHOD),
  routes: Object.keys(PRICE_OF_ROUTE),
} as const;

/** Sessions are where agents live: all that is not a list is cheap. */
export function priceOfMethod({ service, name }: Pick<Method, "service" | "name">): number {
  return PRICE_OF_METHOD[name] ?? (service === "mic.v1.SessionService" ? CHEAP : PLAIN);
}

export function priceOfRoute(id: string): number {
  return PRICE_OF_ROUTE[id] ?? PLAIN;
}
