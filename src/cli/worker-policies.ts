import { parsePolicy, unfitFor } from "../decide/policy.ts";
import { readWorkerPolicies } from "../store/policies.ts";
import type { Pool } from "../store/pool.ts";

/** Of the workers that follow the active model, what is wrong with their policies if that is `model`: a sentence for each policy. */
export async function unfitWorkers(db: Pool, model: string): Promise<string[]> {
  const workers = (await readWorkerPolicies(db)).filter(({ pinned }) => !pinned);
  const policies = new Map(workers.map(({ policy, yaml }) => [policy, yaml]));
  return [...policies].flatMap(([policy, yaml]) => {
    const unfit = unfitFor(parsePolicy(yaml, undefined, policy), model);
    return unfit ? `${namesOf(workers.filter((each) => each.policy === policy))}: ${unfit}` : [];
  });
}

/** The workers that decide by another policy, such as `a:1, b:2`; "" where there are none. */
export async function workersOfOthers(db: Pool, policy: string): Promise<string> {
  return namesOf((await readWorkerPolicies(db)).filter((worker) => worker.policy !== policy));
}

function namesOf(workers: readonly { worker: string }[]): string {
  const named = workers.slice(0, MOST_NAMED).map(({ worker }) => worker);
  const more = workers.length - named.length;
  return [...named, ...(more > 0 ? [`${more} more`] : [])].join(", ");
}

const MOST_NAMED = 5;
