/**
 * What keys look like. Each rule has a few anchors of four bytes that any match contains at a known place, which is
 * what files are searched for (the rarer their pairs of bytes in text, the faster), and a pattern that decides. A rule that is often wrong is worse than none: a warning
 * that cries wolf is soon ignored.
 */

export interface SecretRule {
  /** Follows "holds": `an AWS access key`. */
  readonly kind: string;
  readonly anchors: readonly { readonly text: string; readonly offset: number }[];
  /** Sticky, at the start of a match; bounded repetitions only, so that it takes bounded time. */
  readonly pattern: RegExp;
  /** Whether the characters before a match may continue it. */
  readonly startsAnywhere?: boolean;
  /** Whether it is one, by the text around it; `at` is where the match starts. */
  readonly confirm?: (text: string, at: number) => boolean;
}

const at = (text: string, offset = 0) => ({ text, offset });

/** Of Amazon's secret access keys. */
const AWS_SECRET = /(?<![A-Za-z0-9/+])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])/;

export const SECRET_RULES: readonly SecretRule[] = [
  {
    kind: "a private key",
    anchors: [at("BEGI", 5)],
    startsAnywhere: true,
    // PEM (RFC 7468), OpenSSH, PGP; the body must follow, so that code that names the marker is none. Line breaks may be
    // written as \n, as in the JSON of service accounts.
    pattern:
      /-----BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----(?:\r?\n|\\r?\\n|\\n)(?:[A-Za-z-]{1,40}: .{0,200}\r?\n){0,6}\s{0,8}[A-Za-z0-9+/=]{16,}/y,
    confirm: (text, start) => start === 0 || /[\s"'`]/.test(text[start - 1]!),
  },
  {
    kind: "a PuTTY private key",
    anchors: [at("PuTT")],
    pattern: /PuTTY-User-Key-File-\d: /y,
  },
  {
    kind: "an AWS access key",
    anchors: [at("AKIA"), at("ASIA")],
    pattern: /(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Za-z0-9])/y,
    // The id alone is no secret.
    confirm: (text) => AWS_SECRET.test(text),
  },
  {
    kind: "a GitHub token",
    anchors: [at("ghp_"), at("gho_"), at("ghu_"), at("ghs_"), at("ghr_")],
    pattern: /gh[pousr]_[A-Za-z0-9]{36,251}(?![A-Za-z0-9])/y,
  },
  {
    kind: "a GitHub token",
    anchors: [at("ub_p", 4)],
    pattern: /github_pat_[A-Za-z0-9_]{50,251}/y,
  },
  {
    kind: "a GitLab token",
    anchors: [at("glpa")],
    pattern: /glpat-[A-Za-z0-9_-]{20,300}/y,
  },
  {
    kind: "a Slack token",
    anchors: [at("xoxa"), at("xoxb"), at("xoxo"), at("xoxp"), at("xoxr"), at("xoxs")],
    pattern: /xox[abopsr]-[0-9]{8,20}-[A-Za-z0-9-]{20,300}/y,
  },
  {
    kind: "a Stripe key",
    anchors: [at("sk_l"), at("rk_l")],
    pattern: /[sr]k_live_[A-Za-z0-9]{20,250}/y,
  },
  {
    kind: "a Google API key",
    anchors: [at("AIza")],
    pattern: /AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])/y,
  },
  {
    kind: "an Anthropic key",
    anchors: [at("sk-a")],
    pattern: /sk-ant-[a-z]{2,10}[0-9]{2}-[A-Za-z0-9_-]{60,300}/y,
  },
  {
    kind: "an OpenAI key",
    anchors: [at("T3Bl", -1)],
    // `T3BlbkFJ` is in the middle of every one of them.
    pattern: /sk-[A-Za-z0-9_-]{20,150}T3BlbkFJ[A-Za-z0-9_-]{20,150}/y,
  },
  {
    kind: "an npm token",
    anchors: [at("npm_")],
    pattern: /npm_[A-Za-z0-9]{36}(?![A-Za-z0-9])/y,
  },
  {
    kind: "a registry's token",
    anchors: [at("hTok", 4)],
    pattern: /_authToken\s{0,4}=\s{0,4}["']?[A-Za-z0-9+/=_.-]{20,4096}/y,
    startsAnywhere: true,
  },
  {
    kind: "a token of mic",
    anchors: [at("mic_"), at("icr_", 1), at("ics_", 1), at("icd_", 1)],
    pattern: /mic[rsd]?_[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])/y,
  },
];

