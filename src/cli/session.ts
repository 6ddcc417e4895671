import { endSession, listSessions } from "../store/desk-sessions.ts";
import { requireSchema } from "../store/migrate.ts";
import { connect } from "../store/pool.ts";
import { type Command, connectedConfig, EXIT, table, UsageError } from "./command.ts";
import { accountOption } from "./options.ts";

export const session: Command = {
  summary: "list and revoke the sessions of those who are signed in to the desk",
  help: `
usage: maitred session list [--json]
       maitred session revoke [--by NAME] [--json] ID

A session that is revoked is refused from then on; what its person decided stays. Who signed in with a token has none any
more once the token is revoked, and can sign in again otherwise: revoke the token, or take the person's groups away at the
provider first. docs/desk.md says more.

  --by NAME   who did it, for the audit log (default: your account's name)
  --json      as JSON on stdout

  maitred session list

Exit codes: of revoke, 1 there is no such session, or it has ended.
`,
  options: { by: { type: "string" }, json: { type: "boolean" } },

  async run({ values, positionals }, terminal) {
    const [what = "", id, ...more] = positionals;
    if (what !== "list" && what !== "revoke") {
      throw new UsageError(`expected list or revoke, got ${JSON.stringify(what)}`);
    }
    if ((id === undefined) !== (what === "list") || more.length > 0) {
      throw new UsageError(
        what === "list" ? "expected nothing after list" : "expected one id, as maitred session list shows it",
      );
    }
    const { print, say } = terminal;
    const config = connectedConfig(terminal);
    const db = connect(config.databaseUrl, () => {}, 1);
    try {
      await requireSchema(db);
      if (id !== undefined) {
        const revoked = await endSession(db, id, accountOption(values), "revoked");
        if (values["json"]) print(JSON.stringify({ id, revoked }));
        else if (revoked) print(`${id} is revoked`);
        if (!revoked) say(`there is no session ${JSON.stringify(id)}: maitred session list shows them\n`);
        return revoked ? EXIT.done : EXIT.notAll;
      }
      const sessions = (await listSessions(db, config.deskIdleS)).map(({ hash: _, ...shown }) => shown);
      if (values["json"]) {
        print(JSON.stringify(sessions));
        return EXIT.done;
      }
      const rows = sessions.map(({ id, name, roles, subject, seenAt, endsAt }) => {
        return [id, name, roles.join(","), subject, seenAt, endsAt];
      });
      for (const line of table([["id", "name", "roles", "by", "used", "ends"], ...rows])) print(line);
      return EXIT.done;
    } finally {
      await db.end();
    }
  },
};
