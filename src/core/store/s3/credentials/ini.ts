/**
 * The files of AWS's tools: `[section]`, `key = value`, comments after `#` or `;` at the start of a line or after a
 * space. Indented lines are settings below the key before them: `s3 =` and ` endpoint_url = X` are `s3.endpoint_url`.
 */

export type IniSections = ReadonlyMap<string, Readonly<Record<string, string>>>;

/** A section that comes twice is one, later values win. Lines that are neither are passed over, as AWS does. */
export function parseIni(text: string): IniSections {
  const sections = new Map<string, Record<string, string>>();
  let current: Record<string, string> | undefined;
  let above = "";
  for (const line of text.replace(/^\ufeff/, "").split(/\r?\n/)) {
    if (/^\s*(?:[#;]|$)/.test(line)) continue;
    const section = /^\[([^\]]*)\]/.exec(line)?.[1];
    if (section !== undefined) {
      const name = section.trim().replace(/\s+/g, " ");
      current = sections.get(name) ?? Object.create(null);
      sections.set(name, current!);
      above = "";
      continue;
    }
    const equals = line.indexOf("=");
    if (equals <= 0 || current === undefined) continue;
    const value = line.slice(equals + 1).replace(/\s[#;].*$/, "");
    const key = line.slice(0, equals).trim().toLowerCase();
    if (!/^\s/.test(line)) {
      current[key] = value.trim();
      above = key;
    } else if (above !== "") current[`${above}.${key}`] = value.trim();
  }
  return sections;
}
