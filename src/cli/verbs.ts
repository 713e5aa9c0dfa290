/** Every verb with its one-line summary. A verb's module is loaded when it is run, or when help needs it. */
import type { DefineCommand } from "./command-definition.ts";

export interface Verb {
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly group: string;
  readonly summary: string;
  load(): Promise<{ readonly define: DefineCommand }>;
}

const START = "Start:";
const WORK = "Work:";
const HISTORY = "Look at history:";
const MOVE = "Move and undo:";
const FORGE = "Share:";
const OTHER = "Other:";

export const VERBS: readonly Verb[] = [
  {
    name: "init",
    group: START,
    summary: "make a workspace with its own forge",
    load: () => import("./command/init.ts"),
  },
  {
    name: "clone",
    aliases: ["checkout"],
    group: START,
    summary: "make a workspace of an existing project",
    load: () => import("./command/clone.ts"),
  },
  {
    name: "link",
    group: START,
    summary: "turn a directory into a workspace, files left alone",
    load: () => import("./command/link.ts"),
  },
  {
    name: "publish",
    group: START,
    summary: "move the workspace's project to another forge",
    load: () => import("./command/publish.ts"),
  },
  {
    name: "status",
    group: WORK,
    summary: "show what changed since the base",
    load: () => import("./command/status.ts"),
  },
  {
    name: "diff",
    group: WORK,
    summary: "show changes as a unified diff",
    load: () => import("./command/diff.ts"),
  },
  {
    name: "land",
    group: WORK,
    summary: "land the workspace's changes under a goal",
    load: () => import("./command/land.ts"),
  },
  {
    name: "sync",
    group: WORK,
    summary: "bring in what others landed, merging local changes",
    load: () => import("./command/sync.ts"),
  },
  {
    name: "resolve",
    group: WORK,
    summary: "settle conflicts, hunk by hunk or by strategy",
    load: () => import("./command/resolve.ts"),
  },
  {
    name: "session",
    group: WORK,
    summary: "record work with its goal, decisions and conversation",
    load: () => import("./command/session.ts"),
  },
  {
    name: "track",
    group: WORK,
    summary: "add ignored paths to what is landed",
    load: () => import("./command/track.ts"),
  },
  {
    name: "untrack",
    group: WORK,
    summary: "stop landing paths; the files stay",
    load: () => import("./command/untrack.ts"),
  },
  {
    name: "watch",
    group: WORK,
    summary: "keep status fast by watching the workspace's files",
    load: () => import("./command/watch.ts"),
  },
  {
    name: "log",
    group: HISTORY,
    summary: "list landings, newest first",
    load: () => import("./command/log.ts"),
  },
  {
    name: "show",
    group: HISTORY,
    summary: "show one landing with its diff",
    load: () => import("./command/show.ts"),
  },
  {
    name: "blame",
    group: HISTORY,
    summary: "show which landing each line of a file is from",
    load: () => import("./command/blame.ts"),
  },
  {
    name: "cat",
    group: HISTORY,
    summary: "print a file as it was at a position",
    load: () => import("./command/cat.ts"),
  },
  {
    name: "ls",
    group: HISTORY,
    summary: "list a directory as it was at a position",
    load: () => import("./command/ls.ts"),
  },
  {
    name: "goto",
    group: MOVE,
    summary: "bring the workspace to a position",
    load: () => import("./command/goto.ts"),
  },
  {
    name: "restore",
    group: MOVE,
    summary: "bring files back as they were",
    load: () => import("./command/restore.ts"),
  },
  {
    name: "revert",
    group: MOVE,
    summary: "land the inverse of a landing",
    load: () => import("./command/revert.ts"),
  },
  {
    name: "undo",
    group: MOVE,
    summary: "undo the last change to the workspace",
    load: () => import("./command/undo.ts"),
  },
  {
    name: "redo",
    group: MOVE,
    summary: "do again what was undone",
    load: () => import("./command/redo.ts"),
  },
  {
    name: "ops",
    group: MOVE,
    summary: "list what can be undone",
    load: () => import("./command/ops.ts"),
  },
  {
    name: "project",
    group: FORGE,
    summary: "create, list and change projects of a forge",
    load: () => import("./command/project.ts"),
  },
  {
    name: "org",
    group: FORGE,
    summary: "create and list organizations of a forge",
    load: () => import("./command/org.ts"),
  },
  {
    name: "serve",
    group: FORGE,
    summary: "serve a forge on one port, for teams and agents",
    load: () => import("./command/serve.ts"),
  },
  {
    name: "admin",
    group: FORGE,
    summary: "users, audit log, backups and health of a server",
    load: () => import("./command/admin.ts"),
  },
  {
    name: "auth",
    group: FORGE,
    summary: "sign in to a server, and out",
    load: () => import("./command/auth.ts"),
  },
  {
    name: "fsck",
    group: OTHER,
    summary: "check everything that is stored",
    load: () => import("./command/fsck.ts"),
  },
  {
    name: "gc",
    group: OTHER,
    summary: "reclaim what nothing needs any more",
    load: () => import("./command/gc.ts"),
  },
  {
    name: "storage",
    group: OTHER,
    summary: "test a bucket, count what is stored, move between stores",
    load: () => import("./command/storage.ts"),
  },
  {
    name: "config",
    group: OTHER,
    summary: "read and change the configuration",
    load: () => import("./command/config.ts"),
  },
  {
    name: "completion",
    group: OTHER,
    summary: "print a shell's completion script",
    load: () => import("./command/completion.ts"),
  },
  {
    name: "version",
    group: OTHER,
    summary: "print version, commit, runtime and formats",
    load: () => import("./command/version.ts"),
  },
];

export function findVerb(name: string): Verb | undefined {
  return VERBS.find((verb) => verb.name === name || verb.aliases?.includes(name) === true);
}
