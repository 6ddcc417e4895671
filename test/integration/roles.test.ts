/** Roles are of a whole server, so that what is done without them has one of its own. */
import { readFile } from "node:fs/promises";
import pg from "pg";
import { expect, inject } from "vitest";
import { startPostgres } from "../../src/embedded/postgres.ts";
import { test } from "../fixtures.ts";
import { ended } from "../maitred.ts";

test("what an administrator has to do is said by migrate each time, and by doctor while roles are lacking", async ({
  folder,
}) => {
  const postgres = await startPostgres(folder);
  const admin = new pg.Client(postgres.url);
  await admin.connect();
  try {
    await admin.query("create role owner login password 'secret' nosuperuser");
    await admin.query("create database photos owner owner");
    const url = new URL(postgres.url);
    [url.username, url.password, url.pathname] = ["owner", "secret", "photos"];
    const env = { DATABASE_URL: url.href, MAITRED_MODEL: inject("idleModel") };
    const notices = async () => JSON.parse((await ended(["migrate", "--json"], env)).out).notices;
    const lacking = [
      expect.stringMatching(/there is no maitred_migrator, .* run "create role maitred_migrator/),
    ];
    expect(await notices()).toEqual(lacking);
    expect(await notices()).toEqual(lacking);
    const doctor = await ended(["doctor"], env);
    expect([doctor.code, doctor.out]).toEqual([
      0,
      expect.stringMatching(/^warn +postgres .*: let a role with createrole run "/m),
    ]);

    const [, todo] = /"(.*)"/.exec((await notices())[0])!;
    await admin.query(todo!);
    const { code, out, err } = await ended(["migrate"], env);
    expect([code, out]).toEqual([0, "nothing to do: the schema is current\n"]);
    expect(err).toBe(
      "the tables stay with owner: only an administrator may give them to maitred_migrator\nthe queue stays with owner: only an administrator may give it to maitred_migrator\n",
    );
    expect((await ended(["doctor"], env)).out).toMatch(/^ok +postgres /m);
  } finally {
    await admin.end();
    await postgres.close();
  }
});

test("a login of dashboards, made as docs/tables.md says, has no function look at what public_photos leaves out", async ({
  folder,
}) => {
  const postgres = await startPostgres(folder);
  const admin = new pg.Client(postgres.url);
  await admin.connect();
  try {
    await ended(["migrate"], { DATABASE_URL: postgres.url });
    const [, made] = /```sql\n(create role dashboards[^`]*)```/.exec(
      await readFile("docs/tables.md", "utf8"),
    )!;
    await admin.query(made!.replaceAll("database maitred ", "database postgres "));
    await admin.query("insert into photos (store, bucket, key) values ('s3', 'photos', 'not public')");
    const url = new URL(postgres.url);
    [url.username, url.password] = ["dashboards", "..."];
    const dashboards = new pg.Client(url.href);
    await dashboards.connect();
    const seen: unknown[] = [];
    dashboards.on("notice", ({ message }) => seen.push(message));
    const look = dashboards
      .query(
        `create function pg_temp.look(text) returns boolean language plpgsql cost 0.0000001 as
          $$ begin raise notice '%', $1; return true; end $$`,
      )
      .then(() => dashboards.query("select * from public_photos where pg_temp.look(key)"));
    await expect(look).rejects.toMatchObject({ code: "42501" });
    expect(seen).toEqual([]);
    await dashboards.end();
  } finally {
    await admin.end();
    await postgres.close();
  }
});
