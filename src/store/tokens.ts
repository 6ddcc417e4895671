import type { StoredToken } from "../http/tokens.ts";
import { type Pool, query } from "./pool.ts";

interface TokenRow extends StoredToken {
  createdAt: Date;
  revokedAt: Date | null;
}

/** @returns false where another that is not revoked has the name, which two people would decide under. */
export async function addToken(db: Pool, { id, name, hash, scopes }: StoredToken): Promise<boolean> {
  const rows = await query(db, {
    name: "add_token",
    text: `insert into tokens (id, name, hash, scopes) values ($1, $2, $3, $4)
      on conflict (name) where revoked_at is null do nothing returning id`,
    values: [id, name, hash, scopes],
  });
  return rows.length > 0;
}

/** Of each id its token, in order; undefined where there is none, or where it was revoked. */
export async function findTokens(db: Pool, ids: readonly string[]): Promise<(TokenRow | undefined)[]> {
  const rows = await query<TokenRow>(db, {
    name: "find_tokens",
    text: `select ${COLUMNS} from tokens where id = any($1) and revoked_at is null`,
    values: [[...new Set(ids)]],
  });
  return ids.map((id) => rows.find((row) => row.id === id));
}

/** All of them, also those that were revoked, the newest last. */
export async function listTokens(db: Pool): Promise<TokenRow[]> {
  return query<TokenRow>(db, {
    name: "list_tokens",
    text: `select ${COLUMNS} from tokens order by created_at, id`,
  });
}

/** @returns whether there is such a token; one that was revoked stays revoked. */
export async function revokeToken(db: Pool, id: string): Promise<boolean> {
  const rows = await query(db, {
    name: "revoke_token",
    text: "update tokens set revoked_at = coalesce(revoked_at, now()) where id = $1 returning id",
    values: [id],
  });
  return rows.length > 0;
}

const COLUMNS = `id, name, hash, scopes, created_at as "createdAt", revoked_at as "revokedAt"`;
