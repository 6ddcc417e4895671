import { readConfig } from "../config.ts";
import { endSession, listSessions } from "../store/desk-sessions.ts";
import { defineCommand, EXIT, flags, texts } from "./command.ts";
import { accountOption } from "./options.ts";
import { printResult, table } from "./output.ts";
import { noneOf, nothingAfter, oneId, runSubcommand, type Subcommand, type WordsOf } from "./subcommand.ts";

const options = { ...texts("by"), ...flags("json") };
type Word = Subcommand<typeof options>;

export const session = defineCommand({
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
  words: true,
  options,

  run: (args, terminal) => runSubcommand(COMMANDS, args, WORDS_OF, terminal),
});

const list: Word = (rest, { json }, terminal) => {
  nothingAfter("list", rest);
  const { deskIdleS } = readConfig(terminal.env);
  return async (db) => {
    const sessions = (await listSessions(db, deskIdleS)).map(({ hash: _, ...shown }) => shown);
    const rows = sessions.map(({ id, name, roles, subject, seenAt, endsAt }) => {
      return [id, name, roles.join(","), subject, seenAt, endsAt];
    });
    printResult(terminal, json, sessions, table([["id", "name", "roles", "by", "used", "ends"], ...rows]));
    return EXIT.done;
  };
};

const revoke: Word = (rest, values, terminal) => {
  const id = oneId("session", rest);
  return async (db) => {
    const revoked = await endSession(db, id, accountOption(values), "revoked");
    printResult(terminal, values.json, { id, revoked }, revoked ? `${id} is revoked` : []);
    return revoked ? EXIT.done : noneOf(terminal, "session", id);
  };
};

const COMMANDS: Readonly<Record<string, Word>> = { list, revoke };
const WORDS_OF: WordsOf<typeof options> = { by: ["revoke"] };
