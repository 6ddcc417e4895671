import type { Config } from "../config.ts";
import { openQueueServer } from "../queue/server.ts";
import { migrate as migrateStore } from "../store/migrate.ts";
import { connectedConfig, defineCommand, EXIT, flags } from "./command.ts";
import { printResult } from "./output.ts";
import { printable } from "./terminal.ts";

export const migrate = defineCommand({
  help: `
usage: maitred migrate [--json]

Applies what is missing, in order, under a lock; running it again, or twice at once, is harmless. It refuses a
database that a newer maitred has migrated. The role of DATABASE_URL must be allowed to create tables, and roles
if maitred_migrator, maitred_worker and maitred_dashboard are not there yet. What it may not do, and an administrator has to, it
says on stderr, and as notices of --json.

  DATABASE_URL=postgres://owner@db/photos maitred migrate
`,
  options: { ...flags("json") },

  async run({ values }, terminal) {
    const notices: string[] = [];
    const applied = await migrateAll(connectedConfig(terminal), (notice) => void notices.push(notice));
    const said =
      applied.length === 0 ? "nothing to do: the schema is current" : `applied ${applied.join(", ")}`;
    printResult(terminal, values.json, { applied, notices }, said);
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
