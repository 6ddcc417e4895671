import type { AuditLog } from "../types.ts";
import { count, KIND_WORDS, stateWords } from "../words.ts";

type Entry = AuditLog["entries"][number];

/** What somebody did, as one would tell it; what is not known here by its name is told as it was written down. */
export function wordsOf({ did, about }: Pick<Entry, "did" | "about">): string {
  const of = (name: string): string => String(about[name] ?? "");
  switch (did) {
    case "signed-in":
      return `signed in with ${meansOf(of("by"))}, as ${rolesOf(about["roles"])}`;
    case "signed-out":
      return "signed out";
    case "revoked":
      return `ended a session of ${of("of")}`;
    case "decided":
      return decided(about);
    case "passed":
      return "was not sure, and left it to another";
    case "undone":
      return `took back "${stateWords(of("verdict"))}": ${stateWords(of("again"))} again`;
    case "appealed":
      return "wrote down an appeal";
    case "rerun":
      return "had it judged again";
    case "forgot":
      return `had ${photosOf((about["counts"] as Record<string, unknown>)["photos"])} forgotten`;
    case "replayed-failures":
      return `had ${photosOf(about["photos"])} that failed with ${of("code")} judged again`;
    case "replayed-deliveries":
      return `had ${count(Number(about["replayed"]), "delivery", "deliveries")} to ${of("destination")} sent again`;
    case "replayed-message":
      return `replayed message ${of("message")} of ${of("source")}`;
    case "discarded-message":
      return `discarded message ${of("message")} of ${of("source")}`;
    case "changed-lane":
      return `${of("state") === "paused" ? "paused" : "resumed"} the lane ${of("lane")}${about["why"] ? `: ${of("why")}` : ""}`;
    case "changed-backfill":
      return `set backfill ${of("backfill")} to ${of("state")}${about["why"] ? `: ${of("why")}` : ""}`;
    case "retried-backfill":
      return `had ${photosOf(about["photos"])} of backfill ${of("backfill")}${about["code"] ? ` that failed with ${of("code")}` : ""} judged again`;
    case "applied-backfill":
      return `made what backfill ${of("backfill")} proposed verdicts`;
    case "discarded-backfill":
      return `discarded what backfill ${of("backfill")} proposed`;
    case "rolled-back-backfill":
      return `rolled back backfill ${of("backfill")}`;
    default:
      return `${did} ${Object.entries(about)
        .map(([name, value]) => `${name} ${String(value)}`)
        .join(", ")}`;
  }
}

/** `token:ID`, `oidc:ISSUER#SUBJECT` or `link:NAME`, as words; a name is as it is. */
export function meansOf(subject: string): string {
  const [, means = "", whose = ""] = /^(\w+):(.*)$/s.exec(subject) ?? [];
  const [issuer = "", ...subjectThere] = whose.split("#");
  const provider = URL.canParse(issuer) ? new URL(issuer).host : issuer;
  const words: Record<string, string> = {
    token: `token ${whose}`,
    oidc: `${provider}, as ${subjectThere.join("#")}`,
    link: "a one-time link",
  };
  return words[means] ?? subject;
}

function decided(about: Entry["about"]): string {
  const { verdict, before, category, human, kind } = about;
  const why = human === true ? ": a human is visible" : "";
  const asked = KIND_WORDS[kind as keyof typeof KIND_WORDS];
  const more = [
    ...(category ? [String(category)] : []),
    `was ${stateWords(String(before))}`,
    ...(asked ? [`asked as ${asked}`] : []),
  ];
  return `decided ${stateWords(String(verdict))}${why} (${more.join(", ")})`;
}

function rolesOf(roles: unknown): string {
  return Array.isArray(roles) ? new Intl.ListFormat("en-GB").format(roles) : String(roles);
}

function photosOf(many: unknown): string {
  return count(Number(many), "photo");
}
