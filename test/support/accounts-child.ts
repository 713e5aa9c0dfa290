/** A process beside the test that opens the accounts of a data directory: `open DIRECTORY` prints what it minted. */
import { systemClock, systemRandom } from "../../src/core/base/system.ts";
import { openAccounts } from "../../src/server/auth/owner-token.ts";

const [command, dataDirectory] = process.argv.slice(2);
if (command !== "open") throw new Error(`no command ${command}`);
using opened = openAccounts({ dataDirectory: dataDirectory!, clock: systemClock, random: systemRandom });
process.stdout.write(`${opened.minted ?? ""}\n`);
