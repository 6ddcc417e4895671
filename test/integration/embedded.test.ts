import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import { expect } from "vitest";
import { startPostgres } from "../../src/embedded/postgres.ts";
import { test } from "../fixtures.ts";

test("what the log of the embedded Postgres quotes is for its owner alone, also where it was for everybody", async ({
  folder,
}) => {
  for (const before of ["none", "one"]) {
    const home = join(folder, before);
    const log = join(home, "postgres", "log");
    mkdirSync(join(home, "postgres"), { recursive: true });
    if (before === "one") writeFileSync(log, "", { mode: 0o644 });
    const postgres = await startPostgres(home);
    const client = new pg.Client(postgres.url);
    await client.connect();
    await expect(client.query("select 1 / 0 as hidden_photo")).rejects.toThrow();
    await client.end();
    await postgres.close();
    expect(statSync(log).size).toBeGreaterThan(0);
    expect((statSync(log).mode & 0o777).toString(8)).toBe("600");
  }
});
