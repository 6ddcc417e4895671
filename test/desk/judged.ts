import { copyFileSync, mkdirSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import pg from "pg";
import { inject } from "vitest";
import { maitred } from "../maitred.ts";

export interface Judged {
  /** Name of a database in which the model that ships has judged the sample photos. */
  database: string;
  /** Where those lie. */
  photos: string;
}

/** The same for all files: the first one that asks has them judged, and those of another process wait for it meanwhile. */
export async function judgedSamples(): Promise<Judged> {
  const judged = { database: "judged", photos: join(dirname(inject("samples")), "copies") };
  await connected("postgres", async (admin) => {
    await admin.query("select pg_advisory_lock(hashtext('judged'))");
    const made = await admin.query("select from pg_database where datname = $1", [judged.database]);
    if (made.rowCount === 0) await judge(judged, admin);
  });
  return judged;
}

async function judge({ database, photos }: Judged, admin: pg.Client): Promise<void> {
  mkdirSync(photos, { recursive: true });
  for (const name of readdirSync(inject("samples"))) {
    for (let copy = 0; copy < MOST_COPIES; copy++) {
      copyFileSync(join(inject("samples"), name), join(photos, copy ? `${copy}-${name}` : name));
    }
  }
  await admin.query("drop database if exists judging");
  await admin.query("create database judging template template");
  const env = { DATABASE_URL: databaseUrl("judging"), MAITRED_PROVIDER: "cpu" };
  const ended = await maitred(["up", "--once", "--json", photos], env).exit;
  if (ended !== 0) throw new Error(`the samples were not judged: maitred up ended with ${ended}`);
  await connected("judging", (client) =>
    client.query(
      "select open_appeal(id, 'nobody is in it', 'listing 7', 'token:uploads') from photos where state = 'hidden'",
    ),
  );
  // named so once it is whole
  await admin.query(`alter database judging rename to ${database}`);
}

/** By no pool, which would stay connected: only what nobody is connected to can be cloned. */
async function connected(database: string, use: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client(databaseUrl(database));
  await client.connect();
  try {
    await use(client);
  } finally {
    await client.end();
  }
}

const databaseUrl = (name: string): string => inject("postgresUrl").replace(/postgres$/, name);

/** Two moderators who hold as many as they may at once leave some for each other. */
const MOST_COPIES = 8;
