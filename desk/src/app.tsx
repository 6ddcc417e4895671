import { useEffect, useRef, useState } from "preact/hooks";
import { ErrorBoundary, LocationProvider, Route, Router, useLocation } from "preact-iso";
import { SIGNED_OUT } from "./api.ts";
import { listen } from "./live.ts";
import { type Page, pages } from "./pages.ts";
import { may, openSession, person, refresh, session } from "./session.ts";
import { Shell } from "./shell.tsx";
import { SignIn } from "./sign-in.tsx";
import type { Session } from "./types.ts";
import { Announcer } from "./ui/announce.tsx";
import { pressOnce } from "./ui/keys.ts";
import { useTitle } from "./ui/title.ts";
import { watchUse } from "./use.ts";
import { uuid } from "./uuid.ts";
import { startWork, type Work, WorkProvider } from "./work.ts";

export function App() {
  // whoever signs in again finds what this page held
  const [page] = useState(uuid);
  useEffect(() => {
    const onSignedOut = (): void => void refresh();
    // a link that signs in was pasted into a tab in which the desk is open already
    const onHash = (): void => void openSession();
    addEventListener(SIGNED_OUT, onSignedOut);
    addEventListener("hashchange", onHash);
    const stopWatching = watchUse();
    const stopPressing = pressOnce();
    void openSession();
    return () => {
      removeEventListener(SIGNED_OUT, onSignedOut);
      removeEventListener("hashchange", onHash);
      stopWatching();
      stopPressing();
    };
  }, []);
  const who = person.value;
  const to = who && may("operator") && boardAsked();
  if (to) return <Leave to={to} />;
  return (
    <LocationProvider scope={/^\/desk(?!\/api)/}>
      {who ? <Desk key={who.name} who={who} page={page} /> : <SignIn asked={session.value !== undefined} />}
      <Announcer />
    </LocationProvider>
  );
}

/** The address within the queue's own view from which the server sent somebody here to sign in. */
function boardAsked(): string | undefined {
  const to = new URLSearchParams(location.search).get("to");
  return to && /^\/desk\/bull(\/|$)/.test(to) ? to : undefined;
}

function Leave({ to }: { to: string }) {
  useEffect(() => location.replace(to), []);
  return null;
}

function Desk({ who, page }: { who: Session; page: string }) {
  const [work, setWork] = useState<Work>();
  useEffect(() => {
    const started = startWork(who, page);
    setWork(started);
    const stop = listen(() => void refresh());
    return () => {
      stop();
      started.close();
    };
  }, []);
  const open = pages.filter(({ role }) => !role || may(role));
  const shown = useRef(location.pathname);
  if (!work) return null;

  function onRouteChange(): void {
    // whoever changes a filter stays where they are
    if (shown.current !== location.pathname) document.getElementById("main")?.focus();
    shown.current = location.pathname;
  }
  return (
    <WorkProvider value={work}>
      <Shell pages={open}>
        <ErrorBoundary>
          <Router onRouteChange={onRouteChange}>
            {open.map(({ path, component }) => (
              <Route key={path} path={path} component={component} />
            ))}
            <Route default component={() => <Elsewhere open={open} />} />
          </Router>
        </ErrorBoundary>
      </Shell>
    </WorkProvider>
  );
}

/** Begins with the first page, and says of any other address that nothing is there. */
function Elsewhere({ open }: { open: readonly Page[] }) {
  const { path, route } = useLocation();
  useTitle("Nothing here");
  useEffect(() => {
    if (path === "/desk" || path === "/") route(open[0]!.path, true);
  }, [path]);
  if (path === "/desk" || path === "/") return null;
  return (
    <div class="blank">
      <h1>Nothing is at this address</h1>
      <p class="soft">Or it is not for your role.</p>
      <a class="button" href={open[0]!.path}>
        To {open[0]!.title}
      </a>
    </div>
  );
}
