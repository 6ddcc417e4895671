import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { useLocation } from "preact-iso";
import { Delivery } from "./delivery.tsx";
import type { Page } from "./pages.ts";
import { Notices } from "./review/notices.tsx";
import { person, signOut } from "./session.ts";
import { setTheme, THEMES, theme } from "./theme.ts";
import { Icon } from "./ui/icon.tsx";
import { Mark } from "./ui/mark.tsx";
import { useWork } from "./work.ts";

export function Shell({ pages, children }: { pages: readonly Page[]; children: ComponentChildren }) {
  const { path } = useLocation();
  const nav = useRef<HTMLElement>(null);
  useEffect(() => {
    nav.current!.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  }, [path]);
  return (
    <>
      <a class="skip" href="#main">
        Skip to the page
      </a>
      <header class="top">
        <a class="brand" href="/desk/" aria-label="maitred, to the first page">
          <Mark />
          <span class="brand-word">maitred</span>
        </a>
        <nav aria-label="Pages" ref={nav}>
          <ul>
            {pages.map(({ path: to, title }) =>
              title ? (
                <li key={to}>
                  <a href={to} aria-current={path.startsWith(to) ? "page" : undefined}>
                    {title}
                  </a>
                </li>
              ) : null,
            )}
          </ul>
        </nav>
        <Delivery />
        <button type="button" class="icon quiet" popovertarget="person" aria-label="You, and the theme">
          <Icon name="person" />
        </button>
        <Person />
      </header>
      <Notices />
      <main id="main" tabIndex={-1}>
        {children}
      </main>
    </>
  );
}

function Person() {
  const { claims } = useWork();
  async function onSignOut(): Promise<void> {
    // whose photos these are is known only as long as the session is
    const goOn = await claims.rest();
    await signOut();
    if (person.peek()) goOn();
  }
  return (
    <div id="person" popover="auto" class="person">
      <p>
        <b>{person.value?.name}</b>
        <br />
        <span class="soft small">{person.value?.roles.join(", ")}</span>
      </p>
      <ThemeChoice />
      <button type="button" onClick={() => void onSignOut()}>
        Sign out
      </button>
    </div>
  );
}

export function ThemeChoice() {
  return (
    <fieldset class="segments">
      <legend class="small soft">Theme</legend>
      <div>
        {THEMES.map((each) => (
          <label key={each}>
            <input
              type="radio"
              name="theme"
              class="unseen"
              checked={theme.value === each}
              onChange={() => setTheme(each)}
            />
            <span>{each}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}
