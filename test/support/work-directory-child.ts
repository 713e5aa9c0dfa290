/** Works in the directory of its argument until it is killed: `operations-backup.test.ts`. */
import { openWorkDirectory } from "../../src/server/operations/work-directory.ts";

await openWorkDirectory(process.argv[2]!, "what a test makes");
console.log("at work");
setInterval(() => undefined, 1_000);
