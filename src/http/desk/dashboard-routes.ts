import { readShape } from "../../intake/shape.ts";
import { HttpProblem } from "../problem.ts";
import type { Days } from "./dashboard-deps.ts";
import * as shapes from "./dashboard-schemas.ts";
import type { DeskRoute } from "./route.ts";

export const dashboardRoutes: readonly DeskRoute[] = [
  {
    method: "GET",
    url: "/desk/api/dashboards/counts",
    role: "any",
    answer: shapes.counts,
    async handle({ dashboards }, { query }) {
      const { model, ...days } = readShape(shapes.countsAsked, query, "expected from and to");
      const step = lengthOf(days) <= MOST_HOURLY_DAYS ? "hour" : "day";
      return { status: 200, body: { step, ...(await dashboards.counts(days, step, model)) } };
    },
  },
  {
    method: "GET",
    url: "/desk/api/dashboards/agreement",
    role: "any",
    answer: shapes.agreement,
    async handle({ dashboards }, { query }) {
      const days = readShape(shapes.agreementAsked, query, "expected from and to");
      lengthOf(days);
      return { status: 200, body: { models: await dashboards.agreement(days) } };
    },
  },
  {
    method: "GET",
    url: "/desk/api/dashboards/drift",
    role: "any",
    answer: shapes.drift,
    async handle({ dashboards }, { query }) {
      const { model: asked, ...days } = readShape(shapes.driftAsked, query, "expected from and to");
      const length = lengthOf(days);
      const before = { from: dayBefore(days.from, length), to: dayBefore(days.from, 1) };
      const models = await dashboards.scoredModels(days);
      const model = asked ?? models[0] ?? null;
      const scores = model === null ? [] : await dashboards.drift(days, before, model);
      return { status: 200, body: { model, models, before, scores } };
    },
  },
  {
    method: "GET",
    url: "/desk/api/dashboards/listings",
    role: "any",
    answer: shapes.listings,
    async handle({ dashboards }, { query }) {
      const { listing } = readShape(shapes.listingsAsked, query, "expected listings");
      const listings = [...new Set(listing.split(",").map((each) => each.trim()))].filter(Boolean);
      if (listings.length > MOST_LISTINGS)
        throw new HttpProblem(400, `expected at most ${MOST_LISTINGS} listings`);
      return { status: 200, body: { listings: await dashboards.listings(listings) } };
    },
  },
];

/** @returns how many days it is. @throws {HttpProblem} 400 where it is none, or more than can be shown. */
function lengthOf({ from, to }: Days): number {
  const days = Math.round((Date.parse(to) - Date.parse(from)) / DAY_MS) + 1;
  if (days >= 1 && days <= MOST_DAYS) return days;
  throw new HttpProblem(400, `expected from before to, and at most ${MOST_DAYS} days`);
}

function dayBefore(day: string, days: number): string {
  return new Date(Date.parse(day) - days * DAY_MS).toISOString().slice(0, 10);
}

const DAY_MS = 24 * 3_600_000;
const MOST_HOURLY_DAYS = 8;
const MOST_DAYS = 400;
const MOST_LISTINGS = 20;
