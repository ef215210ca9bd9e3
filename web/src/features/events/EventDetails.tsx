/** One event with everything it carries. */
import { Trans, useLingui } from "@lingui/react/macro";
import type { ProcessEvent } from "../../api/client.ts";
import { Details, Fact, Facts, Long } from "../../ui/Details.tsx";
import { bytes, instant, UNKNOWN, ZERO } from "../../ui/format.ts";
import { usePreferences } from "../../ui/preferences.ts";
import * as text from "./eventText.ts";

export function EventDetails({ event, onClose }: { event: ProcessEvent; onClose: () => void }) {
  const { t } = useLingui();
  const { utc } = usePreferences();
  const title = `${event.type} ${event.name ?? UNKNOWN} ${event.pid ?? UNKNOWN}`;
  return (
    <Details label={t`Event details`} title={title} onClose={onClose}>
      <Facts>
        <Fact label={<Trans>Command</Trans>} wide>
          <Long>{text.command(event)}</Long>
        </Fact>
        <Fact label={<Trans>Executable</Trans>} wide>
          <code>{event.exe ?? UNKNOWN}</code>
        </Fact>
        <Fact label={<Trans>Happened</Trans>} wide>
          {instant(event.ts, utc)}
        </Fact>
        <Fact label={<Trans>Received by the server</Trans>} wide>
          {instant(event.received_at, utc)}
        </Fact>
        <Fact label={<Trans>Host</Trans>}>{event.agent_id}</Fact>
        <Fact label={<Trans>Seen by</Trans>}>{event.observed ?? UNKNOWN}</Fact>
        <Fact label={<Trans>User</Trans>}>
          {event.username ?? UNKNOWN} ({event.uid ?? UNKNOWN})
        </Fact>
        <Fact label={<Trans>Parent</Trans>}>{event.ppid ?? UNKNOWN}</Fact>
        {event.type === "exit" && <ExitFacts event={event} />}
        {event.type === "io_slow" && <SlowFacts event={event} />}
        {event.type === "oom" && <OomFacts event={event} />}
        <Fact label={<Trans>Container</Trans>} wide>
          {event.container_id ?? ZERO}
        </Fact>
        <Fact label={<Trans>Unit</Trans>} wide>
          {event.systemd_unit ?? ZERO}
        </Fact>
        <Fact label={<Trans>Process id</Trans>} wide>
          <code>{event.process_id}</code>
        </Fact>
      </Facts>
    </Details>
  );
}

function ExitFacts({ event }: { event: ProcessEvent }) {
  return (
    <>
      <Fact label={<Trans>Outcome</Trans>}>{text.outcome(event)}</Fact>
      <Fact label={<Trans>Killed by</Trans>}>{text.killer(event)}</Fact>
      <Fact label={<Trans>Duration</Trans>}>{text.length(event)}</Fact>
      <Fact label={<Trans>CPU time</Trans>}>{text.cpuTime(event)}</Fact>
      <Fact label={<Trans>Peak RSS</Trans>}>{text.peakRss(event)}</Fact>
      <Fact label={<Trans>Read and written</Trans>}>
        {bytes(event.read_bytes)} / {bytes(event.write_bytes)}
      </Fact>
    </>
  );
}

function OomFacts({ event }: { event: ProcessEvent }) {
  return (
    <>
      <Fact label={<Trans>Memory cgroup</Trans>} wide>
        {event.memory_cgroup ?? UNKNOWN}
      </Fact>
      <Fact label={<Trans>RSS when chosen</Trans>}>{bytes(event.rss_bytes)}</Fact>
      <Fact label={<Trans>OOM score adjustment</Trans>}>{event.oom_score_adj ?? UNKNOWN}</Fact>
    </>
  );
}

function SlowFacts({ event }: { event: ProcessEvent }) {
  return (
    <>
      <Fact label={<Trans>Request</Trans>}>{text.outcome(event)}</Fact>
      <Fact label={<Trans>Latency</Trans>}>{text.length(event)}</Fact>
      {event.writeback && (
        <Fact label={<Trans>Issuer</Trans>} wide>
          <Trans>The kernel wrote back data that some process had written before</Trans>
        </Fact>
      )}
    </>
  );
}
