/** Reads Prometheus's text format 0.0.4 as strictly as its own parser: what it would refuse, this throws at. */

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

interface Family {
  readonly name: string;
  readonly type: string;
}

const NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*";
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(.*)\\})? (\\S+)$`);
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(,|$)/y;
const VALUE = /^(?:[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?Inf|NaN)$/;
const SUFFIXES: Readonly<Record<string, readonly string[]>> = {
  counter: [""],
  gauge: [""],
  histogram: ["_bucket", "_sum", "_count"],
  summary: ["", "_sum", "_count"],
};

export function parseExposition(text: string): readonly Sample[] {
  if (!text.endsWith("\n")) throw new Error("the last line has no end");
  const samples: Sample[] = [];
  const seen = new Set<string>();
  const families = new Set<string>();
  let family: Family | undefined;
  for (const line of text.slice(0, -1).split("\n")) {
    const help = new RegExp(`^# HELP (${NAME}) (.+)$`).exec(line);
    const type = new RegExp(`^# TYPE (${NAME}) (counter|gauge|histogram|summary)$`).exec(line);
    if (help !== null) {
      if (families.has(help[1]!)) throw new Error(`${help[1]} comes twice`);
      families.add(help[1]!);
      continue;
    }
    if (type !== null) {
      if (!families.has(type[1]!)) throw new Error(`${type[1]} has no help`);
      family = { name: type[1]!, type: type[2]! };
      continue;
    }
    const sample = parseSample(line);
    if (family === undefined || !belongs(sample.name, family)) throw new Error(`a stray line: ${line}`);
    if (family.type === "counter" && !family.name.endsWith("_total") && !family.name.startsWith("process_")) {
      throw new Error(`the counter ${family.name} is not named _total`);
    }
    const key = `${sample.name} ${JSON.stringify(Object.entries(sample.labels).sort())}`;
    if (seen.has(key)) throw new Error(`twice the same: ${line}`);
    seen.add(key);
    samples.push(sample);
  }
  return samples;
}

function belongs(name: string, { name: of, type }: Family): boolean {
  return SUFFIXES[type]!.some((suffix) => name === of + suffix);
}

function parseSample(line: string): Sample {
  const match = SAMPLE.exec(line);
  if (match === null || !VALUE.test(match[3]!)) throw new Error(`not a sample: ${line}`);
  const labels: Record<string, string> = {};
  const text = match[2] ?? "";
  LABEL.lastIndex = 0;
  for (let at = 0; at < text.length; at = LABEL.lastIndex) {
    LABEL.lastIndex = at;
    const label = LABEL.exec(text);
    if (label === null || label[1]! in labels) throw new Error(`not labels: ${line}`);
    labels[label[1]!] = label[2]!;
  }
  const value = match[3]!.replace("Inf", "Infinity");
  return { name: match[1]!, labels, value: Number(value) };
}
