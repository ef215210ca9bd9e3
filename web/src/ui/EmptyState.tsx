/** Says why there is nothing to see, and what to do next. */
import type { ReactNode } from "react";
import styles from "./EmptyState.module.css";

type Props = { title: ReactNode; children?: ReactNode; action?: ReactNode };

export function EmptyState({ title, children, action }: Props) {
  return (
    <div className={styles.empty} role="status">
      <h2>{title}</h2>
      {children}
      {action}
    </div>
  );
}
