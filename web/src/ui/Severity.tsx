import styles from "./Severity.module.css";

export type SeverityLevel = "critical" | "warning" | "info" | "idle";

const SHAPES: Record<SeverityLevel, string> = { critical: "▲", warning: "◆", info: "●", idle: "○" };

/** The shape of a severity; words beside it say the same, for it is hidden from screen readers. */
export function Severity({ level }: { level: SeverityLevel }) {
  return (
    <span aria-hidden="true" className={styles[level]}>
      {SHAPES[level]}
    </span>
  );
}
