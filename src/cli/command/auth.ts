/** `mic auth …`: signing in to servers, and one's own tokens. One file for each sub-command, in auth/. */
import { type DefineCommand, examples } from "../command-definition.ts";
import { defineLogin } from "./auth/login.ts";
import { defineLogout } from "./auth/logout.ts";
import { definePassword } from "./auth/password.ts";
import { defineStatus } from "./auth/status.ts";
import { defineToken } from "./auth/token.ts";

export const define: DefineCommand = (command, bind) => {
  defineLogin(command, bind);
  defineStatus(command, bind);
  defineLogout(command, bind);
  defineToken(command, bind);
  definePassword(command, bind);
  command.addHelpText(
    "after",
    [
      examples(
        ["mic auth login --server https://forge.example.org", "in a browser"],
        ["mic auth login --server http://127.0.0.1:7420 --token -", "a token, from stdin"],
        "mic auth status",
        ["mic auth token create ci --scope write --expires 30d", "for scripts"],
        "mic auth password",
      ),
      "",
      "For scripts: MIC_TOKEN is a token, and MIC_SERVER the server that it is for; it",
      "is sent to no other.",
    ].join("\n"),
  );
};
