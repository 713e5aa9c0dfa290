/** Draws the state of `mic resolve`. */
import { Box, Text, useApp, useInput, useWindowSize } from "ink";
import { useRef, useState } from "react";
import { escapeLine, plural, truncate } from "../text.ts";
import { type Command, interpretKey, KEY_HELP, type KeyPress } from "./resolve-keys.ts";
import { type LaidOutLine, type LineTone, layOutHunk } from "./resolve-layout.ts";
import {
  type Choice,
  isChosen,
  type ResolveFile,
  type ResolveState,
  reduce,
  unsavedChoices,
  type WholeConflict,
} from "./resolve-state.ts";

export interface ResolveViewProps {
  readonly initial: ResolveState;
  readonly color: boolean;
  /** Called when a key asks for something outside the state; the view has then left the screen. */
  readonly onCommand: (command: Command, state: ResolveState) => void;
}

const FILES_SHOWN_MAX = 5;
const FIXED_ROWS = 7;
const ROWS_MIN = 6;

const TONE_COLORS: Readonly<Record<LineTone, string | undefined>> = {
  context: undefined,
  ours: "green",
  theirs: "magenta",
  base: "yellow",
  title: "cyan",
};

export function ResolveView({ initial, color, onCommand }: ResolveViewProps) {
  const [state, setState] = useState(initial);
  // Keys may come faster than the screen is drawn: each acts on what the one before it left.
  const latest = useRef(initial);
  const left = useRef(false);
  const { exit } = useApp();
  const { columns, rows } = useWindowSize();
  const fileRows = Math.min(FILES_SHOWN_MAX, state.files.length);
  const bodyRows = Math.max(ROWS_MIN, rows - FIXED_ROWS - fileRows);
  useInput((input, key) => {
    if (key.ctrl && input === "c") {
      leave("interrupt");
      return;
    }
    const special = {
      tab: key.tab,
      shift: key.shift,
      backspace: key.backspace || key.delete,
      up: key.upArrow,
      down: key.downArrow,
      left: key.leftArrow,
      right: key.rightArrow,
      pageUp: key.pageUp,
      pageDown: key.pageDown,
    };
    // Characters typed quickly arrive as one text.
    for (const character of input.length > 1 ? input : [input]) press({ input: character, ...special });
  });
  function press(key: KeyPress): void {
    if (left.current) return;
    const before = latest.current;
    const meaning = interpretKey(before, key);
    if (meaning === undefined) return;
    // Nothing chosen is lost by leaving at once.
    if (typeof meaning !== "object") leave(meaning);
    else if (meaning.kind === "quit" && unsavedChoices(before) === 0) leave("leave");
    else {
      const lines =
        meaning.kind === "scroll" ? Math.min(meaning.lines, linesBelow(before, columns, bodyRows)) : 0;
      latest.current = reduce(before, meaning.kind === "scroll" ? { kind: "scroll", lines } : meaning);
      setState(latest.current);
    }
  }
  function leave(command: Command): void {
    left.current = true;
    onCommand(command, latest.current);
    exit();
  }
  const file = state.files[state.file]!;
  const paint = (name: string | undefined) => (color && name !== undefined ? { color: name } : {});
  return (
    <Box flexDirection="column" width={columns} height={rows - 1}>
      <Header state={state} columns={columns} />
      <FileList state={state} rows={fileRows} columns={columns} paint={paint} />
      <Text {...paint("cyan")}>{"─".repeat(columns)}</Text>
      <Box flexDirection="column" height={bodyRows} overflow="hidden">
        {state.screen === "help" ? (
          <Help />
        ) : (
          <Body state={state} columns={columns} rows={bodyRows} paint={paint} />
        )}
      </Box>
      <Text {...paint("cyan")}>{"─".repeat(columns)}</Text>
      <ChoiceLine file={file} hunk={state.hunk} columns={columns} paint={paint} />
      <Footer state={state} columns={columns} paint={paint} />
    </Box>
  );
}

/** How far the hunk can still be scrolled down. */
function linesBelow(state: ResolveState, columns: number, bodyRows: number): number {
  const { conflict } = state.files[state.file]!;
  if (conflict.kind === "whole") return 0;
  return Math.max(0, layOutHunk(conflict, state.hunk, columns).length - bodyRows - state.scroll);
}

type Paint = (name: string | undefined) => { color?: string };

function Header({ state, columns }: { readonly state: ResolveState; readonly columns: number }) {
  const file = state.files[state.file]!;
  const left = state.files.filter((item) => !item.saved).length;
  const title = `mic resolve   file ${state.file + 1} of ${state.files.length}   hunk ${state.hunk + 1} of ${file.choices.length}   ${plural(left, "file")} left`;
  return <Text bold>{truncate(title, columns)}</Text>;
}

interface FileListProps {
  readonly state: ResolveState;
  readonly rows: number;
  readonly columns: number;
  readonly paint: Paint;
}

