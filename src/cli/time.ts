import { UsageError } from "./command.ts";

const FORM = /^(\d{4})-(\d\d)-(\d\d)(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/;

/**
 * The time that an option names, a day or a moment; of no zone it is UTC. Undefined where it was not given.
 *
 * @throws {UsageError} For what is none, the 31st of February among it, of which `Date` makes the 3rd of March.
 */
export function timeOption(value: unknown, name: string): Date | undefined {
  if (value === undefined) return undefined;
  const [given, year, month, day, clock, , , zone] = FORM.exec(String(value)) ?? [];
  if (given !== undefined) {
    const time = new Date(clock === undefined || zone !== undefined ? given : `${given}Z`);
    const inMonth = new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate();
    if (!Number.isNaN(time.valueOf()) && Number(day) <= inMonth) return time;
  }
  throw new UsageError(
    `--${name}: expected a day such as 2026-01-31 or a time such as 2026-01-31T08:30:00Z, got ${JSON.stringify(value)}`,
  );
}
