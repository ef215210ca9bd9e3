/** First run: the one command that makes data appear. */
import { Trans } from "@lingui/react/macro";
import { useRef, useState } from "react";
import { EmptyState } from "../../ui/EmptyState.tsx";
import styles from "./FirstAgent.module.css";

const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

export function FirstAgent() {
  const [copied, setCopied] = useState(false);
  const { origin, hostname } = window.location;
  const command = `procmon-agent --server-url ${origin}`;
  const text = useRef<HTMLPreElement>(null);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(command);
      setCopied(true);
    } catch {
      // Without HTTPS a page may not write to the clipboard: leave it selected instead.
      if (text.current) window.getSelection()?.selectAllChildren(text.current);
    }
  };
  return (
    <EmptyState title={<Trans>Waiting for the first agent …</Trans>}>
      <p>
        <Trans>
          Run this as root on the host that you want to watch. Its processes appear here by
          themselves.
        </Trans>
      </p>
      <div className={styles.command}>
        <pre ref={text}>{command}</pre>
        <button type="button" onClick={() => void copy()}>
          {copied ? <Trans>Copied</Trans> : <Trans>Copy</Trans>}
        </button>
      </div>
      {LOOPBACK.has(hostname) && (
        <p>
          <Trans>
            From another host, write this machine's address in place of <code>{hostname}</code>; the
            server must then listen on it.
          </Trans>
        </p>
      )}
      <p>
        <Trans>Nothing appears? The agent prints on that host what it is missing.</Trans>
      </p>
    </EmptyState>
  );
}
