/** `mic config get|set|unset|list`. */
import { MicError } from "../../core/base/errors.ts";
import { type DefineCommand, examples } from "../command-definition.ts";
import { checkKey, configPath, homeDirectory, storeConfigValue } from "../config.ts";
import type { Invocation } from "../invocation.ts";
import { escapeLine, padEnd } from "../text.ts";

export const define: DefineCommand = (command, bind) => {
  command.command("get <key>").description("print one value").action(bind(get));
  command.command("set <key> <value>").description("store a value").action(bind(set));
  command.command("unset <key>").description("remove a value").action(bind(unset));
  command.command("list").description("print all values").action(bind(list));
  command.addHelpText(
    "after",
    [
      "",
      "Keys:",
      "  user.name, user.email  the author of landings",
      "  server.default         forge of plain org/project: an address or an alias",
      "  server.NAME            an alias for a forge's address",
      "  s3.endpoint            URL of the store that holds s3:// buckets, unless AWS",
      "  s3.region              of the buckets",
      "  s3.force-path-style    true: endpoint/bucket, false: bucket.endpoint",
      "  cache.max-bytes        of what is kept of buckets here (2 GiB; 0: none)",
      "  alias.NAME             a command of your own: alias.st = status",
      "  ui.color               always, never or auto",
      "  ui.pager, ui.editor    command lines (`never`: no pager)",
      examples(
        'mic config set user.name "Ada Lovelace"',
        "mic config set server.work /srv/forge",
        "mic config list",
      ),
    ].join("\n"),
  );
};

async function get(invocation: Invocation, key: string): Promise<void> {
  checkKey(key);
  const value = invocation.config[key];
  if (value === undefined) {
    throw new MicError("not-found", `${key} is not set`, { hint: `mic config set ${key} VALUE` });
  }
  invocation.output.answer({ key, value }, () => escapeLine(value));
}

async function set(invocation: Invocation, key: string, value: string): Promise<void> {
  if (key.startsWith("s3.")) await checkBucketSetting(key, value);
  storeConfigValue(configPath(invocation.world), key, value);
  if (invocation.output.json) invocation.output.document({ key, value });
}

/** Errors: `usage`, `unsupported` for a store that cannot hold a forge. */
async function checkBucketSetting(key: string, value: string): Promise<void> {
  const { readS3Settings } = await import("../../core/store/s3/environment.ts");
  const name = key.slice("s3.".length) === "force-path-style" ? "forcePathStyle" : key.slice("s3.".length);
  readS3Settings({}, { bucket: "any-bucket" }, { [name]: value });
}

async function unset(invocation: Invocation, key: string): Promise<void> {
  storeConfigValue(configPath(invocation.world), key, undefined);
  if (invocation.output.json) invocation.output.document({ key, value: null });
}

async function list(invocation: Invocation): Promise<void> {
  const { config, output } = invocation;
  const { world } = invocation;
  const file = homeDirectory(world) === undefined ? null : configPath(world);
  const width = Math.max(0, ...Object.keys(config).map((key) => key.length));
  output.answer({ file, values: config }, () =>
    Object.entries(config)
      .map(([key, value]) => `${padEnd(key, width)}  ${escapeLine(value)}`)
      .join("\n"),
  );
  if (Object.keys(config).length === 0) {
    output.note(file === null ? "no home directory is known" : `nothing is set in ${escapeLine(file)}`);
  }
}
