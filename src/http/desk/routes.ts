import { dashboardRoutes } from "./dashboard-routes.ts";
import { logRoutes } from "./log-routes.ts";
import { operateRoutes } from "./operate-routes.ts";
import { photoRoutes } from "./photo-routes.ts";
import { reviewRoutes } from "./review-routes.ts";
import type { DeskRoute } from "./route.ts";

/** Every route of the desk but those of signing in, pictures and what is live. */
export const deskRoutes: readonly DeskRoute[] = [
  ...reviewRoutes,
  ...photoRoutes,
  ...operateRoutes,
  ...dashboardRoutes,
  ...logRoutes,
];