function FileList({ state, rows, columns, paint }: FileListProps) {
  const start = Math.max(0, Math.min(state.file - Math.floor(rows / 2), state.files.length - rows));
  return (
    <Box flexDirection="column" height={rows}>
      {state.files.slice(start, start + rows).map((file, i) => {
        const isCurrent = start + i === state.file;
        const text = `${isCurrent ? "›" : " "} ${fileMark(file)} ${escapeLine(file.conflict.path)}  ${fileState(file)}`;
        return (
          <Text
            key={file.conflict.path}
            bold={isCurrent}
            {...paint(file.saved || isChosen(file) ? "green" : undefined)}
          >
            {truncate(text, columns)}
          </Text>
        );
      })}
    </Box>
  );
}

function fileMark(file: ResolveFile): string {
  if (file.saved) return "✓";
  return isChosen(file) ? "•" : "!";
}

function fileState(file: ResolveFile): string {
  if (file.saved) return "resolved";
  const chosen = file.choices.filter((choice) => choice !== undefined).length;
  const what = file.conflict.kind === "whole" ? `${wholeReason(file.conflict)}, ` : "";
  return `${what}${chosen} of ${file.choices.length} chosen`;
}

function wholeReason(conflict: WholeConflict): string {
  switch (conflict.reason) {
    case "content":
      return "content";
    case "binary":
      return "binary";
    case "deleted-by-us":
      return "deleted here, changed there";
    case "deleted-by-them":
      return "changed here, deleted there";
    case "kind":
      return "kinds differ";
    case "directory":
      return "file against directory";
  }
}

interface BodyProps extends FileListProps {}

function Body({ state, columns, rows, paint }: BodyProps) {
  const { conflict } = state.files[state.file]!;
  if (conflict.kind === "whole") {
    return (
      <Box flexDirection="column" paddingTop={1}>
        <Text>{truncate(`${wholeReason(conflict)}: one side is taken as a whole`, columns)}</Text>
        <Text> </Text>
        <Text {...paint("green")}>
          {truncate(`o  ours (workspace):  ${escapeLine(conflict.ours)}`, columns)}
        </Text>
        <Text {...paint("magenta")}>
          {truncate(`t  theirs (project):  ${escapeLine(conflict.theirs)}`, columns)}
        </Text>
      </Box>
    );
  }
  const lines = layOutHunk(conflict, state.hunk, columns);
  const start = Math.min(state.scroll, Math.max(0, lines.length - rows));
  const shown = lines.slice(start, start + rows);
  const below = lines.length - start - shown.length;
  return (
    <>
      {shown.map((line, i) => {
        const isLast = i === shown.length - 1 && below > 0;
        const key = start + i;
        return isLast ? (
          <Text key={key} dimColor>{`… ${plural(below + 1, "more line")} (Space and arrows scroll)`}</Text>
        ) : (
          <BodyLine key={key} line={line} paint={paint} />
        );
      })}
    </>
  );
}

function BodyLine({ line, paint }: { readonly line: LaidOutLine; readonly paint: Paint }) {
  return (
    <Text wrap="truncate">
      {line.cells.map((cell, i) => (
        <Text
          key={`${i === 0 ? "left" : "right"}`}
          dimColor={cell.tone === "context"}
          {...paint(TONE_COLORS[cell.tone])}
        >
          {i === 0 ? cell.text : ` │ ${cell.text}`}
        </Text>
      ))}
    </Text>
  );
}

function Help() {
  const width = Math.max(...KEY_HELP.map(([key]) => key.length));
  return (
    <>
      {KEY_HELP.map(([key, meaning]) => (
        <Text key={key}>{`  ${key.padEnd(width)}   ${meaning}`}</Text>
      ))}
    </>
  );
}

interface ChoiceLineProps {
  readonly file: ResolveFile;
  readonly hunk: number;
  readonly columns: number;
  readonly paint: Paint;
}

function ChoiceLine({ file, hunk, columns, paint }: ChoiceLineProps) {
  if (file.saved) return <Text {...paint("green")}>resolved and saved</Text>;
  const choice = file.choices[hunk];
  const text = choice === undefined ? "no choice yet" : `chosen: ${describeChoice(choice)}`;
  return <Text {...paint(choice === undefined ? "yellow" : "green")}>{truncate(text, columns)}</Text>;
}

function describeChoice(choice: Choice): string {
  if (typeof choice === "object") return "as edited";
  switch (choice) {
    case "ours":
      return "ours (workspace)";
    case "theirs":
      return "theirs (project)";
    case "base":
      return "the base (neither)";
    case "union":
      return "both (ours, then theirs)";
  }
}

function Footer({
  state,
  columns,
  paint,
}: {
  readonly state: ResolveState;
  readonly columns: number;
  readonly paint: Paint;
}) {
  if (state.screen === "confirm-quit") {
    const question = `${plural(unsavedChoices(state), "choice")} not saved: y quit anyway, s save, any other key stays`;
    return <Text {...paint("yellow")}>{truncate(question, columns)}</Text>;
  }
  const keys =
    state.files[state.file]!.conflict.kind === "whole"
      ? "o ours  t theirs  z undo  n/p hunk  s save  q quit  ? help"
      : "o ours  t theirs  u both  b base  e edit  z undo  n/p hunk  s save  q quit  ?";
  return (
    <Text {...(state.message === "" ? { dimColor: true } : paint("yellow"))}>
      {truncate(state.message === "" ? keys : state.message, columns)}
    </Text>
  );
}
