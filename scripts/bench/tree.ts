/** A tree that looks like source code: nested directories, log-normal sizes, text that compresses as code does. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { generator } from "./harness.ts";

const KEYWORDS =
  "const let return if else for while import export from function class extends new this null undefined true false async await type interface string number boolean readonly".split(
    " ",
  );
const PUNCTUATION = [
  "(",
  ")",
  "{",
  "}",
  ";",
  " = ",
  ".",
  ", ",
  " => ",
  ": ",
  "\n",
  "\n  ",
  "\n    ",
  " ",
  " ",
];

function vocabulary(random: () => number, size: number): string[] {
  const syllables =
    "get set on is to re un co de ex in per pro sub node tree path file list map key val buf str len idx max min src dst ctx req res".split(
      " ",
    );
  return Array.from({ length: size }, () => {
    const parts = 1 + Math.floor(random() * 3);
    let word = "";
    for (let i = 0; i < parts; i++) {
      const part = syllables[Math.floor(random() * syllables.length)]!;
      word += i === 0 ? part : part[0]!.toUpperCase() + part.slice(1);
    }
    return word;
  });
}

export interface TreeFile {
  readonly path: string;
  readonly bytes: number;
}

/** Writes `files` files of `bytesMean` on average below `root` and says where they are, in path order. */
export function writeTree(root: string, files: number, bytesMean: number, seed = 1): TreeFile[] {
  const random = generator(seed);
  const words = vocabulary(random, 4000);
  // One long text; every file is a window of it with its own words spliced in, so that no two are alike.
  const text: string[] = [];
  for (let i = 0; i < 400_000; i++) {
    const pick = random();
    if (pick < 0.4) text.push(words[Math.floor(random() ** 2 * words.length)]!);
    else if (pick < 0.55) text.push(KEYWORDS[Math.floor(random() * KEYWORDS.length)]!, " ");
    else text.push(PUNCTUATION[Math.floor(random() * PUNCTUATION.length)]!);
  }
  const corpus = text.join("");
  const made: TreeFile[] = [];
  const directories = new Set<string>();
  for (let i = 0; i < files; i++) {
    const top = `pkg${String(i % 97).padStart(2, "0")}`;
    const middle = `mod${String(Math.floor(i / 97) % 31).padStart(2, "0")}`;
    const directory =
      random() < 0.3 ? `${top}/${middle}` : `${top}/${middle}/part${Math.floor(random() * 8)}`;
    if (!directories.has(directory)) {
      mkdirSync(join(root, directory), { recursive: true });
      directories.add(directory);
    }
    const path = `${directory}/file${String(i).padStart(6, "0")}.ts`;
    const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    const bytes = Math.min(400_000, Math.max(40, Math.round(bytesMean * Math.exp(normal - 0.5))));
    const start = Math.floor(random() * (corpus.length - Math.min(bytes, corpus.length - 1)));
    let content = `// ${path}\n`;
    let cursor = start;
    while (content.length < bytes) {
      const step = 60 + Math.floor(random() * 200);
      content += corpus.slice(cursor, cursor + step);
      content += `${words[Math.floor(random() * words.length)]}${Math.floor(random() * 1e6)}`;
      cursor = (cursor + step) % (corpus.length - 300);
      if (random() < 0.08) cursor = Math.floor(random() * (corpus.length - 300));
    }
    writeFileSync(join(root, path), content);
    made.push({ path, bytes: content.length });
  }
  return made.sort((a, b) => (a.path < b.path ? -1 : 1));
}
