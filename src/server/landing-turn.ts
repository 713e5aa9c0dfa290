/**
 * Lets landings that arrive together be written together. The forge lands in groups whatever waits while it writes,
 * but a local store writes without waiting: each call would be landed, with a sync of its own, before the next one
 * is read from its socket.
 */
let turn: Promise<void> | undefined;

/** Resolves for all callers at once when the calls of this turn of the event loop have been read. */
export function nextLandingTurn(): Promise<void> {
  turn ??= new Promise((resolve) => {
    setImmediate(() => {
      turn = undefined;
      resolve();
    });
  });
  return turn;
}
