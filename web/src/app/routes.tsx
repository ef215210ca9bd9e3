import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  redirect,
} from "@tanstack/react-router";
import { PageError, PageLoading, PageMissing } from "./fallbacks.tsx";
import { Layout } from "./Layout.tsx";
import { parseSearch, pick, stringifySearch } from "./search.ts";

const root = createRootRoute({ component: Layout, notFoundComponent: PageMissing });

const home = createRoute({
  getParentRoute: () => root,
  path: "/",
  beforeLoad: () => {
    throw redirect({ to: "/processes", replace: true });
  },
});

export const processes = createRoute({
  getParentRoute: () => root,
  path: "/processes",
  validateSearch: (search) => pick(search, "q", "sort", "cols"),
  component: lazyRouteComponent(() => import("./ProcessesRoute.tsx"), "ProcessesRoute"),
});

export const events = createRoute({
  getParentRoute: () => root,
  path: "/events",
  validateSearch: (search) => pick(search, "type", "name", "host", "user"),
  component: lazyRouteComponent(() => import("./EventsRoute.tsx"), "EventsRoute"),
});

export const agents = createRoute({
  getParentRoute: () => root,
  path: "/agents",
  component: lazyRouteComponent(() => import("./AgentsRoute.tsx"), "AgentsRoute"),
});

export const router = createRouter({
  routeTree: root.addChildren([home, processes, events, agents]),
  parseSearch,
  stringifySearch,
  defaultPreload: "intent",
  defaultPendingComponent: PageLoading,
  defaultErrorComponent: PageError,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
