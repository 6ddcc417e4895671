import { Webhook } from "standardwebhooks";
import { describe, expect } from "vitest";
import { enableDestination } from "../../src/store/destinations.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { test } from "../delivering.ts";
import { rows } from "../fixtures.ts";
import { maitred } from "../maitred.ts";
import { kinds } from "../outbox.ts";
import { judge, judged, register, removeObject } from "../verdicts.ts";
import { until } from "../waits.ts";

describe("maitred destination", () => {
  test("prints a secret once, lists without it, tests, disables and removes with all that waits", async ({
    db,
    receiver,
    cli,
  }) => {
    const added = await cli(["destination", "add", "webhook", receiver.url]);
    const secret = added.out.trim();
    expect(secret).toMatch(/^whsec_[\w+/=]{44}$/);
    const [{ id }] = JSON.parse((await cli(["destination", "list", "--json"])).out);
    const listed = await cli(["destination", "list"]);
    expect(listed.out).toContain(id);
    expect(listed.out).not.toContain(secret.slice(6));
    expect((await cli(["destination", "test", id])).out).toBe(`${id} took it\n`);
    expect(receiver.received[0]!.message).toMatchObject({ type: "maitred.test", data: {} });
    new Webhook(secret).verify(receiver.received[0]!.body, receiver.received[0]!.headers);
    receiver.answer = (response) => void response.writeHead(500).end();
    expect(await cli(["destination", "test", id])).toMatchObject({
      code: 1,
      out: `${id} did not take it: it answered 500\n`,
    });
    await judge(db, await register(db, "a"), "shown");
    expect((await cli(["destination", "disable", id])).code).toBe(0);
    expect((await cli(["destination", "remove", id])).code).toBe(0);
    expect(await rows(db, "select from outbox")).toEqual([]);
    expect((await cli(["destination", "remove", id])).code).toBe(1);
  });

  test("is named where it is disabled and its dead deliveries are replayed", async ({ db, cli }) => {
    const [off, on] = [
      (await cli(["destination", "add", "s3-tags"])).out.trim(),
      (await cli(["destination", "add", "s3-tags"])).out.trim(),
    ];
    await judge(db, await register(db, "a"), "shown");
    await enableDestination(db.pool, off, false);
    const replay = async (...args: string[]): Promise<string> =>
      (await cli(["deliveries", "replay", "--all", "--state", "pending", ...args])).out;
    expect(JSON.parse(await replay("--json"))).toEqual({ replayed: 2, disabled: [off] });
    const said = await replay();
    expect(said).toContain(`maitred destination enable ${off}\n`);
    expect(said).not.toContain(on);
  });

  test("catches up on what was before it, and says how to after it was disabled", async ({
    db,
    cli,
    receiver,
    hook,
    start,
  }) => {
    const photo = await register(db, "a");
    await judge(db, photo, "shown");
    const { id } = await hook(receiver.url);
    const wrong = await cli(["destination", "catch-up", id, "--since", "yesterday"]);
    expect(wrong).toMatchObject({ code: 2, err: expect.stringContaining("--since: expected a day") });
    expect((await cli(["destination", "catch-up", id])).out).toBe(`${id} is told of 1 photo\n`);
    await cli(["destination", "disable", id]);
    await judge(db, photo, "hidden");
    const enabled = await cli(["destination", "enable", id]);
    const [, since] = /catch-up \w+ --since (\S+)/.exec(enabled.err) ?? [];
    const again = await cli(["destination", "catch-up", id, "--since", since!, "--json"]);
    expect(JSON.parse(again.out)).toEqual({ id, told: 1 });
    await start();
    expect((await receiver.got(2)).map(({ message }) => message.data.state)).toEqual(["shown", "hidden"]);
  });

  test("catches up on what was withdrawn before it, which its receiver may still show", async ({
    db,
    cli,
    hook,
  }) => {
    await judge(db, await register(db, "a"), "shown");
    await removeObject(db, "a");
    const { id } = await hook("https://app.example/hook");
    expect((await cli(["destination", "catch-up", id])).out).toBe(`${id} is told of 1 photo\n`);
    expect(await kinds(db)).toEqual(["photo.withdrawn"]);
  });

  test("catches up no further once it is disabled, also while it waits for what is to be delivered", async ({
    db,
    cli,
  }) => {
    const photo = await register(db, "a");
    await judge(db, photo, "shown");
    const id = (await cli(["destination", "add", "s3-tags"])).out.trim();
    await db.pool.query(
      `with told as (
        insert into outbox (photo_id, kind, payload) select -n, 'photo.verdict', '{}' from generate_series(1, 10000) n
        returning seq, photo_id
      ) insert into deliveries (seq, destination, photo_id) select seq, $1, photo_id from told`,
      [id],
    );
    const catching = cli(["destination", "catch-up", id]);
    await until(
      async () => (await rows(db, "select from deliveries where photo_id = $1", photo)).length === 1,
    );
    await enableDestination(db.pool, id, false);
    const { code, err } = await catching;
    expect(code).not.toBe(0);
    expect(err).toContain(`1 photo told of; --after ${photo} goes on from here`);
    expect(err).toContain(`destination ${id} is not enabled`);
  });

  test("catches up on what was being changed while it was added", async ({ db, cli }) => {
    const photo = await register(db, "a");
    const worker = await db.pool.connect();
    try {
      await worker.query("begin");
      await recordOutcomes(worker, [judged(photo, "shown")]);
      const { out } = await cli(["destination", "add", "s3-tags"]);
      const id = out.trim();
      const catching = maitred(["destination", "catch-up", id], { DATABASE_URL: db.url });
      await catching.says("waits for the end of 1 transactions");
      await worker.query("commit");
      expect(await catching.exit).toBe(0);
      expect(catching.stdout()).toBe(`${id} is told of 1 photo\n`);
      expect(await rows(db, "select destination, photo_id from deliveries")).toEqual([
        { destination: id, photo_id: photo },
      ]);
    } finally {
      worker.release(true);
    }
  });
});
