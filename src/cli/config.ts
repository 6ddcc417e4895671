import { describeConfig, readConfig } from "../config.ts";
import { type Command, connectedConfig, EXIT, table } from "./command.ts";

export const config: Command = {
  help: `
usage: maitred config [--json | --markdown | --database-url]

Prints every setting: its environment variable, its value, what it is for, and its default where that is another. Passwords
are hidden.
--markdown prints the table of the README. --database-url prints where Postgres is, with its password, and nothing else: of
DATABASE_URL, or of the maitred up that runs on MAITRED_HOME.

  MAITRED_MAX_WAIT_MS=50 maitred config
  psql "$(maitred config --database-url)"
`,
  options: { json: { type: "boolean" }, markdown: { type: "boolean" }, "database-url": { type: "boolean" } },

  async run({ values }, terminal) {
    const { env, print } = terminal;
    if (values["database-url"]) {
      print(connectedConfig(terminal).databaseUrl);
      return EXIT.done;
    }
    const settings = describeConfig(readConfig(env));
    if (values["json"]) {
      print(JSON.stringify(Object.fromEntries(settings.map(({ env, value }) => [env, value]))));
    } else if (values["markdown"]) {
      print("| variable | default | what it is |");
      print("| --- | --- | --- |");
      for (const { env, fallback, help } of settings)
        print(`| \`${env}\` | ${fallback && `\`${fallback}\``} | ${help} |`);
    } else {
      const rows = settings.map(({ env, value, fallback, help }) => {
        const instead = fallback && value !== fallback ? ` (default ${fallback})` : "";
        return [env, value || "-", `${help}${instead}`];
      });
      for (const line of table(rows)) print(line);
    }
    return EXIT.done;
  },
};
