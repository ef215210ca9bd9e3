/** What stands in a page's place while it loads, when it failed, and when there is none. */
import { Trans } from "@lingui/react/macro";
import { Link } from "@tanstack/react-router";
import { EmptyState } from "../ui/EmptyState.tsx";
import styles from "./Layout.module.css";

export function PageLoading() {
  return (
    <div className={styles.fallback}>
      <EmptyState title={<Trans>Loading …</Trans>} />
    </div>
  );
}

export function PageMissing() {
  const path = window.location.pathname;
  return (
    <div className={styles.fallback}>
      <EmptyState title={<Trans>There is no page at {path}</Trans>}>
        <p>
          <Link to="/processes">
            <Trans>Go to the processes</Trans>
          </Link>
        </p>
      </EmptyState>
    </div>
  );
}

export function PageError({ error }: { error: unknown }) {
  return (
    <div className={styles.fallback}>
      <EmptyState
        title={<Trans>This page failed</Trans>}
        action={
          <button type="button" onClick={() => window.location.reload()}>
            <Trans>Reload</Trans>
          </button>
        }
      >
        <p>
          <code>{error instanceof Error ? error.message : String(error)}</code>
        </p>
        <p>
          <Trans>
            After an upgrade of the server an open page may ask for files that are no longer there;
            reloading gets the new ones.
          </Trans>
        </p>
      </EmptyState>
    </div>
  );
}
