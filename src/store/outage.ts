import { UpstreamError } from "../errors.ts";

/** Whatever a statement threw, as an UpstreamError where it says nothing of the statement. */
export function toUpstreamError(cause: unknown): unknown {
  const { code, message } = cause as { code?: unknown; message: string };
  // rights that are being given, or were taken away, and no fault of whatever was to be done
  if (code === FORBIDDEN) {
    const who =
      "maitred doctor says what the role of a worker lacks, and a member of maitred_migrator may administer";
    return new UpstreamError("DATABASE_FORBIDDEN", `${message}: ${who}`, { cause });
  }
  const todo = TODO.find(([codes]) => codes.test(String(code)))?.[1];
  if (!todo && !isOutage(cause)) return cause;
  return new UpstreamError("DATABASE_UNAVAILABLE", ["Postgres", message, todo].filter(Boolean).join(": "), {
    cause,
  });
}

/**
 * What goes away by itself: no connection, a server that stops or is full, a lost race between transactions, a lock that others
 * hold for too long, a password that is being changed, a database that is being put in place of another, the file of a socket or of a certificate that is being put in place.
 */
function isOutage(thrown: unknown): boolean {
  // of the addresses of a name, each with what it answered
  if (thrown instanceof AggregateError && thrown.errors.some(isOutage)) return true;
  const code = (thrown as { code?: unknown }).code;
  // node-postgres gives a lost connection no code
  if (typeof code !== "string") return /connection|timeout|^SASL/i.test(String((thrown as Error).message));
  // what is fatal ends the connection, whatever was asked
  const { syscall, severity } = thrown as { syscall?: unknown; severity?: unknown };
  return OUTAGES.test(code) || syscall === "connect" || syscall === "open" || severity === "FATAL";
}

export const POOLED =
  "expected a connection of one's own, and a pooler lends it for one transaction: let DATABASE_URL name Postgres itself, or a pooler with pool_mode = session and its server_reset_query";
const FORBIDDEN = "42501";
/** What an operator may mend, by what Postgres, or Node of its certificate, answers. */
const TODO: readonly (readonly [RegExp, string])[] = [
  [
    /^25006$/,
    "if it is a standby, let DATABASE_URL lead to the primary; else reset default_transaction_read_only",
  ],
  // statements that are there already, or are not, although each connection prepares them once: it is shared
  [/^(26000|42P05)$/, POOLED],
  [
    /^(ERR_(TLS|SSL|OSSL)|EPROTO|CERT_|CRL_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|HOSTNAME_|INVALID_(CA|PURPOSE))/,
    "let sslrootcert of DATABASE_URL be the file of the CA that signed its certificate, and the host one that it is for",
  ],
];
const OUTAGES =
  /^(08|53|57|58|40|25006|25P03|25P04|55P03|55000|3D000|28|ECONN|ETIMEDOUT|EPIPE|EMFILE|ENFILE|EHOST|ENET|EADDRNOTAVAIL|ENOTFOUND|EAI_AGAIN)/;
