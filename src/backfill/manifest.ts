import { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { CsvError, parse } from "csv-parse";
import { asError, ConfigError } from "../errors.ts";
import { fits, isBucket, MAX_KEY_BYTES, versionText } from "../intake/shape.ts";
import { linesOf, MAX_LINE, tooLong } from "../lines.ts";
import { type PhotoMetadata, type PhotoRef, UPLOADERS, type Uploader } from "../photo.ts";
import { decodeForm } from "../text.ts";
import { versionOf } from "../version.ts";
import { checked, type List, type OpenFile, readInventory } from "./inventory.ts";
import { type Fields, fieldName, isMangled, parseLine, UNREADABLE } from "./json-lines.ts";

/** Where reading goes on: the file of an inventory, and how many of its records were read. */
export interface ManifestCursor {
  file: number;
  record: number;
}

export interface ManifestRecord {
  /** Undefined where it names no photo that could be. */
  photo: (PhotoRef & { known: PhotoMetadata }) | undefined;
  /** What it lacks then; "" otherwise. */
  why: string;
  /** Reading that begins here comes after this record. */
  next: ManifestCursor;
}

/**
 * The records of a manifest, from `from` on, in constant memory.
 *
 * - `….csv`: a header that names the columns `key` and, as far as there are any, `bucket`, `version`, `etag`, `listing`,
 *   `uploader`, `claimed`, `is_latest`, `is_delete_marker`; keys as they are. A column whose name has blanks around it has them
 *   around its values too.
 * - `….jsonl` or `….ndjson`: an object of the same names a line.
 * - `…/manifest.json` of an S3 Inventory in CSV: its files lie in its destination bucket, keys are percent-encoded. A file that is
 *   not what its MD5 there says is refused at its end.
 *
 * Versions that are not the latest and delete markers are left out.
 *
 * Any of the lists may be packed as `.gz`. A line has at most a million characters. They are in UTF-8, or CSV with its mark in
 * UTF-16; a record with bytes that are not, or with more fields than its header, names no photo.
 *
 * @param bucket of records that name none.
 * @throws {ConfigError} when the manifest as a whole cannot be read, or names an uploader that there is none of;
 *   what `open` throws.
 */
export async function* readManifest(
  open: OpenFile,
  at: string,
  from: ManifestCursor,
  bucket: string | undefined,
): AsyncGenerator<ManifestRecord> {
  const lists = at.endsWith(".json")
    ? await readInventory(open, at)
    : [{ at, columns: undefined, md5: undefined }];
  if (from.file > 0 && from.file >= lists.length) throw replaced(at, `${lists.length} files`, from.file + 1);
  for (const [file, list] of lists.entries()) {
    if (file < from.file) continue;
    const skip = file === from.file ? from.record : 0;
    let record = 0;
    for await (const fields of records(open, list)) {
      record++;
      if (record <= skip) continue;
      if (typeof fields !== "string") {
        if (!isCurrent(fields)) continue;
        const { uploader } = fields;
        if (uploader && !isUploader(uploader)) throw noUploader(`${list.at}: record ${record}`, uploader);
      }
      yield { ...asPhoto(fields, bucket), next: { file, record } };
    }
    if (record < skip) throw replaced(list.at, `${record} records`, skip);
  }
}

/** Reading would end here, and nobody would hear of what the new one names. */
function replaced(at: string, has: string, read: number): ConfigError {
  const advice = "it was replaced meanwhile: cancel the run, and start one for the new list";
  return new ConfigError(`${at} has ${has}, and ${read} of it were read already; ${advice}`);
}

/** Left out it would be lost, and nobody would hear of it. */
function noUploader(where: string, got: string): ConfigError {
  return new ConfigError(
    `${where}: uploader: expected moderator or user, got ${JSON.stringify(got.slice(0, 100))}`,
  );
}

async function* records(open: OpenFile, list: List): AsyncGenerator<Fields> {
  const opened = await open(list.at);
  try {
    yield* unpacked(opened, list);
  } catch (thrown) {
    // of no use to try again: what keeps a store from sending all of it is another error
    const { code, message } = asError(thrown) as NodeJS.ErrnoException;
    if (!/^(Z_DATA_ERROR|Z_BUF_ERROR)$/.test(String(code))) throw thrown;
    throw new ConfigError(`${list.at}: expected gzip: ${message}`, { cause: thrown });
  } finally {
    // what reads from it does not close it, and a store has few connections for us
    opened.destroy();
  }
}

async function* unpacked(opened: Readable, list: List): AsyncGenerator<Fields> {
  const { at, columns, md5 } = list;
  const packed = at.endsWith(".gz");
  const name = packed ? at.slice(0, -3) : at;
  const source = md5 === undefined ? opened : Readable.from(checked(opened, list), { objectMode: false });
  const bytes = packed ? source.pipe(createGunzip()) : source;
  source.on("error", (error) => bytes.destroy(error));
  if (/\.(jsonl|ndjson)$/.test(name)) {
    for await (const [, line] of linesOf(bytes, at)) yield parseLine(line);
    return;
  }
  if (!name.endsWith(".csv"))
    throw new ConfigError(`${at}: expected .csv, .jsonl or .ndjson, maybe with .gz, or manifest.json`);
  let gzip = false;
  bytes.once("data", (chunk: Buffer) => {
    gzip = chunk[0] === 0x1f && chunk[1] === 0x8b;
  });
  const parser = bytes.pipe(
    parse({
      bom: true,
      // found from the first line otherwise, and a list that was put together has several
      record_delimiter: ["\r\n", "\n", "\r"],
      skip_empty_lines: true,
      relax_column_count: true,
      max_record_size: MAX_LINE,
    }),
  );
  bytes.on("error", (error) => parser.destroy(error));
  try {
    let names = columns;
    let padded: boolean[] = [];
    for await (const values of parser as AsyncIterable<string[]>) {
      if (names) {
        const bare = values.map((value, index) => (padded[index] ? value.trim() : value));
        yield fieldsOf(bare, names, columns !== undefined);
      } else {
        names = checkHeader(values, at);
        padded = values.map((name) => name !== name.trim());
      }
    }
    if (!names) checkHeader([], at);
  } catch (thrown) {
    if (gzip)
      throw new ConfigError(`${at}: expected CSV, got gzip: name it .csv.gz`, {
        cause: thrown,
      });
    if (!(thrown instanceof CsvError)) throw thrown;
    if (thrown.code === "CSV_MAX_RECORD_SIZE") throw tooLong(at, Number(thrown["lines"]));
    throw new ConfigError(`${at}: expected CSV: ${thrown.message}`, { cause: thrown });
  }
}

function checkHeader(header: string[], at: string): string[] {
  const columns = header.map(fieldName);
  if (columns.includes("key")) return columns;
  throw new ConfigError(
    `${at}: expected a first line that names the column key, got ${header.length > 0 ? JSON.stringify(header.join(",").slice(0, 200)) : "nothing"}`,
  );
}

/**
 * No fields where bytes of it were not UTF-8, or there are more values than columns: a key with a comma and no quotes would be
 * cut short, and name another object.
 */
function fieldsOf(values: readonly string[], columns: readonly string[], encoded: boolean): Fields {
  if (isMangled(values.join()) || values.slice(columns.length).some((value) => value !== ""))
    return UNREADABLE;
  const fields: Record<string, string> = Object.fromEntries(
    columns.map((name, index) => [name, values[index] ?? ""]),
  );
  if (encoded) fields["key"] = decoded(fields["key"]!);
  return fields;
}

/** Inventories write keys as URLs do. @returns "" where it is none. */
function decoded(key: string): string {
  try {
    return decodeForm(key);
  } catch {
    return "";
  }
}

function isCurrent({ latest = "", marker = "", key }: Record<string, string>): boolean {
  return !NO.test(latest.trim()) && !YES.test(marker.trim()) && !key?.endsWith("/");
}

/** As Inventories, JSON, and dumps of Postgres and MySQL write them. */
const NO = /^(false|f|no|0)$/i;
const YES = /^(true|t|yes|1)$/i;

function asPhoto(fields: Fields, given: string | undefined): Omit<ManifestRecord, "next"> {
  if (typeof fields === "string") return { photo: undefined, why: fields };
  const { key = "", bucket = "", version, etag, listing, uploader, claimed } = fields;
  const where = bucket || given || "";
  const why = lacking(key, where, [version, etag]);
  if (why !== "") return { photo: undefined, why };
  const photo: ManifestRecord["photo"] = {
    store: "s3",
    bucket: where,
    key,
    version: versionOf(version, etag),
    known: {
      ...(listing && fits(listing, 1_000) && { listing }),
      ...(isUploader(uploader) && { uploader }),
      ...(claimed && fits(claimed, 1_000) && { claimed }),
    },
  };
  return { photo, why };
}

function isUploader(name: string | undefined): name is Uploader {
  return UPLOADERS.some((each) => each === name);
}

function lacking(key: string, bucket: string, versions: readonly (string | undefined)[]): string {
  if (key === "") return "names no key";
  if (!fits(key, MAX_KEY_BYTES)) return "has a key that S3 cannot have";
  if (bucket === "") return "names no bucket";
  if (!isBucket(bucket)) return "has a bucket that S3 cannot have";
  const can = versions.every((version) => versionText.safeParse(version).success);
  return can ? "" : "has a version or an etag that S3 cannot have";
}
