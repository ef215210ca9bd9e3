/** What the tail holds, whether it waits, and how far back it reaches. */
import { Trans } from "@lingui/react/macro";
import { grouped } from "../../ui/format.ts";
import { Severity } from "../../ui/Severity.tsx";
import styles from "./EventsPage.module.css";
import { SCREENFUL, type TailState } from "./tail.ts";

type Props = { state: TailState; onToggle: () => void; onMore: () => void };

export function TailLine({ state, onToggle, onMore }: Props) {
  if (state.phase !== "ready") return null;
  const waiting = grouped(state.waiting);
  const held = grouped(state.items.filter((item) => item.event).length);
  return (
    <div className={styles.line}>
      <button type="button" aria-pressed={state.paused} onClick={onToggle}>
        {state.paused ? <Trans>Resume</Trans> : <Trans>Pause</Trans>} <kbd>L</kbd>
      </button>
      <span className="visually-hidden" role="status">
        {state.paused && <Trans>Paused</Trans>}
      </span>
      {state.paused && (
        <span className={styles.waiting}>
          <Severity level="info" /> <Trans>paused, {waiting} new</Trans>
        </span>
      )}
      <span>
        <Trans>{held} events, newest first</Trans>
        {state.loadingMore && (
          <>
            {" · "}
            <Trans>looking further back …</Trans>
          </>
        )}
      </span>
      {state.bottom === "more" && !state.loadingMore && state.items.length < SCREENFUL && (
        <button type="button" onClick={onMore}>
          <Trans>Look further back</Trans>
        </button>
      )}
      {state.bottom === "full" && (
        <span>
          <Trans>the list is full; narrow the filter to look further back</Trans>
        </span>
      )}
      {state.error && (
        <span>
          <Trans>older events could not be loaded:</Trans> {state.error.message}
        </span>
      )}
    </div>
  );
}
