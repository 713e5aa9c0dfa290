/** One landing in full, without its diff. */
import type { ConversationMessage, Landing } from "../../core/forge/forge.ts";
import type { Style } from "../style.ts";
import { escapeBlock, escapeLine, plural, wrap } from "../text.ts";
import { formatMinute } from "./time.ts";

const INDENT = "    ";

export function* renderLandingDetails(landing: Landing, style: Style, columns: number): Generator<string> {
  const { position, goal, author, agent, timeMs, session, base, changes, decisions, conversation } = landing;
  yield `${style.cyan(`@${position}`)}  ${plural(changes, "change")}`;
  yield `author   ${escapeLine(author)}`;
  if (agent !== "") yield `agent    ${escapeLine(agent)}`;
  yield `time     ${formatMinute(timeMs)}`;
  yield `session  ${session}`;
  if (base.position !== position - 1) yield `base     @${base.position}`;
  yield "";
  for (const line of paragraph(goal, columns)) yield style.bold(line);
  yield* renderRecord(decisions, conversation, style, columns);
}

/** Decisions and conversation, of a landing or of a session. */
export function* renderRecord(
  decisions: readonly string[],
  conversation: readonly ConversationMessage[],
  style: Style,
  columns: number,
): Generator<string> {
  if (decisions.length > 0) {
    yield "";
    yield "decisions";
    for (const decision of decisions) yield* item("- ", decision, columns);
  }
  if (conversation.length > 0) {
    yield "";
    yield "conversation";
    for (const { role, text } of conversation) {
      yield `  ${style.magenta(`${escapeLine(role)}:`)}`;
      for (const line of paragraph(text, columns)) yield line;
    }
  }
}

function paragraph(text: string, columns: number): string[] {
  return wrap(escapeBlock(text.trimEnd()), columns - INDENT.length).map((line) =>
    line === "" ? "" : INDENT + line,
  );
}

function* item(bullet: string, text: string, columns: number): Generator<string> {
  const lines = wrap(escapeBlock(text.trimEnd()), columns - INDENT.length);
  for (const [i, line] of lines.entries()) yield `  ${i === 0 ? bullet : "  "}${line}`;
}
