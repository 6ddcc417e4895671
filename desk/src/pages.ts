import type { ComponentType } from "preact";
import { lazy } from "preact-iso";
import { NotLoaded } from "./not-loaded.tsx";
import type { Role } from "./types.ts";

export interface Page {
  path: string;
  /** In the navigation; a page without one is reached from others. */
  title?: string;
  /** Who sees it; everybody who signed in, unless given. */
  role?: Role;
  component: ComponentType;
}

/** The first that somebody may see is where they begin. */
export const pages: readonly Page[] = [
  {
    path: "/desk/review",
    title: "Review",
    role: "moderator",
    component: page(() => import("./review/review.tsx")),
  },
  { path: "/desk/search", title: "Search", component: page(() => import("./search/search.tsx")) },
  { path: "/desk/operate", title: "Operate", component: page(() => import("./operate/operate.tsx")) },
  {
    path: "/desk/dashboards",
    title: "Dashboards",
    component: page(() => import("./dashboards/dashboards.tsx")),
  },
  { path: "/desk/photos/:id", component: page(() => import("./photo/photo.tsx")) },
  {
    path: "/desk/access",
    title: "Access",
    role: "operator",
    component: page(() => import("./access/access.tsx")),
  },
];

/** Loaded when it is first gone to. */
function page(load: () => Promise<{ default: ComponentType }>): ComponentType {
  return lazy(() => load().catch(() => ({ default: NotLoaded })));
}
