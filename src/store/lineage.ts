import type pg from "pg";
import { askFirst } from "./session.ts";

/**
 * Asked by each connection that is new. Where Postgres is another one than the one seen last, it skips numbers that may have been
 * given and lost.
 *
 * @returns what to tell a person then; "untold" of a connection that cannot write, and may once its replica is promoted.
 */
export async function noticeLineage(client: pg.ClientBase): Promise<Error | "untold" | undefined> {
  try {
    const { rows } = await askFirst<{ sequence: string | null }>(
      client,
      "select notice_lineage()::text as sequence",
    );
    const sequence = rows[0]?.sequence;
    if (sequence === "0") return "untold";
    return sequence ? new Error(replacedWords(sequence)) : undefined;
  } catch (error) {
    // before migrate, and of logins that only read
    if (UNASKED.includes((error as { code?: string }).code ?? "")) return undefined;
    throw error;
  }
}

export function replacedWords(sequence: string): string {
  return `Postgres was restored, failed over or upgraded; messages have a sequence above ${sequence} since. If commits may be lost, follow "When Postgres has lost its last commits" of docs/operations.md from step 3`;
}

const UNASKED = ["42883", "42501"];
