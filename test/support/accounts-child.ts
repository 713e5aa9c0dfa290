/**
 * A process beside the test that opens the accounts of a data directory: `open DIRECTORY` prints the token that it
 * made for the owner, `tokens DIRECTORY NAME COUNT` makes a user and prints each of its tokens once it is made.
 */
import { writeSync } from "node:fs";
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { openAccounts } from "./open-accounts.ts";

const [command, dataDirectory, name, count] = process.argv.slice(2);
using opened = openAccounts({ dataDirectory: dataDirectory!, clock: systemClock, random: systemRandom });
const { accounts, minted } = opened;
if (command === "open") writeSync(1, `${minted ?? ""}\n`);
else {
  const { id } = await accounts.createUser({ name: name! });
  for (let made = 0; made < Number(count); made++) {
    const { secret } = accounts.createToken({ user: id, kind: "personal", name: "t", scope: "read" });
    writeSync(1, `${secret}\n`);
  }
}
