import { describeConfig, readConfig } from "../config.ts";
import { type Command, EXIT, table } from "./command.ts";

export const config: Command = {
  summary: "print every setting as it is in effect, without secrets",
  help: `
usage: maitred config [--json | --markdown]

Prints every setting: its environment variable, its value, its default and what it is for. Passwords are hidden.
--markdown prints the table of the README.

  MAITRED_MAX_WAIT_MS=50 maitred config
`,
  options: { json: { type: "boolean" }, markdown: { type: "boolean" } },

  async run({ values }, { env, print }) {
    const settings = describeConfig(readConfig(env));
    if (values["json"]) {
      print(JSON.stringify(Object.fromEntries(settings.map(({ env, value }) => [env, value]))));
    } else if (values["markdown"]) {
      print("| variable | default | what it is |\n| --- | --- | --- |");
      for (const { env, fallback, help } of settings)
        print(`| \`${env}\` | ${fallback && `\`${fallback}\``} | ${help} |`);
    } else {
      const rows = settings.map(({ env, value, help }) => [env, value || "-", help]);
      for (const line of table(rows)) print(line);
    }
    return EXIT.done;
  },
};
