/** The whole table: what the router serves and the OpenAPI document describes. */
import type { Route } from "./route.ts";
import { aboutRoutes } from "./routes/about.ts";
import { accountRoutes } from "./routes/accounts.ts";
import { auditRoutes } from "./routes/audit.ts";
import { contentRoutes } from "./routes/content.ts";
import { historyRoutes } from "./routes/history.ts";
import { liveRoutes } from "./routes/live.ts";
import { memberRoutes } from "./routes/members.ts";
import { projectRoutes } from "./routes/projects.ts";
import { sessionRoutes } from "./routes/sessions.ts";
import { treeRoutes } from "./routes/tree.ts";
import { userRoutes } from "./routes/users.ts";
import { webhookRoutes } from "./routes/webhooks.ts";

export const ROUTES: readonly Route[] = [
  ...projectRoutes,
  ...sessionRoutes,
  ...contentRoutes,
  ...treeRoutes,
  ...historyRoutes,
  ...liveRoutes,
  ...memberRoutes,
  ...accountRoutes,
  ...userRoutes,
  ...auditRoutes,
  ...webhookRoutes,
  ...aboutRoutes,
];