const PLACEHOLDER = /example|x{4}|\*{3}|\.{3}|0{8}|1234567|abcdefgh|your[-_]/i;
const DISTINCT_MIN = 10;
const JUDGED_CHARACTERS = 100;

/** A text that stands for a key in documentation, or one typed without much thought. */
export function isPlaceholder(match: string): boolean {
  const judged = match.slice(0, JUDGED_CHARACTERS);
  return PLACEHOLDER.test(judged) || new Set(judged.slice(4)).size < DISTINCT_MIN;
}

/** Names are judged without their case: some file systems have none. */
const ENVIRONMENT_FILE = /^(?:\.env(?:\.[a-z0-9_-]+)*|\.envrc|.+\.env)$/i;
const SAMPLE = "(?:example|sample|template|dist|defaults?|schema)";
const ENVIRONMENT_SAMPLE = new RegExp(String.raw`\.${SAMPLE}$|(?:^|[._-])${SAMPLE}\.env$`, "i");
/** Said in the name, or by git-crypt in its first bytes. */
const ENCRYPTED_NAME = /\.(?:age|asc|enc|encrypted|gpg|pgp)$/i;
const GIT_CRYPT = "\0GITCRYPT\0";

/** Files whose name says what their lines are. */
export interface NameRule {
  readonly kind: string;
  readonly name: RegExp;
  readonly except?: RegExp;
  /** A line that gives it away. */
  readonly line: RegExp;
  /** Whether binary content, which has no lines, gives it away as well. `start`: its first bytes as Latin-1. */
  readonly isBinaryWorse?: (name: string, start: string) => boolean;
}

export const ENVIRONMENT_KIND = "values of an environment file";

export const NAME_RULES: readonly NameRule[] = [
  {
    kind: ENVIRONMENT_KIND,
    name: ENVIRONMENT_FILE,
    except: ENVIRONMENT_SAMPLE,
    line: /^\s*(?:export\s+)?[A-Za-z_][A-Za-z0-9_]*\s*=\s*["']?[^\s"'#]/,
    isBinaryWorse: (name, start) => !ENCRYPTED_NAME.test(name) && !start.startsWith(GIT_CRYPT),
  },
  { kind: "a password", name: /^[._]netrc$/i, line: /(?:^|\s)password\s+[^\s#]{3,}/ },
  { kind: "a password", name: /^\.pypirc$/i, line: /^\s*password\s*[=:]\s*[^\s#]{3,}/ },
  { kind: "a password", name: /^\.pgpass$/i, line: /^(?:[^:#]*:){4}[^\s#]{3,}/ },
  { kind: "a password", name: /^\.git-credentials$/i, line: /^https?:\/\/[^/\s:]*:[^@/\s]{3,}@/ },
];

/** The rule for a file of that name; `path` uses `/`. */
export function nameRuleOf(path: string): NameRule | undefined {
  const start = path.lastIndexOf("/") + 1;
  const first = path.charCodeAt(start);
  const last = path.charCodeAt(path.length - 1) | 0x20;
  // All of them begin with `.` or `_`, or end with `v`: nearly all files get by without more.
  if (first !== 0x2e && first !== 0x5f && last !== 0x76) return undefined;
  const name = path.slice(start);
  return NAME_RULES.find((rule) => rule.name.test(name) && rule.except?.test(name) !== true);
}
