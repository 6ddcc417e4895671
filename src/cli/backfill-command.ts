import { type BackfillRow, readBackfill } from "../store/backfills.ts";
import type { Pool } from "../store/pool.ts";
import { flags, NotThereError, texts, UsageError } from "./command.ts";
import type { Subcommand } from "./subcommand.ts";

export const options = {
  ...texts("view", "bucket", "code", "below", "since", "until", "listing", "uploader", "model"),
  ...texts("max-rate", "expect", "hours", "rendition-template", "most", "why", "by"),
  ...flags("missing", "failed", "older-model", "all", "dry-run", "again", "propose", "unchecked"),
  ...flags("watch", "json"),
};

export type BackfillCommand = Subcommand<typeof options>;

export function idOf([id, ...more]: readonly string[]): string {
  if (id === undefined || more.length > 0 || !/^\d{1,18}$/.test(id)) {
    throw new UsageError("expected the number of one backfill, as maitred backfill list shows it");
  }
  return id;
}

/** @throws {NotThereError} */
export async function theBackfill(db: Pool, id: string): Promise<BackfillRow> {
  const row = await readBackfill(db, id);
  if (row) return row;
  throw new NotThereError(`there is no backfill ${id}: maitred backfill list shows them`);
}
