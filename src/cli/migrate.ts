import type { Config } from "../config.ts";
import { openQueueServer } from "../queue/server.ts";
import { migrate as migrateStore } from "../store/migrate.ts";
import { connectedConfig, defineCommand, EXIT, flags } from "./command.ts";
import { printResult } from "./output.ts";

export const migrate = defineCommand({
  help: `
usage: maitred migrate [--json]

Applies what is missing, in order, under a lock; running it again, or twice at once, is harmless. It refuses a
database that a newer maitred has migrated. The role of DATABASE_URL must be allowed to create tables, and roles
if maitred_migrator, maitred_worker and maitred_dashboard are not there yet.

  DATABASE_URL=postgres://owner@db/photos maitred migrate
`,
  options: { ...flags("json") },

  async run({ values }, terminal) {
    const applied = await migrateAll(connectedConfig(terminal));
    const said =
      applied.length === 0 ? "nothing to do: the schema is current" : `applied ${applied.join(", ")}`;
    printResult(terminal, values.json, { applied }, said);
    return EXIT.done;
  },
});

/** Both schemas; returns the names of what was applied to the database. */
export async function migrateAll(config: Config): Promise<string[]> {
  const server = openQueueServer(config, () => {});
  try {
    await server.migrate();
  } finally {
    await server.close();
  }
  return migrateStore(config.databaseUrl, config.queuePrefix);
}
