/** A forge that tells of every change that passes through it, so that live streams need not wait for their poll. */
import type { ProjectId } from "../../core/base/ids.ts";
import type { Forge, LandResult, Session } from "../../core/forge/forge.ts";
import type { ChangeNotices } from "./events.ts";

export function notifyingForge(forge: Forge, notices: ChangeNotices): Forge {
  const told = tellingMethods(forge, notices);
  const methods = new Map<string | symbol, unknown>(Object.entries(told));
  return new Proxy(forge, {
    get(target, name) {
      const known = methods.get(name);
      if (known !== undefined) return known;
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== "function") return value;
      const bound: unknown = value.bind(target);
      methods.set(name, bound);
      return bound;
    },
  });
}

/** Tells all of them, also those that are added later. */
export function toEach(notices: readonly ChangeNotices[]): ChangeNotices {
  return {
    landed(project, position) {
      for (const each of notices) each.landed(project, position);
    },
    sessionChanged(project, session) {
      for (const each of notices) each.sessionChanged(project, session);
    },
  };
}

function tellingMethods(forge: Forge, notices: ChangeNotices) {
  const landed = (project: ProjectId, result: LandResult, session = sessionOf(result)): LandResult => {
    if (result.kind === "landed") notices.landed(project, result.position);
    if (session !== undefined) notices.sessionChanged(project, session);
    return result;
  };
  const changed = (project: ProjectId, session: Session): Session => {
    notices.sessionChanged(project, session.id);
    return session;
  };
  return {
    land: async (project, request, options) =>
      landed(project, await forge.land(project, request, options), request.session),
    landSession: async (project, request, options) =>
      landed(project, await forge.landSession(project, request, options), request.session),
    importLandings: async (project, request, options) => {
      const head = await forge.importLandings(project, request, options);
      notices.landed(project, head.position);
      return head;
    },
    importSession: async (project, session, options) => {
      await forge.importSession(project, session, options);
      notices.sessionChanged(project, session.id);
    },
    startSession: async (project, request, options) =>
      changed(project, await forge.startSession(project, request, options)),
    recordOperations: async (project, session, operations, options) =>
      changed(project, await forge.recordOperations(project, session, operations, options)),
    recordDecision: async (project, session, text, options) =>
      changed(project, await forge.recordDecision(project, session, text, options)),
    recordConversation: async (project, session, messages, options) =>
      changed(project, await forge.recordConversation(project, session, messages, options)),
    abandonSession: async (project, session, options) =>
      changed(project, await forge.abandonSession(project, session, options)),
  } satisfies Partial<Forge>;
}

function sessionOf(result: LandResult) {
  return result.kind === "landed" ? result.session : undefined;
}
