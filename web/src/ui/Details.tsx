/** A panel beside a table with everything known about one row; on a telephone, a sheet below. */
import { Trans } from "@lingui/react/macro";
import type { ReactNode } from "react";
import styles from "./Details.module.css";
import { useKeys } from "./keys.ts";

type Props = { label: string; title: ReactNode; onClose: () => void; children: ReactNode };

export function Details({ label, title, onClose, children }: Props) {
  useKeys({ Escape: onClose });
  return (
    <aside className={styles.details} aria-label={label}>
      <header>
        <h2>{title}</h2>
        <button type="button" onClick={onClose}>
          <Trans>Close</Trans> <kbd>Esc</kbd>
        </button>
      </header>
      {children}
    </aside>
  );
}

export function Facts({ children }: { children: ReactNode }) {
  return <dl className={styles.facts}>{children}</dl>;
}

type FactProps = { label: ReactNode; title?: string; wide?: boolean; children: ReactNode };

export function Fact({ label, title, wide, children }: FactProps) {
  return (
    <div className={wide ? styles.wide : undefined} title={title}>
      <dt>{label}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** A text that may be very long, such as a command line: it scrolls by itself. */
export function Long({ children }: { children: ReactNode }) {
  return (
    <code className={styles.long} tabIndex={0}>
      {children}
    </code>
  );
}
