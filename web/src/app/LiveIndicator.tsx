/** Is what I see now? The connection's state, and how old the data is when it is not. */
import { Trans } from "@lingui/react/macro";
import { useLive } from "../api/live.ts";
import { duration } from "../ui/format.ts";
import { Severity } from "../ui/Severity.tsx";
import { useNow } from "../ui/useNow.ts";
import styles from "./Layout.module.css";

export function LiveIndicator() {
  const { state, since, cause } = useLive((all) => all.live);
  const now = useNow(1000);
  if (state === "open") {
    return (
      <span className={styles.live} role="status">
        <Severity level="info" /> <Trans>Live</Trans>
      </span>
    );
  }
  const age = duration(Math.max(0, Math.round((now - since) / 1000) * 1000));
  return (
    <span className={styles.live} title={cause ?? undefined}>
      <Severity level={state === "lost" ? "warning" : "idle"} />{" "}
      <span role="status">
        {state === "lost" ? <Trans>Reconnecting</Trans> : <Trans>Connecting</Trans>}
      </span>{" "}
      <span>{age}</span>
    </span>
  );
}
