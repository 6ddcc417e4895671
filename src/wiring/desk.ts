/** Part of processes: the desk's neighbours, assembled from their parts. */
import { join } from "node:path";
import { cachedFor } from "../asking.ts";
import type { Config } from "../config.ts";
import { PhotoError } from "../errors.ts";
import { agreement } from "../evaluate/agreement.ts";
import { drift } from "../evaluate/drift.ts";
import type { AccessDeps } from "../http/desk/access.ts";
import type { DashboardDeps } from "../http/desk/dashboard-deps.ts";
import type { DeskDeps, DeskSettings } from "../http/desk/deps.ts";
import { SIDES } from "../http/desk/links.ts";
import { createOidc } from "../http/desk/oidc.ts";
import { isClear, peakOf } from "../image/peak.ts";
import { TRAINED_CATEGORIES } from "../label.ts";
import type { Scope } from "../lifecycle.ts";
import { packageRoot } from "../package-root.ts";
import type { PhotoRef } from "../photo.ts";
import { boardQueues } from "../queue/board.ts";
import { KINDS } from "../review/kinds.ts";
import { addAuditEntry, readAuditLog } from "../store/audit-log.ts";
import { auditCounts, countsByListing, countsOver, scoreCounts, scoredModels } from "../store/counts.ts";
import { readDeskPhotos, readWholePhoto } from "../store/desk-photos.ts";
import { endSession, findSession, listSessions, startSession } from "../store/desk-sessions.ts";
import { readModels } from "../store/models.ts";
import type { Pool } from "../store/pool.ts";
import {
  claimReviews,
  countDecisions,
  countReviews,
  decideReviews,
  openAppeal,
  releaseClaims,
  renewClaims,
  undoReview,
} from "../store/reviews.ts";
import { searchPhotos } from "../store/search.ts";
import { erase } from "./erase.ts";
import { openExplainer } from "./explain.ts";
import type { EventIntake } from "./intake.ts";
import { openOperate } from "./operate.ts";
import { openPictures } from "./pictures.ts";

/**
 * @param redeem whom a one-time link is for.
 * @throws {ConfigError} where settings of the provider do not fit together.
 */
export async function openDesk(
  config: Config,
  intake: EventIntake,
  scope: Scope,
  redeem: AccessDeps["redeem"],
): Promise<{ settings: DeskSettings; deps: DeskDeps }> {
  const { db, events, queues } = intake;
  const oidc = createOidc(config);
  const active = async () => (await readModels(db)).find(({ state }) => state === "active");
  const pictures = await openPictures(config, scope, openExplainer(config, scope, active));
  const { reviewLeaseS: leaseS, auditPerMille } = config;
  async function known(id: string): Promise<PhotoRef> {
    const [photo] = await readDeskPhotos(db, [id]);
    if (!photo) throw new PhotoError("GONE", `there is no photo ${id}`);
    return photo;
  }
  const deps: DeskDeps = {
    access: {
      redeem,
      startSession: (session) => startSession(db, session, config.deskSessionS),
      findSession: (id, usedWith) => findSession(db, id, { idleS: config.deskIdleS, usedWith }),
      endSession: (id, by, did) => endSession(db, id, by, did),
    },
    oidc,
    categories: TRAINED_CATEGORIES,
    leaseS,
    claim: (holder, parts, limit) => claimReviews(db, { ...holder, parts, limit, leaseS, auditPerMille }),
    renew: (holder, photos) => renewClaims(db, holder, photos, leaseS),
    release: (holder, photos) => releaseClaims(db, holder, photos),
    decide: (moderator, decisions) => decideReviews(db, moderator, decisions),
    undo: ({ moderator, page }, decision) => undoReview(db, moderator, decision, leaseS, page),
    counts: cachedFor(() => countReviews(db, KINDS, auditPerMille), COUNTS_MS),
    throughput: (moderator, since) => countDecisions(db, moderator, since),
    appeal: (photo, reason, by) => openAppeal(db, photo, reason, { by, who: by }),
    photos: (ids) => readDeskPhotos(db, ids),
    wholePhoto: (id) => readWholePhoto(db, id),
    search: (search) => searchPhotos(db, search),
    picture: async (id, size) => pictures.draw(await known(id), SIDES[size]),
    async heat(id) {
      const { scores, map, nobody } = await pictures.explain(await known(id));
      const { width, height, values } = map;
      const peak = peakOf(map);
      return {
        human: scores.human,
        peak: { x: peak.x, y: peak.y },
        clear: isClear(peak),
        nobody,
        width,
        height,
        values: Array.from(values, (value) => Math.round(value * 100) / 100),
      };
    },
    async rerun(id, by) {
      const [photo] = await readDeskPhotos(db, [id]);
      if (!photo?.current) return "gone";
      if (photo.by?.startsWith("moderator:")) return "moderator";
      const { store, bucket, key, version } = photo;
      // before the queue has it, so that whoever dies in between has said who asked for it
      await addAuditEntry(db, { who: by, did: "rerun", photo: id, about: {} });
      await events.add("live", [{ id, store, bucket, key, version, known: {} }]);
      return "queued";
    },
    async forget(id, by) {
      const [photo] = await readDeskPhotos(db, [id]);
      if (!photo) return undefined;
      return (await erase(db, queues, [photo], by)).counts;
    },
    operate: openOperate(intake),
    dashboards: openDashboards(db),
    board: { queues: boardQueues(queues) },
    log: (before, limit) => readAuditLog(db, before, limit),
    sessions: () => listSessions(db, config.deskIdleS),
  };
  return { settings: { ...config, deskFolder: join(packageRoot(), "dist", "desk") }, deps };
}

function openDashboards(db: Pool): DashboardDeps {
  return {
    counts: (days, step, model) => countsOver(db, days, step, model),
    agreement: async (days) => agreement(await auditCounts(db, days)),
    scoredModels: (days) => scoredModels(db, days),
    async drift(days, before, model) {
      return drift(await scoreCounts(db, { from: before.from, to: days.to }, model), days.from);
    },
    listings: (listings) => countsByListing(db, listings),
  };
}

/** The counts are those of all pages together, however many look. */
const COUNTS_MS = 1_000;
