/** HTML from templates: whatever is put in is escaped, unless it is HTML made here. */

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};
/** Also what would turn a line around or hide in it. */
const ESCAPED = /[&<>"']|(?![\n\t])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export type HtmlValue = Html | string | number | undefined | readonly Html[];

/** In text and in quoted attributes. */
export function html(parts: TemplateStringsArray, ...values: readonly HtmlValue[]): Html {
  let text = parts[0]!;
  values.forEach((value, i) => {
    text += write(value) + parts[i + 1]!;
  });
  return new Html(text);
}

export function escapeHtml(text: string): string {
  return text.replace(
    ESCAPED,
    (character) => ESCAPES[character] ?? `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
}

function write(value: HtmlValue): string {
  if (value === undefined) return "";
  if (value instanceof Html) return value.text;
  if (typeof value === "object") return value.map(({ text }) => text).join("");
  return escapeHtml(String(value));
}
