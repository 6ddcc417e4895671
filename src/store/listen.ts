import pg from "pg";
import { asError } from "../errors.ts";
import type { Closable } from "../lifecycle.ts";

/**
 * Listens to a channel of Postgres on a connection of its own. `told` is called at each notice, and whenever the
 * connection is there again, because notices may have been missed meanwhile.
 *
 * @param lost told when the connection breaks; it is tried again after `RETRY_MS`.
 */
export function listen(
  url: string,
  channel: string,
  told: () => void,
  lost: (error: Error) => void,
): Closable {
  let current: pg.Client | undefined;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  function again(error: Error): void {
    lost(error);
    timer = setTimeout(() => void connect(), RETRY_MS).unref();
  }

  async function connect(): Promise<void> {
    let client: pg.Client;
    try {
      client = new pg.Client({
        connectionString: url,
        connectionTimeoutMillis: 10_000,
        keepAlive: true,
        keepAliveInitialDelayMillis: 10_000,
        application_name: "maitred",
      });
    } catch (thrown) {
      // a certificate that the URL names, and that is being put in place
      return again(asError(thrown));
    }
    current = client;
    const broken = (error: Error): void => {
      if (current !== client) return;
      current = undefined;
      client.end().catch(() => {});
      if (!closed) again(error);
    };
    client.on("error", broken);
    client.on("end", () => broken(new Error("the connection ended")));
    client.on("notification", told);
    try {
      await client.connect();
      await client.query(`listen ${client.escapeIdentifier(channel)}`);
      told();
    } catch (thrown) {
      broken(asError(thrown));
    }
  }

  void connect();
  return {
    async close() {
      closed = true;
      clearTimeout(timer);
      const client = current;
      current = undefined;
      await client?.end();
    },
  };
}

const RETRY_MS = 5_000;
