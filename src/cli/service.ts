import type { Config } from "../config.ts";
import { exitOnSignal, Scope } from "../lifecycle.ts";
import { createLog, type Logger } from "../log.ts";
import { connectedConfig, type Terminal } from "./command.ts";

/**
 * Runs one long-lived process until a signal ends it.
 *
 * @throws what `start` throws, with all that it had opened closed again.
 */
export async function serve(
  terminal: Terminal,
  start: (config: Config, log: Logger, scope: Scope) => Promise<unknown>,
): Promise<number> {
  const config = connectedConfig(terminal);
  const log = createLog(config.logLevel);
  const scope = new Scope();
  exitOnSignal(process, scope, config.graceMs, (err) => log.error({ err }, "not a clean end"));
  await start(config, log, scope).catch(async (error: unknown) => {
    // a signal during the start ends it, and the signal's handler exits
    if (scope.closing) return;
    await scope.close().catch(() => {});
    throw error;
  });
  return new Promise(() => {});
}
