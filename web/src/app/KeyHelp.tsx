import { Trans, useLingui } from "@lingui/react/macro";
import { type ReactNode, useEffect, useRef } from "react";
import { setPreferences, usePreferences } from "../ui/preferences.ts";
import styles from "./Layout.module.css";
import { PAGES } from "./paths.ts";

export function KeyHelp({ onClose }: { onClose: () => void }) {
  const { t, i18n } = useLingui();
  const dialog = useRef<HTMLDialogElement>(null);
  const { letterKeys } = usePreferences();
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} className={styles.dialog} onClose={onClose} aria-label={t`Keyboard help`}>
      <header>
        <h2>
          <Trans>Keys</Trans>
        </h2>
        <button type="button" onClick={onClose}>
          <Trans>Close</Trans> <kbd>Esc</kbd>
        </button>
      </header>
      <dl className={styles.keys}>
        <Key keys={["/"]}>{t`Filter`}</Key>
        <Key keys={["j", "k"]}>{t`Next row, previous row`}</Key>
        <Key keys={["g", "G"]}>{t`First row, last row`}</Key>
        <Key keys={["↑", "↓", "←", "→", "Home", "End", "PgUp", "PgDn"]}>{t`Move in a table`}</Key>
        <Key keys={["Enter", "Esc"]}>{t`Open the details, close them`}</Key>
        <Key keys={["<", ">"]}>{t`Sort by the column to the left, to the right`}</Key>
        <Key keys={["F"]}>{t`Freeze the process table, or let it go on`}</Key>
        <Key keys={["E"]}>{t`Export the filtered processes as CSV`}</Key>
        <Key keys={["L"]}>{t`Pause the event tail, or let it go on`}</Key>
        {PAGES.map((page) => (
          <Key key={page.path} keys={["g", page.letter]}>
            <Trans>Go to: {i18n._(page.label)}</Trans>
          </Key>
        ))}
        <Key keys={["?"]}>{t`This help`}</Key>
      </dl>
      <label>
        <input
          type="checkbox"
          checked={letterKeys}
          onChange={(event) => setPreferences({ letterKeys: event.target.checked })}
        />{" "}
        <Trans>Single-key commands are on</Trans>
      </label>
    </dialog>
  );
}

function Key({ keys, children }: { keys: string[]; children: ReactNode }) {
  return (
    <>
      <dt>
        {keys.map((key) => (
          <span key={key}>
            <kbd>{key}</kbd>{" "}
          </span>
        ))}
      </dt>
      <dd>{children}</dd>
    </>
  );
}
