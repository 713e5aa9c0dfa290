/** Organizations, projects and fsck, between the forge's form and `mic.v1.ProjectService`. */
import { hexToBytes } from "../base/bytes.ts";
import { MicError } from "../base/errors.ts";
import type { ProjectId } from "../base/ids.ts";
import { parseTreePath } from "../base/path.ts";
import type {
  CreateProject,
  FsckFinding,
  FsckReport,
  HeadInfo,
  OrganizationInfo,
  Progress,
  ProjectInfo,
  UpdateProject,
  Visibility,
} from "../forge/forge.ts";
import {
  hashFromWire,
  ID_BYTES,
  idFromWire,
  idToWire,
  numberFromWire,
  optionalId,
  positionFromWire,
  SALT_BYTES,
} from "./common.ts";
import type { Head } from "./gen/mic/v1/content.ts";
import {
  type CreateProjectRequest,
  type Organization,
  type Project,
  type UpdateProjectRequest,
  type FsckFinding as WireFsckFinding,
  type FsckProgress as WireFsckProgress,
  type FsckReport as WireFsckReport,
  Visibility as WireVisibility,
} from "./gen/mic/v1/projects.ts";

const VISIBILITY_TO_WIRE: Readonly<Record<Visibility, WireVisibility>> = {
  private: WireVisibility.PRIVATE,
  public: WireVisibility.PUBLIC,
};

/** Undefined where it is not given. */
export function visibilityFromWire(value: WireVisibility): Visibility | undefined {
  if (value === WireVisibility.UNSPECIFIED) return undefined;
  if (value === WireVisibility.PRIVATE) return "private";
  if (value === WireVisibility.PUBLIC) return "public";
  throw new MicError("usage", `visibility ${value} is not known`);
}

export function organizationToWire(organization: OrganizationInfo): Organization {
  const { name, description, createdAtMs } = organization;
  return { name, description, createdAtMs: BigInt(createdAtMs) };
}

export function organizationFromWire({ name, description, createdAtMs }: Organization): OrganizationInfo {
  return { name, description, createdAtMs: numberFromWire(createdAtMs, "time") };
}

export function projectToWire(project: ProjectInfo): Project {
  return {
    id: hexToBytes(project.id),
    name: project.name,
    description: project.description,
    visibility: VISIBILITY_TO_WIRE[project.visibility],
    createdAtMs: BigInt(project.createdAtMs),
    salt: hexToBytes(project.salt),
  };
}

/** What is safe as an argument, a directory and on a screen: a server may reserve other words than we do. */
const NAME = /^[a-z0-9][a-z0-9._-]{0,254}\/[a-z0-9][a-z0-9._-]{0,254}$/;

function nameFromWire(name: string): string {
  if (!NAME.test(name)) throw new MicError("usage", `${JSON.stringify(name)} is not a project's name`);
  return name;
}

export function projectFromWire(message: Project): ProjectInfo {
  const visibility = visibilityFromWire(message.visibility);
  if (visibility === undefined) throw new MicError("usage", "a project without a visibility");
  return {
    id: idFromWire<ProjectId>(message.id, ID_BYTES, "a project id"),
    name: nameFromWire(message.name),
    description: message.description,
    visibility,
    createdAtMs: numberFromWire(message.createdAtMs, "time"),
    salt: idFromWire(message.salt, SALT_BYTES, "a salt"),
  };
}

export function createProjectToWire(request: CreateProject): CreateProjectRequest {
  return {
    id: hexToBytes(request.id),
    name: request.name,
    description: request.description ?? "",
    visibility:
      request.visibility === undefined ? WireVisibility.UNSPECIFIED : VISIBILITY_TO_WIRE[request.visibility],
    salt: idToWire(request.salt),
  };
}

/** `mintId` for a caller that gave no id. */
export function createProjectFromWire(message: CreateProjectRequest, mintId: () => ProjectId): CreateProject {
  const visibility = visibilityFromWire(message.visibility);
  const salt = optionalId<string>(message.salt, SALT_BYTES, "a salt");
  return {
    id: optionalId<ProjectId>(message.id, ID_BYTES, "a project id") ?? mintId(),
    name: message.name,
    ...(message.description === "" ? {} : { description: message.description }),
    ...(visibility === undefined ? {} : { visibility }),
    ...(salt === undefined ? {} : { salt }),
  };
}

export function updateProjectToWire(project: ProjectId, request: UpdateProject): UpdateProjectRequest {
  return {
    project,
    name: request.name,
    description: request.description,
    visibility:
      request.visibility === undefined ? WireVisibility.UNSPECIFIED : VISIBILITY_TO_WIRE[request.visibility],
  };
}

export function updateProjectFromWire(message: UpdateProjectRequest): UpdateProject {
  const visibility = visibilityFromWire(message.visibility);
  return {
    ...(message.name === undefined ? {} : { name: message.name }),
    ...(message.description === undefined ? {} : { description: message.description }),
    ...(visibility === undefined ? {} : { visibility }),
  };
}

export function headToWire({ position, root, hlc, salt }: HeadInfo): Head {
  return { position: BigInt(position), root: hexToBytes(root), hlc, salt: hexToBytes(salt) };
}

export function headFromWire(message: Head): HeadInfo {
  return {
    position: positionFromWire(message.position),
    root: hashFromWire(message.root, "the head's root"),
    hlc: message.hlc,
    salt: idFromWire(message.salt, SALT_BYTES, "a salt"),
  };
}

const UNITS: ReadonlySet<string> = new Set<Progress["unit"]>(["files", "bytes", "positions", "objects"]);

export function progressToWire({ done, total, unit }: Progress): WireFsckProgress {
  return { done: BigInt(done), total: BigInt(total), unit };
}

export function progressFromWire(message: WireFsckProgress): Progress {
  if (!UNITS.has(message.unit))
    throw new MicError("usage", `unit ${JSON.stringify(message.unit)} is not known`);
  return {
    done: numberFromWire(message.done, "progress"),
    total: numberFromWire(message.total, "progress"),
    unit: message.unit as Progress["unit"],
  };
}

export function fsckReportToWire(report: FsckReport): WireFsckReport {
  return {
    positions: BigInt(report.positions),
    packs: BigInt(report.packs),
    objects: BigInt(report.objects),
    bytes: BigInt(report.bytes),
    unreferenced: BigInt(report.unreferenced),
    findings: report.findings.map(findingToWire),
  };
}

function findingToWire({ severity, code, message, object, position, path }: FsckFinding): WireFsckFinding {
  return {
    severity,
    code,
    message,
    object: object ?? "",
    position: position === undefined ? undefined : BigInt(position),
    path: path ?? "",
  };
}

export function fsckReportFromWire(message: WireFsckReport): FsckReport {
  return {
    positions: numberFromWire(message.positions, "count"),
    packs: numberFromWire(message.packs, "count"),
    objects: numberFromWire(message.objects, "count"),
    bytes: numberFromWire(message.bytes, "count"),
    unreferenced: numberFromWire(message.unreferenced, "count"),
    findings: message.findings.map(findingFromWire),
  };
}

function findingFromWire({ severity, code, message, object, position, path }: WireFsckFinding): FsckFinding {
  if (severity !== "error" && severity !== "warning") {
    throw new MicError("usage", `severity ${JSON.stringify(severity)} is not known`);
  }
  return {
    severity,
    code,
    message,
    ...(object === "" ? {} : { object }),
    ...(position === undefined ? {} : { position: positionFromWire(position) }),
    ...(path === "" ? {} : { path: parseTreePath(path) }),
  };
}
