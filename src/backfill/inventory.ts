/** The files of an S3 Inventory, and what they have to be. */
import { createHash } from "node:crypto";
import type { Readable } from "node:stream";
import { z } from "zod";
import { each } from "../each.ts";
import { ConfigError } from "../errors.ts";
import { withoutMark } from "../lines.ts";
import { fieldName } from "./json-lines.ts";

/** Gives the bytes of `s3://bucket/key` or of an absolute path. */
export type OpenFile = (at: string) => Promise<Readable>;

export interface List {
  at: string;
  /** Of an inventory, which has no header. */
  columns: string[] | undefined;
  /** Of its bytes, in hexadecimal digits; undefined where nobody says. */
  md5: string | undefined;
}

/** @throws {ConfigError} where it is none in CSV; what `open` throws. */
export async function readInventory(open: OpenFile, at: string): Promise<List[]> {
  const refuse = (why: string, cause?: unknown): ConfigError =>
    new ConfigError(`${at}: expected the manifest.json of an S3 Inventory: ${why}`, {
      cause,
    });
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of await open(at)) {
    chunks.push(chunk as Buffer);
    size += (chunk as Buffer).length;
    if (size > MAX_BYTES) throw refuse("it is longer than 64 MB; name a list of photos .jsonl");
  }
  let raw: unknown;
  try {
    raw = JSON.parse(withoutMark(Buffer.concat(chunks).toString("utf8")));
  } catch (cause) {
    throw refuse("it is not JSON", cause);
  }
  const result = inventory.safeParse(raw);
  if (!result.success) {
    const where = result.error.issues[0]!.path.join(".");
    throw refuse(where ? `without ${where}, or it is of another type` : "it is no object");
  }
  const { fileFormat, fileSchema, destinationBucket, files } = result.data;
  if (fileFormat !== "CSV") throw refuse(`in CSV; this one is in ${fileFormat}`);
  const columns = fileSchema.split(",").map(fieldName);
  if (!columns.includes("key")) throw refuse("with a column Key");
  const destination = destinationBucket.replace(/^arn:[^:]*:s3:::/, "");
  return files.map(({ key, MD5checksum }) => ({
    at: `s3://${destination}/${key}`,
    columns,
    md5: MD5checksum?.toLowerCase(),
  }));
}

/**
 * Opens every file of an inventory, so that one that is not there is told before the others are fed.
 *
 * @throws as readInventory, and what `open` throws.
 */
export async function openAll(open: OpenFile, at: string): Promise<void> {
  const lists = await readInventory(open, at);
  await each(lists, OPEN_AT_ONCE, async (list) => void (await open(list.at)).destroy());
}

/** The bytes of a file, to an error instead of its end where they are not those that its inventory was written with. */
export async function* checked(bytes: Readable, { at, md5 }: List): AsyncGenerator<Buffer> {
  const hash = createHash("md5");
  for await (const chunk of bytes) {
    hash.update(chunk as Buffer);
    yield chunk as Buffer;
  }
  const is = hash.digest("hex");
  if (is === md5) return;
  throw new ConfigError(
    `${at}: expected the MD5 that manifest.json says, ${md5}, got ${is}: it is damaged, or was replaced`,
  );
}

const inventory = z.object({
  destinationBucket: z.string(),
  fileFormat: z.string(),
  fileSchema: z.string(),
  files: z.array(z.object({ key: z.string(), MD5checksum: z.string().optional() })),
});

const OPEN_AT_ONCE = 8;
/** It is held in memory, and one of an inventory of billions of objects has a few. */
const MAX_BYTES = 64e6;
