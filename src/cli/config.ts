import { describeConfig, readConfig } from "../config.ts";
import { connectedConfig, defineCommand, EXIT, flags } from "./command.ts";
import { printResult, table } from "./output.ts";

export const config = defineCommand({
  help: `
usage: maitred config [--json | --markdown | --database-url]

Prints every setting: its environment variable, its value, what it is for, and its default where that is another. Passwords
are hidden.
--markdown prints the table of docs/settings.md. --database-url prints where Postgres is, with its password, and nothing else: of
DATABASE_URL, or of the maitred up that runs on MAITRED_HOME.

  MAITRED_MAX_WAIT_MS=50 maitred config
  psql "$(maitred config --database-url)"
`,
  options: { ...flags("json", "markdown", "database-url") },

  async run({ values }, terminal) {
    if (values["database-url"]) {
      terminal.print(connectedConfig(terminal).databaseUrl);
      return EXIT.done;
    }
    const settings = describeConfig(readConfig(terminal.env));
    const inUse = Object.fromEntries(settings.map(({ env, value }) => [env, value]));
    printResult(terminal, values.json, inUse, values.markdown ? markdown(settings) : lines(settings));
    return EXIT.done;
  },
});

type Settings = ReturnType<typeof describeConfig>;

function markdown(settings: Settings): string[] {
  const rows = settings.map(
    ({ env, fallback, help }) => `| \`${env}\` | ${fallback && `\`${fallback}\``} | ${help} |`,
  );
  return ["| variable | default | what it is |", "| --- | --- | --- |", ...rows];
}

function lines(settings: Settings): string[] {
  const rows = settings.map(({ env, value, fallback, help }) => {
    const instead = fallback && value !== fallback ? ` (default ${fallback})` : "";
    return [env, value || "-", `${help}${instead}`];
  });
  return table(rows);
}
