import { copyFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, inject } from "vitest";
import { BACKENDS, queueUrl, test } from "../fixtures.ts";
import { ended } from "../maitred.ts";
import { startProxy } from "../proxy.ts";
import { startS3 } from "../s3.ts";
import { judge, register, removeObject } from "../verdicts.ts";

const samples = inject("samples");

describe("enqueue", () => {
  test("queues what stdin lists and is there, with what is known of it, once", async ({ db, folder }) => {
    for (const name of ["a.jpg", "b.jpg"]) copyFileSync(join(samples, "menu-1.jpg"), join(folder, name));
    const env = {
      DATABASE_URL: db.url,
      MAITRED_QUEUE_URL: queueUrl(BACKENDS[0]!, db),
      MAITRED_QUEUE_PREFIX: BACKENDS[0] === "redis" ? db.url.slice(-10) : "maitred_queue",
    };
    for (const _ of [1, 2]) {
      const command = await ended(
        ["enqueue", "--json", "--listing", "42", "--uploader", "user", "--lane", "backfill", "-"],
        env,
        Buffer.concat([
          Buffer.from(`${folder}/a.jpg\n\n${folder}/missing.jpg\n${folder}/d`),
          Buffer.from([0xee, 0x6e]), // "în" in Latin 1
          Buffer.from(`er.jpg\n${folder}/b.jpg\n`),
        ]),
      );
      expect(command.code).toBe(1);
      expect(command.err).toContain(`left out  ${folder}/missing.jpg: there is no such file or folder\n`);
      expect(command.err).toContain(`left out  ${folder}/d\ufffdner.jpg: it is not UTF-8\n`);
      expect(JSON.parse(command.out)).toEqual({ queued: 2, decided: 0, unclear: 0 });
      expect(command.err).toContain(`${folder} is not in MAITRED_FOLDERS here`);
    }
    const allowed = await ended(["enqueue", join(folder, "a.jpg")], { ...env, MAITRED_FOLDERS: folder });
    expect([allowed.code, allowed.err]).toEqual([0, ""]);
    const { rows } = await db.pool.query(
      "select key, listing, uploader, lane, state from photos order by key",
    );
    expect(rows).toEqual(
      ["a.jpg", "b.jpg"].map((key) => ({
        key,
        listing: "42",
        uploader: "user",
        lane: "backfill",
        state: "pending",
      })),
    );
  });

  test("says that a folder has no photo, and names links in it that lead nowhere", async ({ db, folder }) => {
    const env = { DATABASE_URL: db.url, MAITRED_QUEUE_URL: db.url };
    writeFileSync(join(folder, ".DS_Store"), "");
    const empty = await ended(["enqueue", folder], env);
    expect([empty.code, empty.out]).toEqual([2, ""]);
    expect(empty.err).toContain(`expected photos, got none in ${folder}`);
    const nothing = await ended(["enqueue", "-"], env);
    expect([nothing.code, nothing.out]).toEqual([0, "0 queued\n"]);
    symlinkSync("nowhere", join(folder, "a.jpg"));
    const dangling = await ended(["enqueue", folder], env);
    expect([dangling.code, dangling.out]).toEqual([1, "0 queued\n"]);
    expect(dangling.err).toContain(`left out  ${folder}/a.jpg: a link to nothing\n`);
  });

  test("leaves out an object that is not there, and names it", async ({ db }) => {
    const s3 = await startS3("photos");
    await s3.put("one.jpg", "one");
    const env = { DATABASE_URL: db.url, MAITRED_QUEUE_URL: db.url, MAITRED_S3_ENDPOINT: s3.address };
    const command = await ended(["enqueue", "s3://photos/one", "s3://photos/one.jpg"], env);
    expect([command.code, command.out]).toEqual([1, "1 queued\n"]);
    expect(command.err).toBe("left out  s3://photos/one: there is no such object\n");
    expect((await db.pool.query("select key from photos")).rows).toEqual([{ key: "one.jpg" }]);
    await s3.stop();
  });

  test("brings back no photo that was removed after it was looked for, whatever is listed after it", async ({
    db,
  }) => {
    const s3 = await startS3("photos");
    for (const key of ["one.jpg", "2019/a.jpg"]) await s3.put(key, key);
    await judge(db, await register(db, "one.jpg"), "shown");
    const proxy = await startProxy(s3.address, async ({ url }) => {
      if (url?.includes("prefix=2019")) await removeObject(db, "one.jpg");
    });
    const command = await ended(["enqueue", "s3://photos/one.jpg", "s3://photos/2019/"], {
      DATABASE_URL: db.url,
      MAITRED_QUEUE_URL: queueUrl(BACKENDS[0]!, db),
      MAITRED_QUEUE_PREFIX: BACKENDS[0] === "redis" ? db.url.slice(-10) : "maitred_queue",
      MAITRED_S3_ENDPOINT: proxy.url,
    });
    expect([command.code, command.err]).toEqual([0, ""]);
    const current = "select key from photos where superseded_at is null";
    expect((await db.pool.query(current)).rows).toEqual([{ key: "2019/a.jpg" }]);
    await proxy.close();
    await s3.stop();
  });
});
