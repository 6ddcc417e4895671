import type { Config } from "../config.ts";
import { openQueueServer } from "../queue/server.ts";
import { migrate as migrateStore } from "../store/migrate.ts";
import { skipNumbers } from "../store/numbers.ts";
import { connectedConfig, defineCommand, EXIT, flags } from "./command.ts";
import { printResult } from "./output.ts";
import { withPostgres } from "./postgres.ts";
import { printable } from "./terminal.ts";

export const migrate = defineCommand({
  help: `
usage: maitred migrate [--restored] [--json]

Applies what is missing, in order, under a lock; running it again, or twice at once, is harmless. It refuses a
database that a newer maitred has migrated. The role of DATABASE_URL must be allowed to create tables, and roles
if maitred_migrator, maitred_worker and maitred_dashboard are not there yet. What it may not do, and an administrator has to, it
says on stderr, and as notices of --json.

  --restored   the database was restored, or is a replica that was behind: from now on photos, verdicts and messages get numbers
               that none had which were lost. docs/operations.md says what else to do
  --json       what was applied, as JSON on stdout

  DATABASE_URL=postgres://owner@db/photos maitred migrate
`,
  options: { ...flags("restored", "json") },

  async run({ values }, terminal) {
    const notices: string[] = [];
    const config = connectedConfig(terminal);
    const applied = await migrateAll(config, (notice) => void notices.push(notice));
    const said =
      applied.length === 0 ? "nothing to do: the schema is current" : `applied ${applied.join(", ")}`;
    const sequence = values.restored ? await withPostgres(config, skipNumbers) : undefined;
    const lines = sequence === undefined ? said : [said, afterRestore(sequence)];
    printResult(
      terminal,
      values.json,
      { applied, notices, ...(sequence !== undefined && { sequence }) },
      lines,
    );
    for (const notice of notices) terminal.say(`${printable(notice)}\n`);
    return EXIT.done;
  },
});

/** Both schemas; returns the names of what was applied to the database. What an administrator has to do is `told`. */
export async function migrateAll(config: Config, told?: (notice: string) => void): Promise<string[]> {
  const server = openQueueServer(config, () => {});
  try {
    await server.migrate();
  } finally {
    await server.close();
  }
  return migrateStore(config.databaseUrl, config.queuePrefix, undefined, told);
}

function afterRestore(sequence: string): string {
  return `messages have a sequence above ${sequence} from now on: after maitred sweep and maitred destination catch-up, let receivers forget every photo with none above it`;
}
