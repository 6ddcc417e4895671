/** `npm run gold -- FOLDER`: lays the gold set, photos and labels, into a folder as `maitred evaluate` reads it. */
import { collectGold } from "./gold.ts";

const [folder, ...rest] = process.argv.slice(2);
if (folder === undefined || rest.length > 0) {
  process.stderr.write("usage: npm run gold -- FOLDER\n");
  process.exit(2);
}
const gold = await collectGold(folder);
process.stderr.write(`${gold.length} photos and labels.jsonl in ${folder}\n`);
