import { defineCommand, UsageError } from "./command.ts";
import { type ModelCommand, options } from "./model-command.ts";
import { list } from "./model-list.ts";
import { promote, rollback } from "./model-promote.ts";
import { compare, shadow } from "./model-shadow.ts";
import { verify } from "./model-verify.ts";
import { choose, type WordsOf } from "./subcommand.ts";

/** What does it, and how many words it reads. */
const PARTS: Readonly<Record<string, [run: ModelCommand, words: number]>> = {
  list: [list, 0],
  verify: [verify, Number.POSITIVE_INFINITY],
  promote: [promote, 1],
  rollback: [rollback, 0],
  shadow: [shadow, 1],
  compare: [compare, 1],
};
const WORDS_OF: WordsOf<typeof options> = {
  photos: ["verify"],
  tolerance: ["verify"],
  gold: ["promote"],
  reason: ["promote", "rollback"],
  force: ["promote", "rollback"],
  by: ["promote", "rollback", "shadow"],
  from: ["rollback"],
  share: ["shadow"],
  stop: ["shadow"],
  most: ["compare"],
};

export const model = defineCommand({
  help: `
usage: maitred model list [--json]
       maitred model verify ID|FOLDER... [--photos FOLDER] [--tolerance 0.02] [--json]
       maitred model promote ID --gold PATH [--reason WHY] [--json]
       maitred model promote ID --force --reason WHY [--json]
       maitred model rollback --reason WHY [--from ID] [--force] [--json]
       maitred model shadow ID [--share 0.05] [--json] | --stop [--json]
       maitred model compare [ID] [--most 20] [--json]

Models are folders named by their ids, below MAITRED_MODELS or those that ship (docs/model.md). One of them is active:
a row in Postgres that every worker follows, finishing the batch at hand first. Workers with MAITRED_MODEL keep to that.

  list      what is there, what is registered, what runs where, and who changed it when
  verify    checks hashes, opens and runs every variant, and says where it runs, how fast, and how far its scores are
            from the first variant's; --tolerance is the mean difference that is let pass, --photos real ones to use
  promote   judges the labelled photos of --gold (a labels.jsonl, or a folder as training/README.md describes) with
            the active model and with this one, and refuses it if it is worse beyond chance (McNemar's exact test,
            p < 0.05) in category, in humans held back, or in clear photos let pass, at the policy's human.review, or if
            fewer than six photos ask one of these, which could not tell; also if the policies of workers are not for it
  rollback  returns to the model before, if its folder is here (--force: also if not); --from: only if ID is active still
  shadow    lets a model judge a share of the live photos after the active one; its scores are kept in shadow_scores,
            and change nothing
  compare   where the shadow's word differs from the verdicts

  --by WHO   who is written down for it (default: the name of your account)

Exit codes: 0 done, 1 a variant's scores differ, not promoted, or a model in use cannot be opened or has another's policy;
2 also where files are not those of their model.json, or none is there to go back to.
`,
  words: true,
  options,

  async run(args, terminal) {
    const [[run, words], positionals] = choose(PARTS, args, WORDS_OF);
    const more = positionals[words];
    if (more !== undefined)
      throw new UsageError(`${args.positionals[0]}: expected no more words, got ${JSON.stringify(more)}`);
    return run({ ...args, positionals }, terminal);
  },
});
