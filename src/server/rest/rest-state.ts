/** What the routes share between calls. */
import { MicError } from "../../core/base/errors.ts";
import type { ProjectId } from "../../core/base/ids.ts";
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
  readonly #heads = new Map<ProjectId, RenderedHead>();

  constructor(context: ServerContext, routes: readonly Route[], options: RestOptions) {
    this.#routes = routes;
    this.context = context;
    this.heartbeatMs = options.heartbeatMs ?? 15_000;
    this.stalledMs = options.stalledMs ?? 60_000;
  }

  /** Errors: `usage` for what can be neither an id nor a name. */
  checkProject(text: string): string {
    if (ID.test(text) || text.includes("/")) return text;
    throw new MicError("usage", `${JSON.stringify(text.slice(0, 200))} is not a project`, {
      hint: "use its id, or its name with an encoded slash: org%2Fproject",
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
