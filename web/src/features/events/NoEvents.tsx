/** What stands in the tail's place when it has no rows: why, and what to do. */
import { Trans } from "@lingui/react/macro";
import type { ReactNode } from "react";
import { RequestError } from "../../api/client.ts";
import type { EventFilter } from "../../api/protocol.ts";
import { EmptyState } from "../../ui/EmptyState.tsx";
import type { TailState } from "./tail.ts";

type Props = {
  state: TailState;
  filter: EventFilter;
  firstRun: ReactNode;
  onClear: () => void;
  onRetry: () => void;
};

export function NoEvents({ state, filter, firstRun, onClear, onRetry }: Props) {
  if (state.phase === "loading" || state.loadingMore)
    return <EmptyState title={<Trans>Loading events …</Trans>} />;
  if (state.phase === "failed") return <Failed error={state.error} onRetry={onRetry} />;
  if (firstRun) return firstRun;
  const clauses = [
    filter.types.length > 0 && `type ${filter.types.join(", ")}`,
    filter.name && `name ${filter.name}`,
    filter.host && `host ${filter.host}`,
    filter.user && `user ${filter.user}`,
  ].filter(Boolean);
  if (clauses.length === 0) {
    return (
      <EmptyState title={<Trans>No events yet</Trans>}>
        <p>
          <Trans>The next process that starts or exits on a watched host appears here.</Trans>
        </p>
      </EmptyState>
    );
  }
  return (
    <EmptyState
      title={<Trans>No event matches the filter</Trans>}
      action={
        <button type="button" onClick={onClear}>
          <Trans>Clear the filter</Trans>
        </button>
      }
    >
      <p>{clauses.join(" · ")}</p>
    </EmptyState>
  );
}

function Failed({ error, onRetry }: { error: Error | null; onRetry: () => void }) {
  const status = error instanceof RequestError ? error.status : null;
  return (
    <EmptyState
      title={<Trans>Events could not be loaded</Trans>}
      action={
        <button type="button" onClick={onRetry}>
          <Trans>Try again</Trans>
        </button>
      }
    >
      <p>
        {status === null ? (
          <Trans>The server does not answer. Check that procmon-server runs.</Trans>
        ) : (
          `HTTP ${status}: ${error?.message}`
        )}
      </p>
    </EmptyState>
  );
}
