/** `mic admin …`: what the administrators of a server do. One file for each sub-command, in admin/. */
import { type DefineCommand, examples } from "../command-definition.ts";
import { defineAudit } from "./admin/audit.ts";
import { defineUser } from "./admin/user.ts";

export const define: DefineCommand = (command, bind) => {
  defineUser(command, bind);
  defineAudit(command, bind);
  command.addHelpText(
    "after",
    [
      examples(
        ["mic admin user create ada --email ada@example.org", "prints a password once"],
        [
          "mic admin user reset-password ada --data /srv/mic",
          "on the server's machine, for who is locked out",
        ],
        "mic admin user disable ada",
        "mic admin audit --account ada -n 20",
      ),
      "",
      "Over the network this needs a token of scope admin of a site administrator;",
      "with --data DIR it works on the accounts in that directory, on the server's",
      "own machine, whether or not the server runs.",
    ].join("\n"),
  );
};
