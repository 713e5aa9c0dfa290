/** Where a watcher learns that something has changed: a port, so that losses and storms can be tested. */

export interface ChangeHandlers {
  /**
   * Something at `path` (relative to the root, `/` between components, empty for the root) was made, removed,
   * renamed, written or had its mode changed. In the order in which it happened, across directories: what
   * happened before a change that is reported has been reported.
   */
  changed(path: string): void;
  /** Events were dropped: anything may have changed, and new directories may not be watched. */
  lost(reason: string): void;
  /** It has ended, or does not cover the whole tree. */
  failed(error: unknown): void;
}

export interface ChangeSource extends AsyncDisposable {
  /** Resolves when every directory below the root is watched; those made later are as they are made. */
  start(handlers: ChangeHandlers): Promise<void>;
}
