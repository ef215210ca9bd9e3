/** Which clauses of the filter are left out, and why. */
import { Trans } from "@lingui/react/macro";
import { Severity } from "../../ui/Severity.tsx";
import styles from "./FilterBox.module.css";
import { FIELDS, type Filter, type Problem } from "./filter.ts";

export function FilterErrors({ id, errors }: { id: string; errors: Filter["errors"] }) {
  if (errors.length === 0) return null;
  return (
    <ul id={id} className={styles.errors} aria-live="polite">
      {errors.map(({ text: clause, problem }) => (
        <li key={clause}>
          <Severity level="warning" />{" "}
          <Trans>
            <code>{clause}</code> is left out:
          </Trans>{" "}
          <Explanation problem={problem} />
        </li>
      ))}
    </ul>
  );
}

function Explanation({ problem }: { problem: Problem }) {
  switch (problem.kind) {
    case "unknown-field": {
      const { field, nearest } = problem;
      const all = Object.keys(FIELDS).join(", ");
      return nearest ? (
        <Trans>
          there is no field “{field}”; did you mean <code>{nearest}</code>?
        </Trans>
      ) : (
        <Trans>
          there is no field “{field}”. Fields: {all}.
        </Trans>
      );
    }
    case "not-a-number": {
      const { value } = problem;
      return <Trans>“{value}” is not a number.</Trans>;
    }
    case "no-value":
      return <Trans>it has no value yet.</Trans>;
    case "needs-text-operator": {
      const { field } = problem;
      return (
        <Trans>
          “{field}” is compared with <code>:</code> only.
        </Trans>
      );
    }
    case "open-quote":
      return <Trans>a quote is not closed.</Trans>;
  }
}
