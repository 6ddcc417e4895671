import { readConfig } from "../config.ts";
import { endSession, listSessions } from "../store/desk-sessions.ts";
import { type Command, EXIT, table } from "./command.ts";
import { accountOption } from "./options.ts";
import { nothingAfter, oneId, runSubcommand, type Subcommand } from "./subcommand.ts";

export const session: Command = {
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

  run: (args, terminal) => runSubcommand(COMMANDS, args, terminal),
};

const list: Subcommand = (rest, { values }, terminal) => {
  nothingAfter("list", rest);
  const { deskIdleS } = readConfig(terminal.env);
  return async (db) => {
    const sessions = (await listSessions(db, deskIdleS)).map(({ hash: _, ...shown }) => shown);
    if (values["json"]) terminal.print(JSON.stringify(sessions));
    else {
      const rows = sessions.map(({ id, name, roles, subject, seenAt, endsAt }) => {
        return [id, name, roles.join(","), subject, seenAt, endsAt];
      });
      for (const line of table([["id", "name", "roles", "by", "used", "ends"], ...rows]))
        terminal.print(line);
    }
    return EXIT.done;
  };
};

const revoke: Subcommand = (rest, { values }, terminal) => {
  const id = oneId("session", rest);
  return async (db) => {
    const revoked = await endSession(db, id, accountOption(values), "revoked");
    if (values["json"]) terminal.print(JSON.stringify({ id, revoked }));
    else if (revoked) terminal.print(`${id} is revoked`);
    if (!revoked)
      terminal.say(`there is no session ${JSON.stringify(id)}: maitred session list shows them\n`);
    return revoked ? EXIT.done : EXIT.notAll;
  };
};

const COMMANDS: ReadonlyMap<string, Subcommand> = new Map([
  ["list", list],
  ["revoke", revoke],
]);
