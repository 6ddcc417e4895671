import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type pg from "pg";
import { query } from "./pool.ts";

interface Functions {
  text: string;
  digest: string;
}

/** The functions that the migrations in this folder come with: all of functions/, in the order of the files' names. */
export function functionsOf(folder: string): Functions {
  const files = readdirSync(join(folder, "functions")).filter((file) => file.endsWith(".sql"));
  const text = files
    .sort()
    .map((file) => readFileSync(join(folder, "functions", file), "utf8"))
    .join("\n");
  return { text, digest: createHash("sha256").update(text).digest("hex") };
}

/** @returns the digest of the functions that a database has; undefined where no version has written any. */
export async function functionsIn(db: pg.Pool | pg.Client): Promise<string | undefined> {
  const [table] = await query<{ found: boolean }>(db, {
    text: "select to_regclass('functions') is not null as found",
  });
  if (!table!.found) return undefined;
  const [row] = await query<{ digest: string }>(db, { text: "select digest from functions" });
  return row?.digest;
}

/**
 * Replaces the functions, in the transaction at hand, once all migrations are applied. One that is to return something else, or take
 * other arguments, is dropped in its file first, as "create or replace" changes neither. Those that a trigger, an index or a view is
 * made with stand beside it, in its migration, until they change.
 */
export async function writeFunctions(client: pg.Client, { text, digest }: Functions): Promise<void> {
  // a function may come before what it calls; then all are there, and each is checked
  for (const checked of ["off", "on"]) {
    await client.query(`set local check_function_bodies = ${checked}`);
    await client.query(text);
  }
  await client.query(
    "insert into functions (digest) values ($1) on conflict (one) do update set digest = excluded.digest, since = now()",
    [digest],
  );
}
