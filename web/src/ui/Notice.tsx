/** One line about a condition: shape, colour and words, and what can be done about it. */
import type { ReactNode } from "react";
import styles from "./Notice.module.css";
import { Severity, type SeverityLevel } from "./Severity.tsx";

type Props = { level: SeverityLevel; children: ReactNode; action?: ReactNode };

export function Notice({ level, children, action }: Props) {
  return (
    <div className={styles.notice} role={level === "critical" ? "alert" : "status"}>
      <Severity level={level} />
      <div className={styles.words}>{children}</div>
      {action}
    </div>
  );
}
