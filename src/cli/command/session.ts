/** `mic session …`: work recorded with its goal, decisions and conversation. */
import { parseSessionId, type SessionId } from "../../core/base/ids.ts";
import type { Session, SessionSummary } from "../../core/forge/forge.ts";
import { answerLanding } from "../answer-landing.ts";
import { type DefineCommand, examples } from "../command-definition.ts";
import type { Invocation } from "../invocation.ts";
import { renderRecord } from "../render/show.ts";
import { formatMinute, toRfc3339 } from "../render/time.ts";
import { escapeLine, firstLine, padEnd, truncate } from "../text.ts";
import { defineResolve } from "./resolve.ts";

interface ChosenSession {
  readonly session?: string;
}

interface SessionLandOptions extends ChosenSession {
  readonly message?: string;
  readonly sync?: string | true;
  readonly allowEmpty?: boolean;
  readonly strict?: boolean;
}

interface ListOptions {
  readonly state?: string;
  readonly owner?: string;
}

const SYNC_ATTEMPTS = 10;
const STATES = ["open", "landed", "abandoned", "conflicted"] as const;

export const define: DefineCommand = (command, bind) => {
  const session = "use this session instead of the workspace's open one";
  command.command("start <goal>").description("open a session in this workspace").action(bind(start));
  command.command("status").description("show the open session").action(bind(status));
  command
    .command("list")
    .description("list the project's sessions")
    .option("--state <state>", STATES.join(", "))
    .option("--owner <text>", "only this owner's")
    .action(bind(list));
  command.command("show <id>").description("show one session in full").action(bind(show));
  command
    .command("note <text>")
    .description("record a note")
    .option("--session <id>", session)
    .action(bind(note));
  command
    .command("decision <text>")
    .description("record a decision and its reason")
    .option("--session <id>", session)
    .action(bind(decision));
  command
    .command("say <role> <text>")
    .description("record a message of the conversation: user, assistant, …")
    .option("--session <id>", session)
    .action(bind(say));
  command
    .command("land [goal]")
    .description("land the changes with the session's record")
    .option("--sync [attempts]", "on conflict sync and try again")
    .option("--allow-empty", "land although nothing changed")
    .option("--strict", "refuse what looks like a key, a token or a password")
    .option("--session <id>", session)
    .action(bind(land));
  command
    .command("abandon")
    .description("give the session up; files stay as they are")
    .option("--session <id>", session)
    .action(bind(abandon));
  defineResolve(command.command("resolve").description("settle conflicts, as `mic resolve`"), bind);
  command.addHelpText(
    "after",
    examples(
      'mic session start "make the parser faster"',
      'mic session decision "a table, since most tokens are one byte"',
      "mic session land",
    ),
  );
};

const load = () => import("../../core/workspace/commands/session.ts");

function chosen(options: ChosenSession): SessionId | undefined {
  return options.session === undefined ? undefined : parseSessionId(options.session);
}

async function start(invocation: Invocation, goal: string): Promise<void> {
  const workspace = await invocation.openWorkspace();
  const { startSession } = await load();
  const session = await startSession(workspace, goal);
  invocation.output.answer(sessionDocument(session), () => `session ${session.id} is open`);
}

async function status(invocation: Invocation): Promise<void> {
  const workspace = await invocation.openWorkspace();
  const { output } = invocation;
  if (workspace.settings.session === undefined) {
    output.answer({ session: null }, () => "no session is open");
    output.hint('mic session start "goal"');
    return;
  }
  const { showSession } = await load();
  writeSession(invocation, await showSession(workspace));
}

async function show(invocation: Invocation, id: string): Promise<void> {
  const workspace = await invocation.openWorkspace();
  const { showSession } = await load();
  writeSession(invocation, await showSession(workspace, parseSessionId(id)));
}

