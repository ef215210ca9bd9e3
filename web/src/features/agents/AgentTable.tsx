import { Trans, useLingui } from "@lingui/react/macro";
import type { ReactNode } from "react";
import type { Agent } from "../../api/client.ts";
import {
  bytes,
  count,
  duration,
  grouped,
  instant,
  signedDuration,
  UNKNOWN,
  ZERO,
} from "../../ui/format.ts";
import { usePreferences } from "../../ui/preferences.ts";
import { Severity } from "../../ui/Severity.tsx";
import { useNow } from "../../ui/useNow.ts";
import styles from "./AgentsPage.module.css";

type Props = { agents: readonly Agent[]; stale: boolean };

/** Silent agents first, then by name: the order is that of urgency, and it does not jump. */
export function AgentTable({ agents, stale }: Props) {
  const { t } = useLingui();
  const now = useNow(1000);
  const sorted = [...agents].sort(
    (a, b) => rank(a) - rank(b) || a.agent_id.localeCompare(b.agent_id),
  );
  return (
    <div className={styles.scroller} role="region" aria-label={t`Agents`} tabIndex={0}>
      <table className={styles.table} data-stale={stale || undefined}>
        <thead>
          <tr>
            <th scope="col">
              <Trans>Agent</Trans>
            </th>
            <th scope="col">
              <Trans>Status</Trans>
            </th>
            <th scope="col">
              <Trans>Last seen</Trans>
            </th>
            <th scope="col" title={t`How the agent sees processes, and why that way`}>
              <Trans>Probe</Trans>
            </th>
            <th scope="col" className={styles.numeric}>
              <Trans>Processes</Trans>
            </th>
            <th
              scope="col"
              className={styles.numeric}
              title={t`From the newest event on the host to its arrival here`}
            >
              <Trans>Lag</Trans>
            </th>
            <th scope="col" title={t`Records lost since the agent started, by kind`}>
              <Trans>Drops</Trans>
            </th>
            <th
              scope="col"
              className={styles.numeric}
              title={t`Waiting on the agent's disk to be sent`}
            >
              <Trans>Spool</Trans>
            </th>
            <th
              scope="col"
              className={styles.numeric}
              title={t`The agent's clock minus the server's`}
            >
              <Trans>Clock</Trans>
            </th>
            <th scope="col" className={styles.numeric} title={t`Time between two samples`}>
              <Trans>Interval</Trans>
            </th>
            <th scope="col" title={t`What the agent gave up to keep its own limits`}>
              <Trans>Degraded</Trans>
            </th>
            <th
              scope="col"
              className={styles.numeric}
              title={t`Values in command lines that the agent replaced since it started, because they look like secrets`}
            >
              <Trans>Redacted</Trans>
            </th>
            <th scope="col">
              <Trans>Version</Trans>
            </th>
            <th scope="col">
              <Trans>Kernel</Trans>
            </th>
          </tr>
        </thead>
        <tbody>
          {sorted.map((agent) => (
            <AgentRow key={agent.agent_id} agent={agent} now={now} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function rank(agent: Agent): number {
  return agent.status === "live" ? 1 : 0;
}

function AgentRow({ agent, now }: { agent: Agent; now: number }) {
  const { utc } = usePreferences();
  const seen = Date.parse(agent.last_seen ?? "");
  const age = Number.isNaN(seen)
    ? UNKNOWN
    : duration(Math.max(1000, Math.floor((now - seen) / 1000) * 1000));
  return (
    <tr data-tone={agent.status === "live" ? undefined : "dim"}>
      <th scope="row">
        {agent.agent_id}
        {agent.hostname && agent.hostname !== agent.agent_id && (
          <span className={styles.second}>{agent.hostname}</span>
        )}
      </th>
      <td>
        {agent.status === "live" ? (
          <Trans>live</Trans>
        ) : (
          <Marked level="warning">
            <Trans>stale</Trans>
          </Marked>
        )}
      </td>
      <td title={instant(agent.last_seen, utc)}>
        <Trans>{age} ago</Trans>
      </td>
      <td className={styles.probe}>
        {agent.probe === "ebpf" ? (
          agent.probe
        ) : (
          <Marked level="warning">{agent.probe ?? UNKNOWN}</Marked>
        )}
        <span className={styles.second}>{reason(agent)}</span>
      </td>
      <td className={styles.numeric}>{count(agent.processes)}</td>
      <td className={styles.numeric}>{duration(agent.lag_ms)}</td>
      <td>
        <Drops drops={agent.drops} />
      </td>
      <td className={styles.numeric}>{bytes(agent.spool_bytes)}</td>
      <td className={styles.numeric}>
        {agent.skewed ? (
          <Marked level="warning">{signedDuration(agent.clock_offset_ms)}</Marked>
        ) : (
          signedDuration(agent.clock_offset_ms)
        )}
      </td>
      <td className={styles.numeric}>
        {agent.effective_interval_ms > agent.interval_ms ? (
          <Marked level="warning">{duration(agent.effective_interval_ms)}</Marked>
        ) : (
          duration(agent.interval_ms)
        )}
      </td>
      <td>
        {agent.degraded.length === 0 ? (
          ZERO
        ) : (
          <Marked level="warning">{agent.degraded.join(", ")}</Marked>
        )}
      </td>
      <td className={styles.numeric}>{count(agent.redactions)}</td>
      <td>{agent.version ?? UNKNOWN}</td>
      <td>{agent.kernel ?? UNKNOWN}</td>
    </tr>
  );
}

/** The best level needs no reason; any other does. */
function reason(agent: Agent): string {
  return agent.probe_reason ?? (agent.probe === "ebpf" ? "" : UNKNOWN);
}

function Drops({ drops }: { drops: Readonly<Record<string, number>> }) {
  const kinds = Object.entries(drops).filter(([, lost]) => lost > 0);
  if (kinds.length === 0) return ZERO;
  return (
    <Marked level="warning">
      {kinds.map(([kind, lost]) => `${kind} ${grouped(lost)}`).join(", ")}
    </Marked>
  );
}

function Marked({ level, children }: { level: "warning"; children: ReactNode }) {
  return (
    <>
      <Severity level={level} /> {children}
    </>
  );
}
