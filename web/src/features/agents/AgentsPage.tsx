import { Trans, useLingui } from "@lingui/react/macro";
import { useQuery } from "@tanstack/react-query";
import type { Agent } from "../../api/client.ts";
import { fetchAgents, RequestError } from "../../api/client.ts";
import { useLive } from "../../api/live.ts";
import { EmptyState } from "../../ui/EmptyState.tsx";
import { Notice } from "../../ui/Notice.tsx";
import { useNow } from "../../ui/useNow.ts";
import styles from "./AgentsPage.module.css";
import { AgentTable } from "./AgentTable.tsx";
import { FirstAgent } from "./FirstAgent.tsx";

const POLL_MS = 5000;

export function AgentsPage() {
  const { data, error, dataUpdatedAt } = useQuery({
    queryKey: ["agents"],
    queryFn: ({ signal }) => fetchAgents(signal),
    refetchInterval: POLL_MS,
  });
  // The stream tells at once that an agent came or went silent; the figures come with the next poll.
  const streamed = useLive((all) => all.agents?.agents);
  const agents = withStatus(data?.agents, streamed);
  return (
    <div className={styles.page}>
      <h1 className="visually-hidden">
        <Trans>Agents</Trans>
      </h1>
      {agents && error && <Stale error={error} since={dataUpdatedAt} />}
      {agents ? <Loaded agents={agents} stale={error !== null} /> : <Unloaded error={error} />}
    </div>
  );
}

function Loaded({ agents, stale }: { agents: readonly Agent[]; stale: boolean }) {
  if (agents.length === 0) return <FirstAgent />;
  return (
    <>
      <Summary agents={agents} />
      <AgentTable agents={agents} stale={stale} />
    </>
  );
}

/** Problems first: what is not as it should be, in words. */
function Summary({ agents }: { agents: readonly Agent[] }) {
  const all = agents.length;
  const live = agents.filter((agent) => agent.status === "live").length;
  const fallback = agents.filter((agent) => agent.probe !== null && agent.probe !== "ebpf").length;
  const dropping = agents.filter((agent) => Object.values(agent.drops).some((n) => n > 0)).length;
  const degraded = agents.filter((agent) => agent.degraded.length > 0).length;
  const skewed = agents.filter((agent) => agent.skewed).length;
  return (
    <p className={styles.summary}>
      <Trans>
        {live} of {all} agents report
      </Trans>
      {fallback > 0 && (
        <>
          {" · "}
          <Trans>{fallback} below eBPF</Trans>
        </>
      )}
      {dropping > 0 && (
        <>
          {" · "}
          <Trans>{dropping} with drops</Trans>
        </>
      )}
      {degraded > 0 && (
        <>
          {" · "}
          <Trans>{degraded} degraded</Trans>
        </>
      )}
      {skewed > 0 && (
        <>
          {" · "}
          <Trans>{skewed} with a skewed clock</Trans>
        </>
      )}
    </p>
  );
}

function Stale({ error, since }: { error: Error; since: number }) {
  const seconds = Math.round((useNow(1000) - since) / 1000);
  return (
    <Notice level="warning">
      <Trans>These figures are {seconds} s old:</Trans> <Reason error={error} />
    </Notice>
  );
}

function Unloaded({ error }: { error: Error | null }) {
  if (!error) return <EmptyState title={<Trans>Loading agents …</Trans>} />;
  return (
    <EmptyState title={<Trans>Agents could not be loaded</Trans>}>
      <p>
        <Reason error={error} />
      </p>
      <p>
        <Trans>This page keeps trying.</Trans>
      </p>
    </EmptyState>
  );
}

function Reason({ error }: { error: Error }) {
  const { t } = useLingui();
  const status = error instanceof RequestError ? error.status : null;
  if (status === null) return t`the server does not answer; check that procmon-server runs.`;
  return `HTTP ${status}: ${error.message}`;
}

function withStatus(polled?: readonly Agent[], streamed?: readonly Agent[]) {
  if (!polled || !streamed) return polled;
  const status = new Map(streamed.map((agent) => [agent.agent_id, agent.status]));
  const known = new Set(polled.map((agent) => agent.agent_id));
  const fresh = streamed.filter((agent) => !known.has(agent.agent_id));
  const merged = polled.map((agent) => ({
    ...agent,
    status: status.get(agent.agent_id) ?? agent.status,
  }));
  return [...merged, ...fresh];
}
