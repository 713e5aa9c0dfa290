/** What the routes share between calls. */
import { MicError } from "../../core/base/errors.ts";
import type { ProjectId } from "../../core/base/ids.ts";
import { parseProjectName } from "../../core/base/project-name.ts";
import type { HeadInfo } from "../../core/forge/forge.ts";
import type { ServerContext } from "../context.ts";
import { openApiDocument } from "./openapi.ts";
import type { Route } from "./route.ts";

const REMEMBERED_MAX = 10_000;
const ID = /^[0-9a-f]{32}$/;

export interface RestOptions {
  /** Milliseconds between the comments that keep a live stream open. Default 15 s. */
  readonly heartbeatMs?: number;
  /** Milliseconds after which a live stream is dropped whose client takes nothing. Default 60 s. */
  readonly stalledMs?: number;
}

export interface RenderedHead {
  readonly head: HeadInfo;
  readonly etag: string;
  readonly text: string;
}

export class RestState {
  readonly context: ServerContext;
  readonly heartbeatMs: number;
  readonly stalledMs: number;
  readonly #routes: readonly Route[];
  #openApi: string | undefined;
  readonly #ids = new Map<string, ProjectId>();
  readonly #heads = new Map<ProjectId, RenderedHead>();

  constructor(context: ServerContext, routes: readonly Route[], options: RestOptions) {
    this.#routes = routes;
    this.context = context;
    this.heartbeatMs = options.heartbeatMs ?? 15_000;
    this.stalledMs = options.stalledMs ?? 60_000;
  }

  /**
   * A name never means another project than the one it meant first, so what it means is remembered; whether the
   * project is still there is for the forge to say. Errors: `not-found`, `usage`.
   */
  projectId(text: string): ProjectId | Promise<ProjectId> {
    const known = this.#ids.get(text);
    if (known !== undefined) return known;
    if (ID.test(text)) return text as ProjectId;
    if (!text.includes("/")) {
      throw new MicError("usage", `${JSON.stringify(text.slice(0, 200))} is not a project`, {
        hint: "use its id, or its name with an encoded slash: org%2Fproject",
      });
    }
    parseProjectName(text);
    return this.context.forge.getProject(text).then(({ id }) => {
      if (this.#ids.size >= REMEMBERED_MAX) this.#ids.clear();
      this.#ids.set(text, id);
      return id;
    });
  }

  openApiText(): string {
    this.#openApi ??= JSON.stringify(openApiDocument(this.context.version, this.#routes));
    return this.#openApi;
  }

  /** The document of a head, made once for each head of a project. */
  renderHead(
    project: ProjectId,
    head: HeadInfo,
    render: (head: HeadInfo) => Omit<RenderedHead, "head">,
  ): RenderedHead {
    const known = this.#heads.get(project);
    if (known !== undefined && known.head.position === head.position && known.head.root === head.root) {
      if (known.head.hlc === head.hlc) return known;
    }
    const rendered = { head, ...render(head) };
    if (known === undefined && this.#heads.size >= REMEMBERED_MAX) this.#heads.clear();
    this.#heads.set(project, rendered);
    return rendered;
  }
}
