/** Works in the directory of its argument until it is killed: `operations-backup.test.ts`. */
import { openWorkDirectory } from "../../src/server/operations/work-directory.ts";

const work = await openWorkDirectory(process.argv[2]!, "what a test makes");
console.log("at work");
// Its lock is held for as long as something holds on to it.
setInterval(() => work.path, 1_000);
