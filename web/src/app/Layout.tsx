import { Trans, useLingui } from "@lingui/react/macro";
import { Link, Outlet, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { useKeySequence, useKeys } from "../ui/keys.ts";
import { KeyHelp } from "./KeyHelp.tsx";
import styles from "./Layout.module.css";
import { LiveIndicator } from "./LiveIndicator.tsx";
import { PAGES } from "./paths.ts";
import { Settings } from "./Settings.tsx";

export function Layout() {
  const { t, i18n } = useLingui();
  const [help, setHelp] = useState(false);
  useGoToKeys();
  useKeys({ "?": () => setHelp(true) });
  return (
    <div className={styles.layout}>
      <a className={styles.skip} href="#main">
        <Trans>Skip to the content</Trans>
      </a>
      <header className={styles.bar}>
        <span className={styles.brand}>procmon</span>
        <nav aria-label={t`Pages`} className={styles.nav}>
          {PAGES.map((page) => (
            <Link key={page.path} to={page.path} title={t`g then ${page.letter}`}>
              {i18n._(page.label)}
            </Link>
          ))}
        </nav>
        <LiveIndicator />
        <Settings />
        <button
          type="button"
          className={styles.help}
          onClick={() => setHelp(true)}
          aria-label={t`Keyboard help`}
        >
          ?
        </button>
      </header>
      <main id="main" tabIndex={-1} className={styles.main}>
        <Outlet />
      </main>
      {help && <KeyHelp onClose={() => setHelp(false)} />}
    </div>
  );
}

/** How long after `g` a letter still counts as the second half of a go-to key. */
const GO_TO_MS = 1200;

function useGoToKeys(): void {
  const navigate = useNavigate();
  const letters = PAGES.map(({ letter, path }) => [letter, () => void navigate({ to: path })]);
  useKeySequence("g", Object.fromEntries(letters), GO_TO_MS);
}
