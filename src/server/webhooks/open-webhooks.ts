/** The webhooks of a server, put together. */
import type { Clock } from "../../core/base/clock.ts";
import type { Random } from "../../core/base/random.ts";
import type { Audit } from "../auth/audit.ts";
import type { AuthDatabase } from "../auth/database/auth-database.ts";
import { NOBODY } from "../auth/principal.ts";
import type { ServerLog } from "../context.ts";
import { Counter, Gauge, Histogram, type Metric } from "../metrics.ts";
import type { Outbound } from "../network/outbound.ts";
import type { AttemptTrace } from "./delivery-queue.ts";
import type { ProjectFeedOptions } from "./project-feed.ts";
import { originOf, type Webhook } from "./webhook.ts";
import { WebhookJob } from "./webhook-job.ts";
import { WebhookStore } from "./webhook-store.ts";
import { Webhooks } from "./webhooks.ts";

export interface OpenWebhooks {
  readonly database: AuthDatabase;
  /** Not the one that tells of changes: nothing is changed. */
  readonly forge: ProjectFeedOptions["forge"];
  readonly outbound: Outbound;
  readonly audit: Audit;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: ServerLog;
  /** mic's. */
  readonly version: string;
  readonly addMetric: (metric: Metric) => void;
  readonly trace?: (webhook: Webhook) => AttemptTrace;
}

export interface OpenedWebhooks {
  readonly webhooks: Webhooks;
  /** Started, and disposed of, by whoever opened it. */
  readonly job: WebhookJob;
}

export function openWebhooks(options: OpenWebhooks): OpenedWebhooks {
  const { database, forge, outbound, audit, clock, random, log, version, addMetric, trace } = options;
  const store = new WebhookStore(database);
  const attempts = new Counter("mic_webhook_attempts_total", "Attempts to deliver a message, by result");
  const durations = new Histogram("mic_webhook_attempt_seconds", "Time of an attempt to deliver a message");
  addMetric(attempts);
  addMetric(durations);
  addMetric(
    new Gauge(
      "mic_webhook_messages_waiting",
      "Messages to be delivered, without what is still in the log",
      () => store.countAllWaiting(),
    ),
  );
  const job = new WebhookJob({
    store,
    forge,
    outbound,
    clock,
    random,
    log,
    userAgent: `mic/${version}`,
    ...(trace === undefined ? {} : { trace }),
    onAttempt: (result, seconds) => {
      attempts.add(1, `result="${result}"`);
      durations.observe(seconds);
    },
    onStopped: ({ id, project, url }, because) => {
      audit.record({
        principal: NOBODY,
        address: "",
        action: "webhook.stopped",
        target: `webhook:${id}`,
        detail: { project, receiver: originOf(url), because },
      });
    },
  });
  return { webhooks: new Webhooks({ store, job, forge, outbound, clock, random }), job };
}
