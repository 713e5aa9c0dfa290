/**
 * The graph of `mic log --graph`. Positions form one line; a landing that was made on an older base is joined
 * to that base by a lane on the right:
 *
 *     o    @5  made on @3 while @4 was landed
 *     |\
 *     o |  @4
 *     |/
 *     o    @3
 */

export interface GraphRow {
  /** Before the landing's first line. */
  readonly node: string;
  /** Before its other lines. */
  readonly rest: string;
  /** Lines of their own before the landing (lanes that end at it) and after it (a lane that starts). */
  readonly before: readonly string[];
  readonly after: readonly string[];
}

export class LandingGraph {
  /** Where each lane ends; undefined: free. */
  #lanes: (number | undefined)[] = [];

  /** Call from the newest position to the oldest. `base` is what the landing was made on. */
  next(position: number, base: number): GraphRow {
    const before: string[] = [];
    for (const [lane, target] of this.#lanes.entries()) {
      // Beyond the target where a filter left the target out.
      if (target === undefined || target < position) continue;
      before.push(this.#junction(lane, "/"));
      this.#lanes[lane] = undefined;
    }
    this.#trim();
    const node = this.#line("o");
    const after: string[] = [];
    let rest = this.#line("|");
    if (base < position - 1 && !this.#lanes.includes(base)) {
      const free = this.#lanes.indexOf(undefined);
      const lane = free === -1 ? this.#lanes.length : free;
      after.push(this.#junction(lane, "\\"));
      this.#lanes[lane] = base;
      rest = this.#line("|").slice(0, Math.max(node.length, 1));
    }
    return { node, rest, before, after };
  }

  /** Cells of the widest gutter so far. */
  get width(): number {
    return 1 + this.#lanes.length * 2;
  }

  #line(main: string): string {
    return main + this.#lanes.map((target) => (target === undefined ? "  " : " |")).join("");
  }

  /** `|/` or `|\` towards a lane, other lanes passing through. */
  #junction(lane: number, stroke: string): string {
    let line = "|";
    for (let i = 0; i < Math.max(this.#lanes.length, lane + 1); i++) {
      const passing = this.#lanes[i] !== undefined && i !== lane ? "|" : " ";
      if (i < lane) line += `_${passing === "|" ? "|" : "_"}`;
      else if (i === lane) line += `${stroke} `;
      else line += ` ${passing}`;
    }
    return line.trimEnd();
  }

  #trim(): void {
    while (this.#lanes.length > 0 && this.#lanes.at(-1) === undefined) this.#lanes.pop();
  }
}
