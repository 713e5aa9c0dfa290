/** Colours, and whether to use them. */
import type { CommandLineWorld } from "./world.ts";

export interface Style {
  readonly enabled: boolean;
  bold(text: string): string;
  dim(text: string): string;
  red(text: string): string;
  green(text: string): string;
  yellow(text: string): string;
  blue(text: string): string;
  magenta(text: string): string;
  cyan(text: string): string;
}

function paint(enabled: boolean, open: number, close: number): (text: string) => string {
  if (!enabled) return (text) => text;
  return (text) => (text === "" ? "" : `\u001b[${open}m${text}\u001b[${close}m`);
}

export function makeStyle(enabled: boolean): Style {
  return {
    enabled,
    bold: paint(enabled, 1, 22),
    dim: paint(enabled, 2, 22),
    red: paint(enabled, 31, 39),
    green: paint(enabled, 32, 39),
    yellow: paint(enabled, 33, 39),
    blue: paint(enabled, 34, 39),
    magenta: paint(enabled, 35, 39),
    cyan: paint(enabled, 36, 39),
  };
}

export interface ColorRequest {
  /** `--no-color` was given. */
  readonly disabled: boolean;
  /** `ui.color` of the configuration. */
  readonly preference: string | undefined;
}

/** `--no-color`, then MIC_COLOR, NO_COLOR, CLICOLOR_FORCE, the configuration; else only on a terminal. */
export function wantsColor(world: CommandLineWorld, isTty: boolean, request: ColorRequest): boolean {
  if (request.disabled) return false;
  const { env } = world;
  const own = decide(env["MIC_COLOR"]);
  if (own !== undefined) return own;
  if ((env["NO_COLOR"] ?? "") !== "") return false;
  const forced = env["CLICOLOR_FORCE"];
  if (forced !== undefined && forced !== "" && forced !== "0") return true;
  const preferred = decide(request.preference);
  if (preferred !== undefined) return preferred;
  return isTty && env["TERM"] !== "dumb" && env["CLICOLOR"] !== "0";
}

function decide(value: string | undefined): boolean | undefined {
  if (value === "always" || value === "1" || value === "true") return true;
  if (value === "never" || value === "0" || value === "false") return false;
  return undefined;
}
