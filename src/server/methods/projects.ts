/** `mic.v1.ProjectService`. */
import { mintProjectId } from "../../core/base/random.ts";
import type { FsckReport, PageRequest, Progress } from "../../core/forge/forge.ts";
import { LONG_MESSAGE_BYTES_MAX } from "../../core/wire/framing.ts";
import { type FsckResponse, ProjectServiceDefinition } from "../../core/wire/gen/mic/v1/projects.ts";
import { ImportLandingsReader } from "../../core/wire/land.ts";
import {
  createProjectFromWire,
  fsckReportToWire,
  headToWire,
  organizationToWire,
  progressToWire,
  projectToWire,
  updateProjectFromWire,
} from "../../core/wire/projects.ts";
import { sessionFromWire } from "../../core/wire/sessions.ts";
import { auditedImport, recordImportedSession } from "../landing-audit.ts";
import { methodsOf, tunedUpload } from "./define-method.ts";
import { interrupted } from "./failure.ts";
import type { Method, MethodCall } from "./method.ts";
import { readProjectUpload } from "./upload.ts";

const ACCESS = {
  createOrganization: "signed-in-write",
  getOrganization: "organization-read",
  listOrganizations: "signed-in",
  createProject: "signed-in-write",
  getProject: "project-read",
  listProjects: "signed-in",
  updateProject: "project-own",
  deleteProject: "project-own",
  importLandings: "project-write",
  importSession: "project-write",
  fsck: "project-write",
} as const;

export function projectMethods(): Method[] {
  return methodsOf(ProjectServiceDefinition, ACCESS, {
    createOrganization: async ({ name, description }, call) =>
      organizationToWire(await call.projects.createOrganization({ name, description }, call)),
    getOrganization: async ({ name }, call) =>
      organizationToWire(await call.projects.getOrganization(name, call)),
    listOrganizations: async (request, call) => {
      const page = await call.projects.listOrganizations(pageOf(request), call);
      return { organizations: page.items.map(organizationToWire), next: page.next ?? "" };
    },

    createProject: async (request, call) => {
      const project = createProjectFromWire(request, () => mintProjectId(call.context.random));
      return projectToWire(await call.projects.createProject(project, call));
    },
    getProject: async ({ project }, call) => {
      const id = await call.project(project);
      return projectToWire(await call.context.forge.getProject(id, { signal: call.signal }));
    },
    listProjects: async (request, call) => {
      const { org } = request;
      const wanted = { ...pageOf(request), ...(org === "" ? {} : { org }) };
      const page = await call.projects.listProjects(wanted, call);
      return { projects: page.items.map(projectToWire), next: page.next ?? "" };
    },
    updateProject: async (request, call) => {
      const project = await call.project(request.project);
      return projectToWire(await call.projects.updateProject(project, updateProjectFromWire(request), call));
    },
    deleteProject: async (request, call) => {
      const project = await call.project(request.project);
      await call.projects.deleteProject(project, call);
      return {};
    },

    importLandings: tunedUpload({ requestBytesMax: LONG_MESSAGE_BYTES_MAX }, importLandings),
    importSession: {
      run: async ({ project, session }, call) => {
        const { context, signal } = call;
        const id = await call.project(project);
        const wanted = sessionFromWire(
          session ?? { summary: undefined, operations: [], decisions: [], conversation: [] },
        );
        await context.forge.importSession(id, wanted, { signal });
        await recordImportedSession(call, id, wanted);
        return {};
      },
      requestBytesMax: LONG_MESSAGE_BYTES_MAX,
    },

    fsck: { run: fsck, callsMax: 2 },
  });
}

/** Empty and 0 mean that they are not given. */
export function pageOf({ after, limit }: { readonly after: string; readonly limit: number }): PageRequest {
  return { ...(after === "" ? {} : { after }), ...(limit === 0 ? {} : { limit }) };
}

async function importLandings(
  requests: AsyncIterable<Uint8Array>,
  call: MethodCall,
): Promise<ReturnType<typeof headToWire>> {
  const reader = new ImportLandingsReader();
  const { project, memory } = await readProjectUpload(call, requests, reader);
  using _memory = memory;
  const wanted = reader.finish();
  const { context, signal } = call;
  if (wanted.allowSecrets === true) {
    await context.authorizer.project(call.principal, "project-own", project, signal);
  }
  return headToWire(
    await auditedImport(call, project, wanted, () =>
      context.forge.importLandings(project, wanted, { signal }),
    ),
  );
}

/** Progress is news, not a record: a slow reader gets the latest. */
async function* fsck(
  { project }: { readonly project: string },
  call: MethodCall,
): AsyncGenerator<FsckResponse> {
  const id = await call.project(project);
  const { context, signal } = call;
  let latest: Progress | undefined;
  let wake: () => void = () => undefined;
  let report: FsckReport | undefined;
  let failure: unknown;
  const onProgress = (progress: Progress): void => {
    latest = progress;
    wake();
  };
  const running = context.forge
    .fsck(id, { signal, onProgress })
    .then(
      (found) => {
        report = found;
      },
      (error: unknown) => {
        failure = error ?? interrupted();
      },
    )
    .finally(() => wake());
  for (;;) {
    if (failure !== undefined) throw failure;
    if (report !== undefined) break;
    if (latest === undefined) {
      await Promise.race([
        running,
        new Promise<void>((resolve) => {
          wake = resolve;
        }),
      ]);
      continue;
    }
    const progress = latest;
    latest = undefined;
    yield { item: { $case: "progress", progress: progressToWire(progress) } };
  }
  yield { item: { $case: "report", report: fsckReportToWire(report) } };
}
