/**
 * Reads the XML that S3 answers with: elements and text. No attributes are kept, and there are no document
 * types, processing instructions, CDATA or entities of one's own, so nothing expands.
 */
import { corrupt } from "../../base/errors.ts";

const DEPTH_MAX = 16;
/** A list of 1000 keys has about 8,000. */
const ELEMENTS_MAX = 100_000;
const WHAT = "the store's XML answer";

export interface XmlElement {
  readonly name: string;
  /** The text of the element itself, without that of its children. */
  readonly text: string;
  readonly children: readonly XmlElement[];
}

interface OpenElement {
  readonly name: string;
  readonly children: XmlElement[];
  text: string;
}

/** Errors: `corrupt`. */
export function parseXml(source: string): XmlElement {
  const root: OpenElement = { name: "", children: [], text: "" };
  const open: OpenElement[] = [root];
  let elements = 0;
  let at = source.charCodeAt(0) === 0xfeff ? 1 : 0;
  while (at < source.length) {
    const start = source.indexOf("<", at);
    const top = open[open.length - 1]!;
    if (start !== at) {
      const text = source.slice(at, start === -1 ? source.length : start);
      if (open.length > 1) top.text += decodeText(text, at);
      else if (text.trim() !== "") throw corrupt(WHAT, "text outside of the root element", at);
      if (start === -1) break;
    }
    const end = source.indexOf(">", start);
    if (end === -1) throw corrupt(WHAT, "a tag does not end", start);
    const tag = source.slice(start + 1, end);
    at = end + 1;
    if (tag.startsWith("?xml") && open.length === 1 && root.children.length === 0) continue;
    if (tag.startsWith("/")) {
      if (open.length === 1 || tag.slice(1).trimEnd() !== top.name)
        throw corrupt(WHAT, "an end without a start", start);
      open.pop();
      open[open.length - 1]!.children.push(top);
      continue;
    }
    const match = TAG.exec(tag);
    if (match === null) throw corrupt(WHAT, "a tag that S3 does not use", start);
    elements++;
    if (elements > ELEMENTS_MAX) throw corrupt(WHAT, "too many elements", start);
    if (open.length > DEPTH_MAX) throw corrupt(WHAT, "too deep", start);
    const element: OpenElement = { name: match[1]!, children: [], text: "" };
    if (tag.endsWith("/")) top.children.push(element);
    else open.push(element);
  }
  if (open.length > 1) throw corrupt(WHAT, `<${open[open.length - 1]!.name}> does not end`, source.length);
  if (root.children.length !== 1) throw corrupt(WHAT, "no single root element", 0);
  return root.children[0]!;
}

/** The text of the first child with this name. */
export function childText(element: XmlElement, name: string): string | undefined {
  return element.children.find((child) => child.name === name)?.text;
}

export function childrenNamed(element: XmlElement, name: string): XmlElement[] {
  return element.children.filter((child) => child.name === name);
}

/** For text between tags. Only for characters that XML can carry. */
export function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** A name, then attributes that are skipped: S3 only has `xmlns` and `xsi:type`. */
const TAG = /^([A-Za-z_][\w.-]*)(?:\s[^<]*)?\/?$/;
const ENTITY = /&(?:#(\d{1,7})|#x([0-9A-Fa-f]{1,6})|(\w{1,8}));|&/g;
const NAMED: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

function decodeText(text: string, at: number): string {
  if (!text.includes("&")) return text;
  return text.replace(ENTITY, (_, decimal?: string, hex?: string, name?: string) => {
    const named = name === undefined ? undefined : NAMED[name];
    if (named !== undefined) return named;
    const code = decimal !== undefined ? Number(decimal) : Number.parseInt(hex ?? "", 16);
    if (!(code >= 0 && code <= 0x10ffff)) throw corrupt(WHAT, "an unknown entity", at);
    return String.fromCodePoint(code);
  });
}
