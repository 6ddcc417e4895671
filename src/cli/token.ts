import { createToken, SCOPES } from "../http/tokens.ts";
import { addToken, listTokens, revokeToken } from "../store/tokens.ts";
import { isName, LONGEST_NAME } from "../text.ts";
import { defineCommand, EXIT, flags, texts, UsageError } from "./command.ts";
import { choicesOption } from "./options.ts";
import { printResult, table } from "./output.ts";
import { noneOf, nothingAfter, oneId, runSubcommand, type Subcommand, type WordsOf } from "./subcommand.ts";

const options = { ...texts("scopes"), ...flags("json") };
type Word = Subcommand<typeof options>;

export const token = defineCommand({
  help: `
usage: maitred token create --scopes SCOPES NAME
       maitred token list
       maitred token revoke ID

A token is printed once, when it is created: the database has nothing but its hash. SCOPES, with commas between:
ingest (tell of photos), read (see what became of them), operate (run the queues), review (decide). With one of the last
three somebody may sign in to the desk, as a viewer, an operator or a moderator, and NAME is what history calls them: no
two tokens in use have the same. A token that is revoked is refused from then on, and ends the sessions that began with
it; one that is made with its name afterwards is of the same person.

  --scopes SCOPES   what it may do
  --json            as JSON on stdout

  maitred token create --scopes ingest bucket-events
  maitred token create --scopes review ann

Exit codes: of create, 1 a token of this name is in use; of revoke, 1 there is no such token.
`,
  words: true,
  options,

  run: (args, terminal) => runSubcommand(COMMANDS, args, WORDS_OF, terminal),
});

const create: Word = ([name, ...more], values, terminal) => {
  if (name === undefined || more.length > 0)
    throw new UsageError("expected one name, which says whose token it is");
  if (!isName(name)) {
    throw new UsageError(
      `expected a name of at most ${LONGEST_NAME} characters that can be seen, in one line and without blanks around it, got ${JSON.stringify(name)}`,
    );
  }
  const scopes = choicesOption({ scopes: "", ...values }, "scopes", SCOPES)!;
  return async (db) => {
    const { token, id, hash } = createToken();
    if (!(await addToken(db, { id, name, hash, scopes }))) {
      const other = (await listTokens(db)).find((each) => each.name === name && !each.revokedAt);
      terminal.say(
        `a token of ${name} is in use: take another name, or first maitred token revoke ${other?.id ?? "ID"}\n`,
      );
      return EXIT.notAll;
    }
    printResult(terminal, values.json, { id, name, scopes, token }, token);
    if (!values.json)
      terminal.say(`token ${id} of ${name} may ${scopes.join(", ")}; it is not shown again\n`);
    return EXIT.done;
  };
};

const list: Word = (rest, { json }, terminal) => {
  nothingAfter("list", rest);
  return async (db) => {
    const tokens = (await listTokens(db)).map(({ hash: _, ...shown }) => shown);
    const rows = tokens.map(({ id, name, scopes, createdAt, revokedAt }) => [
      id,
      name,
      scopes.join(","),
      createdAt.toISOString(),
      revokedAt ? `revoked ${revokedAt.toISOString()}` : "",
    ]);
    printResult(terminal, json, tokens, table([["id", "name", "scopes", "created", ""], ...rows]));
    return EXIT.done;
  };
};

const revoke: Word = (rest, { json }, terminal) => {
  const id = oneId("token", rest);
  return async (db) => {
    const revoked = await revokeToken(db, id);
    printResult(terminal, json, { id, revoked }, revoked ? `${id} is revoked` : []);
    return revoked ? EXIT.done : noneOf(terminal, "token", id);
  };
};

const COMMANDS: Readonly<Record<string, Word>> = { create, list, revoke };
const WORDS_OF: WordsOf<typeof options> = { scopes: ["create"] };
