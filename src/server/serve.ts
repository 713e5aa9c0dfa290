/** `mic serve`: from a data directory to a listening server, and back. */
import { mkdirSync } from "node:fs";
import { Server as GrpcServer } from "@grpc/grpc-js";
import type { Clock } from "../core/base/clock.ts";
import type { Random } from "../core/base/random.ts";
import type { Forge } from "../core/forge/forge.ts";
import { ForgeService } from "../core/forge/service.ts";
import type { CachedStore } from "../core/store/cache/cached-store.ts";
import { createAuthServices } from "./auth/oauth/auth-services.ts";
import { createAuthHandler } from "./auth/oauth/handler.ts";
import type { PasswordHasher } from "./auth/password.ts";
import { createForwarding } from "./auth/replica/forwarding.ts";
import { createContentHandler } from "./content/handler.ts";
import type { ServerContext, ServerLog } from "./context.ts";
import { addGrpcServices } from "./grpc/services.ts";
import { createEndpointNames, createHttpHandler } from "./http.ts";
import { keepUp, UpkeepJob } from "./jobs/upkeep-job.ts";
import { type ChangeNotices, createLiveEvents } from "./live/events.ts";
import { notifyingForge, toEach } from "./live/notifying-forge.ts";
import { createLog, formatJsonRecord, formatTextRecord } from "./log.ts";
import { type Metric, ServerMetrics } from "./metrics.ts";
import { ConnectionPlaces } from "./network/connection-places.ts";
import { createNetwork } from "./network/network.ts";
import { readTlsFiles, TlsWatch } from "./network/tls-files.ts";
import { openAccess } from "./open-access.ts";
import { openStorage } from "./open-storage.ts";
import { GrpcPort, grpcServerOptions } from "./port/grpc-port.ts";
import { PORT_LIMITS, type PortLimits } from "./port/limits.ts";
import { Port } from "./port/port.ts";
import { createRestHandler, createRouteFinder } from "./rest/handler.ts";
import { readServeOptions, type ServeFlags, type ServeOptions, type ServeWorld } from "./serve-options.ts";
import { countAccounts, replicaMetrics } from "./telemetry/account-metrics.ts";
import { callFields } from "./telemetry/call-notes.ts";
import { countUpkeep } from "./telemetry/forge-metrics.ts";
import { openTelemetry, traceAttempts } from "./telemetry/open-telemetry.ts";
import { processMetrics } from "./telemetry/process-metrics.ts";
import { accountsCheck, diskCheck, replicaCheck } from "./telemetry/readiness.ts";
import { tracedGrpc, tracedHttp } from "./telemetry/traced-calls.ts";
import { tracedStore } from "./telemetry/traced-store.ts";
import { openWebhooks } from "./webhooks/open-webhooks.ts";

export interface StartServer {
  readonly flags: ServeFlags;
  readonly world: ServeWorld;
  readonly clock: Clock;
  readonly random: Random;
  /** mic's version. */
  readonly version: string;
  /** One line for each log record, without its line break. */
  readonly logFormat: "json" | "text";
  readonly writeLog: (line: string) => void;
  /** Also logs calls that went well. */
  readonly verbose?: boolean;
  /** Where a test is in a hurry. */
  readonly limits?: Partial<PortLimits>;
  /** Likewise: default is one at PASSWORD_COST. */
  readonly passwords?: PasswordHasher;
}

export interface RunningServer extends AsyncDisposable {
  /** `http://127.0.0.1:7420`. */
  readonly url: string;
  readonly dataDirectory: string;
  /** Where everything is stored: a directory, or `s3://bucket/prefix`. */
  readonly storage: string;
  /** The owner token, when this start made it: it is shown once. */
  readonly newOwnerToken: string | undefined;
  readonly log: ServerLog;
  /** Resolves when the store is refused after the start: the server is of no more use. */
  readonly refused: Promise<unknown>;
  /**
   * Takes no more calls, ends live streams, waits for the running calls (DRAIN_MS_MAX at most), and closes the
   * store. Disposing does the same without waiting.
   */
  drain(): Promise<void>;
}

