/** What stands in the table's place when it has no rows: why, and what to do. */
import { Trans } from "@lingui/react/macro";
import type { ReactNode } from "react";
import type { Connection } from "../../api/protocol.ts";
import { EmptyState } from "../../ui/EmptyState.tsx";
import { grouped } from "../../ui/format.ts";
import { type Clause, culprit, type Filter } from "./filter.ts";
import type { ViewState } from "./view.ts";

type Props = {
  state: ViewState;
  filter: Filter;
  live: Connection;
  /** A snapshot has arrived. */
  received: boolean;
  hosts: number;
  firstRun: ReactNode;
  onText: (text: string) => void;
};

export function ListState({ state, filter, live, received, hosts, firstRun, onText }: Props) {
  if (!received) return live.state === "lost" ? <Unreachable live={live} /> : <Loading />;
  if (hosts === 0 && state.total === 0) return firstRun;
  if (state.total === 0) return <NoProcesses />;
  return <NothingMatches state={state} filter={filter} onText={onText} />;
}

function Loading() {
  return <EmptyState title={<Trans>Loading processes …</Trans>} />;
}

function Unreachable({ live }: { live: Connection }) {
  const origin = window.location.origin;
  return (
    <EmptyState title={<Trans>The live stream cannot be opened</Trans>}>
      <p>{live.cause ?? <Trans>The server does not answer.</Trans>}</p>
      <p>
        <Trans>
          Check that procmon-server runs and that <code>{origin}/healthz</code> answers. This page
          keeps trying.
        </Trans>
      </p>
    </EmptyState>
  );
}

function NoProcesses() {
  return (
    <EmptyState title={<Trans>No processes</Trans>}>
      <p>
        <Trans>
          Agents are known, but none has reported a process in the last ten minutes. The agents page
          says when each was last seen.
        </Trans>
      </p>
    </EmptyState>
  );
}

function NothingMatches({ state, filter, onText }: Pick<Props, "state" | "filter" | "onText">) {
  const found = culprit(filter, state.store);
  const without = grouped(found?.without ?? 0);
  const rest = (clause: Clause) =>
    filter.clauses
      .filter((other) => other !== clause)
      .map((other) => other.text)
      .join(" ");
  return (
    <EmptyState
      title={<Trans>No process matches the filter</Trans>}
      action={
        <button type="button" onClick={() => onText(found ? rest(found.clause) : "")}>
          {found ? (
            <Trans>
              Remove <code>{found.clause.text}</code>
            </Trans>
          ) : (
            <Trans>Clear the filter</Trans>
          )}
        </button>
      }
    >
      {found && (
        <p>
          <code>{found.clause.text}</code>{" "}
          <Trans>removes every row; rows without it: {without}</Trans>
        </p>
      )}
    </EmptyState>
  );
}
