import { readdirSync, readFileSync } from "node:fs";
import type { Redis } from "ioredis";
import type { Pool } from "../src/store/pool.ts";

/** Seconds of CPU that a process and its threads have used so far. Linux, whose tick is 10 ms. */
export function cpuSeconds(pid: number): number {
  const [user, system] = ticks(pid);
  return (user! + system!) / TICKS;
}

/** Seconds of CPU of this process' main thread so far. Linux. */
export function mainThreadSeconds(): number {
  const [user, system] = ticks(`self/task/${process.pid}`);
  return (user! + system!) / TICKS;
}

/** Resident memory of a process in MiB, now or at most so far; NaN if it has ended, and elsewhere than on Linux. */
export function memoryMiB(pid: number, which: "now" | "peak" = "now"): number {
  const field = which === "now" ? /VmRSS:\s+(\d+)/ : /VmHWM:\s+(\d+)/;
  try {
    return Number(field.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1_024;
  } catch {
    return Number.NaN;
  }
}

/** Seconds of CPU of a Postgres on this machine, with the backends that have ended. Linux. */
export async function postgresCpuSeconds(db: Pool): Promise<number> {
  const { rows } = await db.query<{ pid: number }>("select pg_backend_pid() as pid");
  const postmaster = parentOf(rows[0]!.pid);
  const children = readdirSync("/proc").filter((name) => {
    try {
      return /^\d+$/.test(name) && parentOf(Number(name)) === postmaster;
    } catch {
      // it has ended meanwhile
      return false;
    }
  });
  // the last two are of children that have ended
  const own = ticks(postmaster).reduce((sum, each) => sum + each, 0) / TICKS;
  return children.reduce((sum, pid) => sum + cpuSeconds(Number(pid)), own);
}

export async function redisCpuSeconds(redis: Redis): Promise<number> {
  const info = await redis.info("cpu");
  return ["sys", "user"].reduce(
    (sum, kind) => sum + Number(new RegExp(`used_cpu_${kind}:([\\d.]+)`).exec(info)?.[1]),
    0,
  );
}

/** User and system time of a process or a thread, and of its children that have ended. */
function ticks(pid: number | string): number[] {
  return fields(pid).slice(11, 15).map(Number);
}

function parentOf(pid: number): number {
  return Number(fields(pid)[1]);
}

/** Of /proc/PID/stat, what stands behind the name. */
function fields(pid: number | string): string[] {
  return readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)!.split(" ");
}

const TICKS = 100;
