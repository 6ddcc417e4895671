import type { Config } from "../config.ts";
import { openQueueServer } from "../queue/server.ts";
import { migrate as migrateStore } from "../store/migrate.ts";
import { type Command, connectedConfig, EXIT } from "./command.ts";

export const migrate: Command = {
  help: `
usage: maitred migrate [--json]

Applies what is missing, in order, under a lock; running it again, or twice at once, is harmless. It refuses a
database that a newer maitred has migrated. The role of DATABASE_URL must be allowed to create tables, and roles
if maitred_migrator, maitred_worker and maitred_dashboard are not there yet.

  DATABASE_URL=postgres://owner@db/photos maitred migrate
`,
  options: { json: { type: "boolean" } },

  async run({ values }, terminal) {
    const applied = await migrateAll(connectedConfig(terminal));
    if (values["json"]) terminal.print(JSON.stringify({ applied }));
    else
      terminal.print(
        applied.length === 0 ? "nothing to do: the schema is current" : `applied ${applied.join(", ")}`,
      );
    return EXIT.done;
  },
};

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
