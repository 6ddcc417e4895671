import { parseDocument, type Scalar, visit } from "yaml";
import type { Policy } from "./policy.ts";

interface Change {
  /** `human.review`, `categories.food` ... */
  at: readonly [string, string];
  from: number;
  to: number;
}

export function changesBetween(before: Policy, after: Policy): Change[] {
  const numbers = (policy: Policy): [string, string, number][] => [
    ["human", "hide", policy.human.hide],
    ["human", "review", policy.human.review],
    ...Object.entries(policy.categories).map(([name, number]): [string, string, number] => [
      "categories",
      name,
      number,
    ]),
  ];
  const now = numbers(after);
  return numbers(before).flatMap(([group, name, from], index) => {
    const to = now[index]![2];
    return from === to ? [] : [{ at: [group, name] as const, from, to }];
  });
}

/** Whether one of its numbers stands for others, so that `rewritePolicy` cannot change each by itself. */
export function hasAliases(yaml: string): boolean {
  let found = false;
  visit(parseDocument(yaml), {
    Alias() {
      found = true;
      return visit.BREAK;
    },
  });
  return found;
}

/**
 * The text of a policy with other numbers in it, for `model`. Its comments and whatever else it says stay; each number that changes
 * gets a comment of its own with what it was and why.
 */
export function rewritePolicy(
  yaml: string,
  changes: readonly Change[],
  { model, why }: { model: string; why: string },
): string {
  const document = parseDocument(yaml);
  document.set("model", model);
  for (const { at, from, to } of changes) {
    const scalar = document.getIn(at, true) as Scalar;
    scalar.value = to;
    // how the old number was written
    delete scalar.source;
    delete (scalar as { minFractionDigits?: number }).minFractionDigits;
    scalar.comment = ` was ${from}; ${why}`;
  }
  return document.toString({ lineWidth: 0, flowCollectionPadding: false });
}