async function list(invocation: Invocation, options: ListOptions): Promise<void> {
  const workspace = await invocation.openWorkspace();
  const { listSessions } = await load();
  const { output } = invocation;
  const state = STATES.find((known) => known === options.state);
  if (options.state !== undefined && state === undefined) {
    const { usageError } = await import("../errors.ts");
    throw usageError(`${JSON.stringify(options.state)} is not a state`, STATES.join(", "));
  }
  const sessions: SessionSummary[] = [];
  let after: string | undefined;
  do {
    const page = await listSessions(workspace, {
      ...(state === undefined ? {} : { state }),
      ...(options.owner === undefined ? {} : { owner: options.owner }),
      ...(after === undefined ? {} : { after }),
    });
    sessions.push(...page.items);
    after = page.next;
  } while (after !== undefined);
  output.answer({ sessions: sessions.map(summaryDocument) }, () =>
    sessions.length === 0
      ? "no sessions"
      : sessions
          .map(({ id, state: its, landedAt, goal }) => {
            const where = landedAt === undefined ? its : `@${landedAt}`;
            return `${id}  ${padEnd(where, 10)}  ${truncate(firstLine(goal), output.columns - 46)}`;
          })
          .join("\n"),
  );
}

async function note(invocation: Invocation, text: string, options: ChosenSession): Promise<void> {
  const workspace = await invocation.openWorkspace();
  const { recordNote } = await load();
  confirm(invocation, await recordNote(workspace, text, chosen(options)), "noted");
}

async function decision(invocation: Invocation, text: string, options: ChosenSession): Promise<void> {
  const workspace = await invocation.openWorkspace();
  const { recordDecision } = await load();
  confirm(invocation, await recordDecision(workspace, text, chosen(options)), "decision recorded");
}

async function say(
  invocation: Invocation,
  role: string,
  text: string,
  options: ChosenSession,
): Promise<void> {
  const workspace = await invocation.openWorkspace();
  const { recordMessages } = await load();
  confirm(invocation, await recordMessages(workspace, [{ role, text }], chosen(options)), "message recorded");
}

async function land(
  invocation: Invocation,
  goal: string | undefined,
  options: SessionLandOptions,
): Promise<void> {
  const workspace = await invocation.openWorkspace();
  const { landSession } = await load();
  const session = chosen(options);
  const attempts =
    options.sync === undefined ? 0 : options.sync === true ? SYNC_ATTEMPTS : Number(options.sync);
  const outcome = await landSession(workspace, {
    ...(goal === undefined ? {} : { goal }),
    ...(session === undefined ? {} : { session }),
    syncAttempts: Number.isSafeInteger(attempts) ? attempts : SYNC_ATTEMPTS,
    allowEmpty: options.allowEmpty === true,
    refuseSecrets: options.strict === true,
  });
  await answerLanding(invocation, workspace, outcome);
}

async function abandon(invocation: Invocation, options: ChosenSession): Promise<void> {
  const workspace = await invocation.openWorkspace();
  const { abandonSession } = await load();
  confirm(invocation, await abandonSession(workspace, chosen(options)), "session abandoned");
}

function confirm(invocation: Invocation, session: Session, text: string): void {
  invocation.output.answer(sessionDocument(session), () => text);
}

function writeSession(invocation: Invocation, session: Session): void {
  const { output } = invocation;
  output.answer(sessionDocument(session), () =>
    [
      `session  ${session.id}`,
      `state    ${session.landedAt === undefined ? session.state : `landed at @${session.landedAt}`}`,
      `owner    ${escapeLine(session.owner)}`,
      `base     @${session.base.position}`,
      `started  ${formatMinute(session.createdAtMs)}`,
      "",
      `    ${output.style.bold(firstLine(session.goal))}`,
      ...renderRecord(session.decisions, session.conversation, output.style, output.columns),
    ].join("\n"),
  );
}

function summaryDocument(session: SessionSummary): Record<string, unknown> {
  return {
    session: session.id,
    goal: session.goal,
    owner: session.owner,
    state: session.state,
    base: session.base.position,
    created: toRfc3339(session.createdAtMs),
    updated: toRfc3339(session.updatedAtMs),
    position: session.landedAt ?? null,
  };
}

function sessionDocument(session: Session): Record<string, unknown> {
  return {
    ...summaryDocument(session),
    decisions: session.decisions,
    conversation: session.conversation,
  };
}
