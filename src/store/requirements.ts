import { asError, ConfigError } from "../errors.ts";
import { type Pool, query } from "./pool.ts";

/** Such as "Postgres 18.4"; one older than 14 is refused. */
export async function serverVersion(db: Pool): Promise<string> {
  const { rows } = await db.query<{ server_version: string }>("show server_version");
  const version = rows[0]!.server_version;
  if (Number.parseInt(version, 10) >= 14) return `Postgres ${version}`;
  throw new ConfigError(`expected Postgres 14 or newer, got ${version}`);
}

/**
 * Asks whether a worker could write to what there is of its tables; changes nothing.
 *
 * @throws {ConfigError} saying what stands in the way.
 */
export async function requireWritable(db: Pool): Promise<void> {
  const [state] = await query<{ role: string; standby: boolean; readOnly: boolean; lacks: string[] }>(db, {
    text: `select current_user as role, pg_is_in_recovery() as standby,
        current_setting('transaction_read_only')::boolean as "readOnly",
        array(select privilege || ' on ' || name
          from (values ('pgmigrations', 'select'), ('photos', 'insert'), ('photos', 'update'), ('verdicts', 'insert'),
            ('tags', 'insert'), ('tags', 'delete'), ('policies', 'insert'), ('model_workers', 'insert')) as needed (name, privilege)
          where not has_table_privilege(to_regclass(name), privilege)) as lacks`,
  });
  const { role, standby, readOnly, lacks } = state!;
  const wrong = standby
    ? "it is a standby: let DATABASE_URL name the primary"
    : readOnly
      ? `transaction_read_only is on: reset default_transaction_read_only of the server, the database or the role ${role}`
      : lacks.length > 0 && `the role ${role} lacks ${lacks.join(", ")}: grant maitred_worker to it`;
  if (wrong) throw new ConfigError(`expected a Postgres that can be written to, but ${wrong}`);
}

/**
 * Asks whether PUBLIC may create in the schema public, as on Postgres 14 and what was upgraded from there; changes nothing.
 *
 * @throws {ConfigError} saying what an administrator has to do.
 */
export async function requireClosed(db: Pool): Promise<void> {
  const [state] = await query<{ open: boolean }>(db, {
    text: "select has_schema_privilege('public', 'public', 'create') as open",
  });
  if (!state!.open) return;
  throw new ConfigError(
    "every role may create in the schema public, and so run what it likes as the owner of the tables: grant create on schema public to the roles that make tables there, and then revoke create on schema public from public",
  );
}

/**
 * Writes nine megabytes to the disk of the database, which are gone with the end of the transaction. A role that may not do
 * so learns nothing.
 *
 * @throws {ConfigError} where there is no room for them.
 */
export async function requireRoom(db: Pool): Promise<void> {
  try {
    // sent as one they are one transaction; whatever is temporary may have a disk of its own
    await query(db, {
      text: `set local temp_tablespaces = '';
        create temporary table room on commit drop as select generate_series(1, 250000) n`,
    });
  } catch (thrown) {
    const cause = asError(asError(thrown).cause);
    // other refusals say nothing of the disk: that the role may not, its own limit, or a trigger of what audits tables that are made
    if ((cause as { code?: unknown }).code !== DISK_FULL) return;
    throw new ConfigError(`its disk is full: make room there, and photos wait until then: ${cause.message}`, {
      cause,
    });
  }
}

const DISK_FULL = "53100";
