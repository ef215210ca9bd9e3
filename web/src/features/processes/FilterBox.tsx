import { Trans, useLingui } from "@lingui/react/macro";
import { useId, useRef } from "react";
import { useKeys } from "../../ui/keys.ts";
import { Severity } from "../../ui/Severity.tsx";
import styles from "./FilterBox.module.css";
import { FIELDS, type Filter, type Problem } from "./filter.ts";

type Props = { text: string; filter: Filter; onText: (text: string) => void };

export function FilterBox({ text, filter, onText }: Props) {
  const { t } = useLingui();
  const input = useRef<HTMLInputElement>(null);
  const errors = useId();
  useKeys({ "/": () => input.current?.focus() });
  return (
    <div className={styles.box}>
      <input
        ref={input}
        type="search"
        className={styles.input}
        value={text}
        onChange={(event) => onText(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape") input.current?.blur();
        }}
        aria-label={t`Filter processes`}
        aria-invalid={filter.errors.length > 0}
        aria-describedby={filter.errors.length > 0 ? errors : undefined}
        placeholder={t`Filter: text, user:root cpu>50 mem>1 pid:123 port:8080 status:R host:x`}
        title={t`Fields: ${Object.keys(FIELDS).join(" ")}. A leading - negates, a comma means or, quotes keep spaces.`}
        autoComplete="off"
        autoCapitalize="off"
        spellCheck={false}
      />
      {filter.errors.length > 0 && (
        <ul id={errors} className={styles.errors} aria-live="polite">
          {filter.errors.map(({ text: clause, problem }) => (
            <li key={clause}>
              <Severity level="warning" />{" "}
              <Trans>
                <code>{clause}</code> is left out:
              </Trans>{" "}
              <Explanation problem={problem} />
            </li>
          ))}
        </ul>
      )}
    </div>
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
