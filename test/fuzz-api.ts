/** `npm run fuzz:api`: asks the API whatever its OpenAPI document allows and forbids, and fails on any answer that it does not describe. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { migrateAll } from "../src/cli/migrate.ts";
import { readConfig } from "../src/config.ts";
import { startPostgres } from "../src/embedded/postgres.ts";
import { createToken, SCOPES } from "../src/http/tokens.ts";
import { Scope } from "../src/lifecycle.ts";
import { createLog } from "../src/log.ts";
import { packageRoot } from "../src/package-root.ts";
import { connect } from "../src/store/pool.ts";
import { addToken } from "../src/store/tokens.ts";
import { startApi } from "../workers/api.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    schemathesis: { type: "string", default: "schemathesis" },
    examples: { type: "string", default: "200" },
    seconds: { type: "string", default: "600" },
    help: { type: "boolean", short: "h" },
  },
});
if (values.help) {
  process.stdout.write(`usage: npm run fuzz:api -- [--schemathesis PATH] [--examples N] [--seconds S] [-- MORE...]

Starts Postgres (embedded) and the API, and lets schemathesis (pip install schemathesis) ask every route of
/openapi.json: what fits its schemas, and what does not. Fails on any finding. Every run asks the same.
  --schemathesis PATH   its executable (default: the one on the PATH)
  --examples N          requests of each kind to each route (default 200)
  --seconds S           fails where it takes longer (default 600)
  MORE                  further arguments of schemathesis run
`);
  process.exit(0);
}

const scope = new Scope();
const home = mkdtempSync(join(tmpdir(), "maitred-fuzz-"));
scope.onClose("files", () => rmSync(home, { recursive: true, force: true }));
let code = 1;
try {
  const postgres = scope.hold("Postgres", await startPostgres(home));
  const config = readConfig({
    DATABASE_URL: postgres.url,
    MAITRED_QUEUE_URL: postgres.url,
    MAITRED_API_PORT: "0",
    // what is asked here is more than anybody would
    MAITRED_RATE_LIMIT: "0",
    MAITRED_AUTH_LIMIT: "0",
    MAITRED_QUEUE_LIMIT: "0",
  });
  await migrateAll(config);
  const { url } = await startApi(config, createLog("error"), scope);
  const { id, token, hash } = createToken();
  const db = connect(postgres.url, () => {}, 1);
  await addToken(db, { id, name: "fuzz", hash, scopes: [...SCOPES] });
  await db.end();
  code = await schemathesis(url, token);
} finally {
  await scope.close();
}
process.exit(code);

function schemathesis(url: string, token: string): Promise<number> {
  const args = ["--config-file", join(packageRoot(), "test/schemathesis.toml")];
  args.push("run", `${url}/openapi.json`, "--header", `Authorization: Bearer ${token}`);
  args.push("--generation-deterministic", "--max-examples", values.examples, "--no-color", ...positionals);
  return new Promise((resolve, reject) => {
    const child = spawn(values.schemathesis, args, {
      cwd: home,
      stdio: ["ignore", "inherit", "inherit"],
      timeout: Number(values.seconds) * 1_000,
    });
    child.on("error", reject);
    child.on("exit", (exit, signal) => {
      if (signal) process.stderr.write(`not done within ${values.seconds} seconds\n`);
      resolve(exit ?? 1);
    });
  });
}
