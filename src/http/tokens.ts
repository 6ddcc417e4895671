import { createSecret, hashOf } from "./secrets.ts";

export const SCOPES = ["ingest", "read", "operate", "review"] as const;
/**
 * ingest: tell of photos; read: see what became of them; operate: run the queues; review: decide. The last three are the
 * roles viewer, operator and moderator at the desk.
 */
export type Scope = (typeof SCOPES)[number];

export interface StoredToken {
  id: string;
  name: string;
  hash: Uint8Array;
  scopes: readonly string[];
}

/** Makes a token. What is stored of it is its id, which is no secret, and its hash. */
export function createToken(): { token: string; id: string; hash: Buffer } {
  const { id, secret } = createSecret();
  const token = `mtd_${id}_${secret}`;
  return { token, id, hash: hashOf(token) };
}

/** The id in the token of an Authorization header, or undefined where it is no bearer token of ours. */
export function bearerOf(header: string | undefined): { token: string; id: string } | undefined {
  const [, token, id] = /^Bearer +(mtd_([0-9a-f]{12})_[\w-]{43})$/i.exec(header ?? "") ?? [];
  return token && id ? { token, id } : undefined;
}

/** The same of a header whose password is the token, whoever the user is: some senders know no other way. */
export function basicOf(header: string | undefined): { token: string; id: string } | undefined {
  const [, encoded] = /^Basic +([\w+/=-]+)$/i.exec(header ?? "") ?? [];
  const [, password] = /^[^:]*:(.*)$/s.exec(Buffer.from(encoded ?? "", "base64").toString()) ?? [];
  return password === undefined ? undefined : bearerOf(`Bearer ${password}`);
}
