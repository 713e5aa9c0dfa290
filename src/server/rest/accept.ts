/** `Accept` as far as it matters here: whether what a route produces is welcome. */
import { HttpError } from "./problem.ts";

interface MediaRange {
  readonly type: string;
  readonly subtype: string;
  readonly quality: number;
}

const HEADER_CHARACTERS_MAX = 4096;

/**
 * The first of `produced` that the header prefers. Errors: 406 when it wants none of them. A header that is
 * absent, or cannot be read, wants anything.
 */
export function chooseType(header: string | undefined, produced: readonly string[]): string {
  if (header === undefined || header === "*/*" || header.length > HEADER_CHARACTERS_MAX) return produced[0]!;
  const ranges = parse(header);
  if (ranges.length === 0) return produced[0]!;
  let best: string | undefined;
  let bestQuality = 0;
  for (const type of produced) {
    const quality = qualityOf(type, ranges);
    if (quality > bestQuality) {
      best = type;
      bestQuality = quality;
    }
  }
  if (best !== undefined) return best;
  throw new HttpError(406, "usage", `this answers with ${produced.join(" or ")}, which Accept excludes`, {
    hint: "leave Accept out",
  });
}

function parse(header: string): MediaRange[] {
  const ranges: MediaRange[] = [];
  for (const part of header.split(",")) {
    const [name, ...parameters] = part.split(";").map((each) => each.trim().toLowerCase());
    const match = /^([^\s/]+)\/([^\s/]+)$/.exec(name ?? "");
    if (match === null) continue;
    const q = parameters.find((each) => each.startsWith("q="))?.slice(2);
    const quality = q === undefined ? 1 : Number(q);
    ranges.push({ type: match[1]!, subtype: match[2]!, quality: Number.isFinite(quality) ? quality : 1 });
  }
  return ranges;
}

/** By the most specific range that fits. */
function qualityOf(produced: string, ranges: readonly MediaRange[]): number {
  const [type, subtype] = produced.split(";", 1)[0]!.split("/") as [string, string];
  let quality = 0;
  let precision = -1;
  for (const range of ranges) {
    const fits = (range.type === "*" && range.subtype === "*") || range.type === type;
    if (!fits || (range.subtype !== "*" && range.subtype !== subtype)) continue;
    const own = (range.type === "*" ? 0 : 1) + (range.subtype === "*" ? 0 : 1);
    if (own > precision) [quality, precision] = [range.quality, own];
  }
  return quality;
}
