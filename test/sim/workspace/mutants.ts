import type { Mutant } from "../mutants.ts";

const SETTLE = "src/core/workspace/checkout/settle.ts";
const MOVE = "src/core/workspace/checkout/move.ts";
const APPLY = "src/core/workspace/checkout/apply.ts";
const LAND = "src/core/workspace/commands/land.ts";

/** Rules of workspaces, each with what it guards against. The simulator must find every one of them missing. */
export const WORKSPACE_MUTANTS: readonly Mutant[] = [
  {
    name: "the base moves to a landing without what others landed before it",
    file: SETTLE,
    from: "if (others.length === 0) adoptLanding(ws, work);",
    to: "if (others.length >= 0) adoptLanding(ws, work);",
    finds: /takes \S+ at \d+ for another|has \S+ as .*, not /,
  },
  {
    name: "the base moves before the files, and nothing says that they follow",
    file: MOVE,
    from: "  const received = new ReceivedFrames(ws);\n",
    to: `  const isGone = ({ baseAfter }: TransitionStep): boolean => baseAfter === undefined;
  const upserts0 = transition.steps.filter((step) => !isGone(step));
  const removes0 = transition.steps.filter((step) => isGone(step) && step.baseBefore !== undefined);
  ws.changeIndex({
    base: transition.to,
    upserts: upserts0.map(({ path, baseAfter }) => ({ path, ...baseAfter!, stat: undefined })),
    removes: removes0.map(({ path }) => path),
  });
  ws.clearTransition();
  const received = new ReceivedFrames(ws);\n`,
    finds: /and did not go there|has \S+ as .*, not /,
  },
  {
    name: "a move is not written down before it begins",
    firstSeed: 3,
    file: MOVE,
    from: "    ws.saveTransition(transition);\n  } catch",
    to: "  } catch",
    finds: /has \S+ as .*, not /,
  },
  {
    name: "what is merged again is merged with the markers",
    firstSeed: 6,
    file: MOVE,
    from: "const again = planAgain(surprised, conflicts, transition.conflictsBefore);",
    to: `const changes = surprised.map((s) => ({ path: s.path, before: s.diskBefore, after: s.diskAfter }));
    const again = { changes, conflicts };`,
    finds: /has markers in /,
  },
  {
    name: "a pending landing is not looked for",
    file: SETTLE,
    from: "const found = await forge.findLanding(project, pending.landingId, pending.basePosition, callOptions(ws));",
    to: "const found = undefined as PositionRef | undefined;",
    also: [
      {
        file: SETTLE,
        from: "if (ws.inDirectory || !pending.resendable) {",
        to: "if (pending !== undefined) {",
      },
    ],
    finds: /knows nothing of its landing|lands \S+ again/,
  },
  {
    name: "a pending landing is sent again under another id",
    firstSeed: 31,
    file: SETTLE,
    from: "    landingId: pending.landingId,\n    base:",
    to: '    landingId: [...pending.landingId].reverse().join("") as typeof pending.landingId,\n    base:',
    finds: /landed twice|knows nothing of its landing/,
  },
  {
    name: "a landing is written down when it has been answered",
    file: LAND,
    from: "  ws.savePending(pending, pending.hasContent ? encodePack(inline).bytes : undefined);\n  const result = await send(ws, forge, request);\n",
    to: "  const result = await send(ws, forge, request);\n  ws.savePending(pending, pending.hasContent ? encodePack(inline).bytes : undefined);\n",
    finds: /knows nothing of its landing|lands \S+ again/,
  },
  {
    name: "a refusal ends a landing that may be on its way",
    firstSeed: 203,
    file: SETTLE,
    from: "if (isRefused && ageMs < ON_ITS_WAY_MS_MAX) {",
    to: "if (isRefused && ageMs < 0) {",
    finds: /knows nothing of its landing|lands \S+ again/,
  },
  {
    name: "unresolved conflicts are landed",
    file: LAND,
    from: "if (unresolved.length > 0) {",
    to: "if (unresolved.length < 0) {",
    finds: /lands markers|takes \S+ out of/,
  },
  {
    name: "a file is replaced without a look at what it is by now",
    file: APPLY,
    from: 'if (this.#look(step) === "other") {',
    to: 'if ((step.path as string) === "") {',
    finds: /lost \S+, which it had not landed/,
  },
];
