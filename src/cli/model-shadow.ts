import { hundredths } from "../decide/decide.ts";
import { openModelById } from "../infer/folders.ts";
import { readModels, registerModel, shadowModel } from "../store/models.ts";
import { compareShadow, type Pair, type ShadowComparison } from "../store/shadow.ts";
import { modelDirectories, openJudge } from "../wiring/judge.ts";
import { modelOf } from "./backfill-start.ts";
import { connectedConfig, EXIT, UsageError } from "./command.ts";
import type { ModelCommand } from "./model-command.ts";
import { accountOption, numberOption, whole } from "./options.ts";
import { printResult, table } from "./output.ts";
import { counted } from "./plural.ts";
import { withPostgres } from "./postgres.ts";

export const shadow: ModelCommand = async ({ values, positionals: [id] }, terminal) => {
  if (values.stop === (id !== undefined)) throw new UsageError("expected the id of a model, or --stop");
  if (values.stop && values.share !== undefined) throw new UsageError("--share: expected the id of a model");
  const share = numberOption(values, "share", SOME) ?? 0.05;
  const config = connectedConfig(terminal);
  const model =
    id === undefined
      ? undefined
      : await openModelById(modelDirectories(config), { id, sha256: "" }, config.variant);
  return withPostgres(config, async (db) => {
    if (model === undefined) {
      const current = (await readModels(db)).find(({ state }) => state === "shadow");
      if (current) await shadowModel(db, current.id, null);
      const said = current ? `${current.id} is no shadow any more` : "there is no shadow";
      printResult(terminal, values.json, { shadow: null, before: current?.id ?? null }, said);
      return EXIT.done;
    }
    // also where none was ever promoted, and they run the one that ships
    if (model.id === (await modelOf(undefined, db, terminal)))
      throw new UsageError(`${id} is the active model: a shadow runs beside it, and is another`);
    // the policy must know its categories, here as in the workers
    await (await openJudge(config, model)).close();
    await registerModel(db, model, accountOption(values));
    await shadowModel(db, model.id, share);
    const percent = Number((100 * share).toPrecision(12));
    const said = `${model.id} judges ${percent} % of the live photos too; maitred model compare shows how`;
    printResult(terminal, values.json, { shadow: model.id, share }, said);
    return EXIT.done;
  });
};

export const compare: ModelCommand = async ({ values, positionals: [id] }, terminal) => {
  const most = numberOption(values, "most", whole(0)) ?? 20;
  return withPostgres(connectedConfig(terminal), async (db) => {
    const comparison = await compareShadow(db, id, most);
    const none = "no shadow has judged a photo yet: maitred model shadow ID";
    printResult(terminal, values.json, comparison ?? null, comparison ? printed(comparison) : none);
    return EXIT.done;
  });
};

function printed(comparison: ShadowComparison): string[] {
  const { shadow, beside, photos, dropped, verdicts, categories, differences, most } = comparison;
  const rows = most.map((photo) => [
    photo.difference.toFixed(3),
    change(photo.besideVerdict, photo.verdict),
    change(photo.besideCategory, photo.category),
    `${hundredths(photo.besideHuman)} -> ${hundredths(photo.human)}`,
    `${photo.bucket}/${photo.key}`,
  ]);
  return [
    `${shadow} beside ${beside}, on ${counted(photos, "photo")}`,
    ...(dropped > 0
      ? [
          `the workers that run have dropped ${dropped} more since they began, as too many waited: these came when there was room, and are no random sample`,
        ]
      : []),
    "",
    ...crossed("verdict", shadow, verdicts),
    "",
    ...crossed("category", shadow, categories),
    "",
    ...table([
      ["score", "mean difference"],
      ...differences.map(({ score, mean }) => [score, mean.toFixed(4)]),
    ]),
    ...(rows.length > 0
      ? ["", ...table([["difference", "verdict", "category", "human", "photo"], ...rows])]
      : []),
  ];
}

/** A row for each word of the active model, a column for each of the shadow's. */
function crossed(what: string, shadow: string, pairs: readonly Pair[]): string[] {
  const words = [...new Set(pairs.flatMap((pair) => [pair.beside, pair.shadow]))].sort();
  const cell = (row: string, column: string): string =>
    String(pairs.find((pair) => pair.beside === row && pair.shadow === column)?.photos ?? 0);
  const rows = words.map((row) => [row, ...words.map((column) => cell(row, column))]);
  return table([[`${what} (columns: ${shadow})`, ...words], ...rows]);
}

function change(from: string, to: string): string {
  return from === to ? from : `${from} -> ${to}`;
}

const SOME = { words: "a number above 0, to 1", has: (share: number) => share > 0 && share <= 1 };
