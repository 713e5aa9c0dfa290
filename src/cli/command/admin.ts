/** `mic admin …`: what the administrators of a server do. One file for each sub-command, in admin/. */
import { type DefineCommand, examples } from "../command-definition.ts";
import { defineAudit } from "./admin/audit.ts";
import { defineOperations } from "./admin/operations.ts";
import { defineToken } from "./admin/token.ts";
import { defineUser } from "./admin/user.ts";

export const define: DefineCommand = (command, bind) => {
  defineUser(command, bind);
  defineToken(command, bind);
  defineAudit(command, bind);
  defineOperations(command, bind);
  command.addHelpText(
    "after",
    [
      examples(
        ["mic admin user create ada --admin", "prints a password once"],
        ["mic admin user reset-password ada", "so does this"],
        ["mic admin user list --data /srv/mic", "on the server's machine"],
        "mic admin user disable ada",
        ["mic admin token revoke --all --user ada", "tokens made for scripts too"],
        "mic admin audit --account ada -n 20",
        ["mic admin audit --since 30d --json -n 1000000", "to keep elsewhere"],
        ["mic admin audit prune --before 1y --data /srv/mic", "on the server's machine"],
        "mic admin backup /backups/mic.tar --data /srv/mic",
        "mic admin restore /backups/mic.tar --data /srv/mic-restored",
        "mic admin doctor --data /srv/mic",
      ),
      "",
      "Over the network this needs a token of scope admin of a site administrator;",
      "with --data DIR it works on the accounts in that directory, on the server's",
      "own machine, whether or not the server runs.",
    ].join("\n"),
  );
};
