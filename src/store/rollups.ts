import { type Pool, query, queryWithoutTimeout } from "./pool.ts";

/** A count that is not what the tables say. */
interface WrongCount {
  rollup: "hours" | "days" | "listings" | "scores" | "reviews";
  /** Which count: the hour, verdict and so on. */
  of: Record<string, unknown>;
  /** How many it should have more, or where negative less. */
  missing: number;
}

/**
 * Moves what changed since the last time into the counts; see fold_rollups. Harmless to call from several processes.
 *
 * @returns how many changes it moved of the kind of which there were most.
 * @throws {UpstreamError} DATABASE_UNAVAILABLE; what was moved stays moved.
 */
export async function foldRollups(db: Pool): Promise<number> {
  for (let total = 0; ; ) {
    const rows = await query<{ moved: number }>(db, {
      name: "fold_rollups",
      text: "select fold_rollups($1)::float8 as moved",
      values: [CHANGES],
    });
    total += rows[0]!.moved;
    if (rows[0]!.moved < CHANGES) return total;
  }
}

/**
 * Compares the counts with the tables, at one moment, while others write; reads all of the tables. At most `limit` of those
 * that are wrong, the worst first.
 *
 * @throws {UpstreamError} DATABASE_UNAVAILABLE
 */
export async function checkRollups(db: Pool, limit: number): Promise<WrongCount[]> {
  return queryWithoutTimeout<WrongCount>(
    db,
    "select rollup, of, missing::float8 as missing from check_rollups() order by abs(missing) desc, rollup, of limit $1",
    [limit],
  );
}

/**
 * Makes the counts what the tables say; see mend_rollups.
 *
 * @returns how many were wrong.
 * @throws {UpstreamError} DATABASE_UNAVAILABLE: nothing was mended, or nobody knows.
 */
export async function mendRollups(db: Pool): Promise<number> {
  const [mended] = await queryWithoutTimeout<{ wrong: number }>(db, "select mend_rollups()::float8 as wrong");
  return mended!.wrong;
}

interface RollupState {
  /** Whether they are complete; until then the views have no row. */
  built: boolean;
  /** Null: never. */
  foldedAt: Date | null;
  /** Changes that wait to be folded, of the kind of which most do; counted up to a million. */
  waiting: number;
}

export async function rollupState(db: Pool): Promise<RollupState> {
  const waiting = (table: string): string => `(select count(*) from (select from ${table} limit 1000000) t)`;
  const rows = await query<RollupState>(db, {
    name: "rollup_state",
    text: `select built_at is not null as built, folded_at as "foldedAt",
        greatest(${CHANGED.map(waiting).join(", ")})::float8 as waiting
      from rollups`,
  });
  return rows[0]!;
}

const CHANGED = ["hours", "listings", "scores", "reviews"].map((rollup) => `rollup_${rollup}_changes`);
/** Some tenths of a second's worth. */
const CHANGES = 50_000;
