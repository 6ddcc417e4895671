/** Roles are of a whole server, so that what is done without them has one of its own. */
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
