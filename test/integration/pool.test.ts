import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { type AddressInfo, createServer, connect as dial } from "node:net";
import { join } from "node:path";
import { TLSSocket } from "node:tls";
import { describe, expect } from "vitest";
import { connect, query, queryWithoutTimeout } from "../../src/store/pool.ts";
import { test } from "../fixtures.ts";
import { quietable } from "../quietable.ts";

describe("a pool", () => {
  test("does not wait for a server that is gone without a word, and goes on when it is back", async ({
    db,
  }) => {
    const proxy = await quietable(db.url);
    // what is 65 s without it
    const pool = connect(`${proxy.url}?query_timeout=500`, () => {}, 1);
    try {
      expect(await query(pool, { text: "select 1 as one" })).toEqual([{ one: 1 }]);
      proxy.state.silent = true;
      await expect(query(pool, { text: "select 2" })).rejects.toMatchObject({
        code: "DATABASE_UNAVAILABLE",
        retry: true,
      });
      proxy.state.silent = false;
      expect(await query(pool, { text: "select 3 as three" })).toEqual([{ three: 3 }]);
      expect(await queryWithoutTimeout(pool, "select pg_sleep(1), $1::text as word", ["done"])).toMatchObject(
        [{ word: "done" }],
      );
    } finally {
      await pool.end();
      proxy.close();
    }
  });

  test.for([
    "EHOSTUNREACH",
    "ENETUNREACH",
    "EHOSTDOWN",
    "EADDRNOTAVAIL",
    "EMFILE",
    "58030",
    "28P01",
    "55P03",
    "25P03",
    "25P04",
    "28000",
    "3D000",
    "55000",
  ])("takes %s for an outage, also as one of several addresses", async (code) => {
    const error = Object.assign(new Error("away"), { code });
    const several = Object.assign(new AggregateError([error]), { code: "EWHATEVER" });
    for (const thrown of [error, several]) {
      const db = { query: () => Promise.reject(thrown) };
      await expect(query(db, { text: "" })).rejects.toMatchObject({ code: "DATABASE_UNAVAILABLE" });
    }
  });

  test("leaves no connection open that could not sign in", async ({ db }) => {
    const { hostname, port } = new URL(db.url);
    const open = new Set<unknown>();
    const proxy = createServer((near) => {
      const far = dial(Number(port), hostname);
      open.add(near);
      near.pipe(far).pipe(near);
      near.on("error", () => {}).on("close", () => open.delete(near));
      far.on("error", () => {});
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    const without = new URL(db.url);
    without.password = "";
    without.host = `127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    const pool = connect(without.href, () => {});
    for (let tries = 0; tries < 3; tries++)
      await expect(query(pool, { text: "select" })).rejects.toMatchObject({
        code: "DATABASE_UNAVAILABLE",
        message: expect.stringContaining("password must be a string"),
      });
    // Postgres would end them after a minute
    await expect.poll(() => open.size, { timeout: 5_000 }).toBe(0);
    await pool.end();
    proxy.close();
  });

  test("takes a socket whose file is not there for an outage, as while Postgres starts anew", async ({
    folder,
  }) => {
    const pool = connect(`postgres://maitred@/photos?host=${folder}`, () => {}, 1);
    await expect(query(pool, { text: "select 1" })).rejects.toMatchObject({ code: "DATABASE_UNAVAILABLE" });
    await pool.end();
  });

  test("takes whatever ends a connection for an outage, such as a pg_hba.conf that is wrong", async () => {
    const error = Object.assign(new Error("a certificate store is lacking"), {
      code: "F0000",
      severity: "FATAL",
    });
    const db = { query: () => Promise.reject(error) };
    await expect(query(db, { text: "" })).rejects.toMatchObject({ code: "DATABASE_UNAVAILABLE" });
  });

  test("takes a password that is not there yet for an outage", async () => {
    const error = new Error("SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string");
    const db = { query: () => Promise.reject(error) };
    await expect(query(db, { text: "" })).rejects.toMatchObject({ code: "DATABASE_UNAVAILABLE" });
  });

  test("takes a certificate that it does not trust for an outage, and says what names the CA", async ({
    db,
    folder,
  }) => {
    const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
    const made = [
      "req",
      "-x509",
      "-newkey",
      "rsa:2048",
      "-nodes",
      "-keyout",
      key,
      "-out",
      cert,
      "-subj",
      "/CN=localhost",
    ];
    expect(spawnSync("openssl", [...made, "-addext", "subjectAltName=DNS:localhost"]).status).toBe(0);
    const server = createServer((client) => {
      client.on("error", () => {});
      // asks whether it may encrypt
      client.once("data", () => {
        client.write("S");
        const tls = new TLSSocket(client, {
          isServer: true,
          key: readFileSync(key),
          cert: readFileSync(cert),
        });
        const postgres = dial(Number(new URL(db.url).port), "127.0.0.1");
        tls.on("error", () => postgres.destroy());
        tls.pipe(postgres).pipe(tls);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = new URL(db.url);
    url.port = String((server.address() as AddressInfo).port);
    url.searchParams.set("sslmode", "verify-full");
    const asked = async (host: string, root?: string): Promise<unknown> => {
      url.hostname = host;
      if (root) url.searchParams.set("sslrootcert", root);
      const pool = connect(url.href, () => {}, 1);
      return query(pool, { text: "select 1 as one" }).finally(() => pool.end());
    };
    const untrusted = { code: "DATABASE_UNAVAILABLE", message: expect.stringContaining("sslrootcert") };
    try {
      await expect(asked("localhost")).rejects.toMatchObject(untrusted);
      expect(await asked("localhost", cert)).toEqual([{ one: 1 }]);
      await expect(asked("127.0.0.1", cert)).rejects.toMatchObject(untrusted);
      await expect(asked("localhost", join(folder, "none.pem"))).rejects.toMatchObject({
        code: "CONFIG_INVALID",
        message: expect.stringMatching(/^DATABASE_URL: ENOENT.*none.pem/),
      });
    } finally {
      server.close();
    }
  });

  test("says of a standby that it is one, where it writes", async ({ db }) => {
    const pool = connect(`${db.url}?options=-c%20default_transaction_read_only%3Don`, () => {}, 1);
    await expect(query(pool, { text: "create table t ()" })).rejects.toMatchObject({
      code: "DATABASE_UNAVAILABLE",
      message: expect.stringContaining("if it is a standby, let DATABASE_URL lead to the primary"),
    });
    await pool.end();
  });

  test("has Postgres compile no statement", async ({ db }) => {
    const pool = connect(db.url, () => {}, 1);
    expect(await query(pool, { text: "show jit" })).toEqual([{ jit: "off" }]);
    await pool.end();
  });

  test("takes a statement that is wrong for no outage", async ({ db }) => {
    await expect(query(db.pool, { text: "select nothing" })).rejects.toMatchObject({ code: "42703" });
  });
});