const DRAIN_MS_MAX = 30_000;
/** Below it the server is not ready: the accounts, and the store or its cache, are on that disk. */
const DISK_BYTES_LEAST = 64 << 20;
/**
 * A process takes several times what its caches count: the engine's heap grows to twice what lives in it. The tree of
 * 100,000 files fits.
 */
const PROJECT_CACHE_BYTES = 48 << 20;
const CACHE_BYTES_TOTAL = 96 << 20;

/** Errors: `usage`, `unreachable` when the address is taken, and those of `openStorage`. */
export async function startServer(request: StartServer): Promise<RunningServer> {
  const { clock, random, version } = request;
  const options = readServeOptions(request.flags, request.world);
  const limits = { ...PORT_LIMITS, ...request.limits };
  const format = request.logFormat === "json" ? formatJsonRecord : formatTextRecord;
  const log = createLog(clock, (record) => request.writeLog(format(record)));
  const tls = options.tls === undefined ? undefined : readTlsFiles(options.tls);
  // Others have no business in it; one that is there keeps its mode.
  mkdirSync(options.dataDirectory, { recursive: true, mode: 0o700 });
  for (const warning of options.warnings) log.warn("options", { message: warning });
  await using cleanup = new AsyncDisposableStack();
  const { env } = request.world;
  const metrics: ServerMetrics = new ServerMetrics(
    { connections: () => port?.connections ?? 0, calls: () => port?.calls ?? 0 },
    clock.nowMs(),
  );
  const addMetric = (metric: Metric): void => metrics.add(metric);
  const telemetry = openTelemetry({ env, clock, random, log, version, addMetric });
  if (telemetry !== undefined) cleanup.use(telemetry);
  const { store, address, cached, presigning, checked } = await openStorage(options, {
    clock,
    random,
    env,
    log,
  });
  const stored = cleanup.use(
    new ForgeService({
      store: telemetry === undefined ? store : tracedStore(store, telemetry.tracer),
      address,
      clock,
      random,
      trustWriters: false,
      cacheBytes: PROJECT_CACHE_BYTES,
      cacheBytesTotal: CACHE_BYTES_TOTAL,
      ...(presigning === undefined ? {} : { presigning }),
    }),
  );
  const events = cleanup.use(createLiveEvents({ forge: stored, clock }));
  countLandings(stored, metrics);
  const upkeep = cleanup.use(new UpkeepJob({ forge: stored, clock, random, log }));
  keepUp(stored, upkeep);
  if (cached !== undefined) metrics.addTiers(() => cached.figures());
  const notices: ChangeNotices[] = [events];
  const forge = notifyingForge(stored, toEach(notices));
  // After what fails for want of a setting: the owner's token is shown once, by a start that succeeds.
  const { passwords } = request;
  const access = cleanup.use(
    await openAccess({
      options,
      env,
      forge,
      clock,
      random,
      log,
      ...(passwords === undefined ? {} : { passwords }),
    }),
  );
  const draining = new AbortController();
  const network = createNetwork({
    settings: options.network,
    listenHost: options.host,
    hasTls: tls !== undefined,
    publicUrl: options.publicUrl,
    clock,
    forwardedBy: (request) => access.forwarder?.callerOf(request),
    onRefused: (what) => metrics.refused.add(1, `reason="rate-${what}"`),
  });
  const { webhooks, job } = openWebhooks({
    database: access.database,
    forge: stored,
    outbound: network.outbound,
    audit: access.parts.audit,
    clock,
    random,
    log,
    version,
    addMetric,
    ...(telemetry === undefined ? {} : { trace: traceAttempts(telemetry.tracer) }),
  });
  notices.push(cleanup.use(job));
  for (const metric of [
    ...countUpkeep(stored),
    ...countAccounts(access.accounts, access.database, () => clock.nowMs()),
    ...(access.replica === undefined ? [] : replicaMetrics(access.replica)),
    ...cleanup.use(processMetrics()).metrics,
  ]) {
    addMetric(metric);
  }
  const checks = [
    accountsCheck(access.database),
    diskCheck(options.dataDirectory, DISK_BYTES_LEAST),
    ...(access.replica === undefined ? [] : [replicaCheck(access.replica)]),
  ];
  const signIn = createAuthServices({
    context: { ...access.parts, clock, random, log, network },
    database: access.database,
  });
  const context: ServerContext = {
    forge,
    events,
    clock,
    random,
    log,
    ...access.parts,
    ...(access.forwarder === undefined ? {} : { forwarder: access.forwarder }),
    network,
    signIn,
    webhooks,
    draining: draining.signal,
    version,
  };
  const findRoute = createRouteFinder();
  const endpointOf = createEndpointNames(findRoute);
  const tracing = telemetry === undefined ? [] : [tracedGrpc(telemetry.tracer)];
  const grpc = new GrpcServer(grpcServerOptions(limits, metrics, tracing));
  addGrpcServices(grpc, context);
  const handler = createHttpHandler({
    context,
    metrics,
    checks,
    rest: createRestHandler(context),
    content: createContentHandler(context),
    auth: createAuthHandler(signIn),
    ...(access.forwarder === undefined
      ? {}
      : { forwarding: createForwarding(context, access.forwarder, findRoute) }),
  });
  const places = new ConnectionPlaces(limits.connectionsPerAddressMax, network.isShared);
  const port: Port | undefined = await Port.listen({
    host: options.host,
    port: options.port,
    tls,
    limits,
    metrics,
    handler: telemetry === undefined ? handler : tracedHttp(handler, telemetry.tracer, endpointOf),
    http2: new GrpcPort(grpc, limits, metrics),
    takePlace: (address) => places.take(address),
    onAnswered: (call, { statusCode: status }, seconds) => {
      const endpoint = endpointOf(call.method!, call.url!);
      metrics.request(endpoint, String(status), seconds);
      if (request.verbose === true || status >= 500) {
        const { address: from } = network.peerOf(call);
        log.info("call", callFields({ request: call, endpoint, status, seconds, address: from }, random));
      }
    },
  });
  if (options.tls !== undefined) {
    cleanup.use(new TlsWatch({ paths: options.tls, use: (files) => port.useTls(files), log }));
  }
  const url = urlOf(options, port.number);
  access.replica?.announce(url);
  job.start();
  const opened = cleanup.move();
  const stop = async (waitMs: number): Promise<void> => {
    draining.abort();
    await port.drain(waitMs);
    const cut = port.connections;
    if (cut > 0) log.warn("cut", { connections: cut });
    port.close();
    grpc.forceShutdown();
    await opened.disposeAsync();
    if (cached !== undefined) logTiers(log, cached);
  };
  let stopped: Promise<void> | undefined;
  return {
    url,
    dataDirectory: options.dataDirectory,
    storage: address,
    newOwnerToken: access.newOwnerToken,
    log,
    refused: new Promise((resolve) => {
      checked.catch(resolve);
    }),
    drain: () => {
      stopped ??= stop(DRAIN_MS_MAX);
      return stopped;
    },
    [Symbol.asyncDispose]: () => {
      stopped ??= stop(0);
      return stopped;
    },
  };
}

/** Times in milliseconds. */
function logTiers(log: ServerLog, cached: CachedStore): void {
  const ms = (seconds: number): number | undefined =>
    Number.isNaN(seconds) ? undefined : Math.round(seconds * 1e6) / 1e3;
  for (const { tier, hits, misses, failures, poisoned, bytes, p50, p99 } of cached.figures()) {
    log.info("tier", { tier, hits, misses, failures, poisoned, bytes, p50: ms(p50), p99: ms(p99) });
  }
}

function countLandings(forge: Forge, metrics: ServerMetrics): void {
  const land = forge.land.bind(forge);
  forge.land = async (...args) => {
    const result = await land(...args);
    metrics.landings.add(1, `result="${result.kind}"`);
    return result;
  };
  const landSession = forge.landSession.bind(forge);
  forge.landSession = async (...args) => {
    const result = await landSession(...args);
    metrics.landings.add(1, `result="${result.kind}"`);
    return result;
  };
}

function urlOf({ host, tls }: ServeOptions, port: number): string {
  const reachable = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  return `${tls === undefined ? "http" : "https"}://${reachable.includes(":") ? `[${reachable}]` : reachable}:${port}`;
}
