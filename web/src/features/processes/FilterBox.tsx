import { Trans, useLingui } from "@lingui/react/macro";
import { type KeyboardEvent, useId, useRef, useState } from "react";
import type { ColumnStore } from "../../api/columnStore.ts";
import { grouped } from "../../ui/format.ts";
import { useKeys } from "../../ui/keys.ts";
import { Severity } from "../../ui/Severity.tsx";
import styles from "./FilterBox.module.css";
import { FIELDS, type Filter, type Problem } from "./filter.ts";
import { type Suggestion, suggest } from "./suggest.ts";

type Props = {
  text: string;
  filter: Filter;
  onText: (text: string) => void;
  /** Where suggested values come from. */
  store: ColumnStore;
};

export function FilterBox({ text, filter, onText, store }: Props) {
  const { t } = useLingui();
  const input = useRef<HTMLInputElement>(null);
  const errors = useId();
  const list = useId();
  const [typing, setTyping] = useState(false);
  const shown = filter.errors.filter((error) => !typing || !isUnfinished(error, text));
  const { offers, chosen, look, choose, onKeyDown } = useSuggestions(input, store, onText);
  useKeys({ "/": () => input.current?.focus() });
  return (
    <div className={styles.box}>
      <input
        ref={input}
        className={styles.input}
        value={text}
        onChange={(event) => {
          onText(event.target.value);
          look();
        }}
        onKeyDown={onKeyDown}
        onFocus={() => setTyping(true)}
        onBlur={() => {
          setTyping(false);
          choose(null);
        }}
        role="combobox"
        aria-expanded={offers.length > 0}
        aria-controls={list}
        aria-autocomplete="list"
        aria-activedescendant={chosen >= 0 ? `${list}-${chosen}` : undefined}
        aria-label={t`Filter processes`}
        aria-invalid={shown.length > 0}
        aria-describedby={shown.length > 0 ? errors : undefined}
        placeholder={t`Filter: text, user:root cpu>50 mem>1 pid:123 port:8080 status:R host:x`}
        title={t`Fields: ${Object.keys(FIELDS).join(" ")}. A leading - negates, a comma means or, quotes keep spaces.`}
        autoComplete="off"
        autoCapitalize="off"
        spellCheck={false}
      />
      <div
        id={list}
        role="listbox"
        aria-label={t`Suggestions`}
        className={styles.offers}
        hidden={offers.length === 0}
      >
        {offers.map((offer, index) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the input handles the keys of its list
          <div
            key={offer.text}
            id={`${list}-${index}`}
            role="option"
            aria-selected={index === chosen}
            // Not the default: the input would lose the focus before the click.
            onPointerDown={(event) => event.preventDefault()}
            onClick={() => choose(offer)}
          >
            <code>{offer.text}</code>
            {offer.count !== null && <span>{grouped(offer.count)}</span>}
          </div>
        ))}
      </div>
      {shown.length > 0 && (
        <ul id={errors} className={styles.errors} aria-live="polite">
          {shown.map(({ text: clause, problem }) => (
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

/** The last clause lacks its end because it is being typed: no reason to complain yet. */
function isUnfinished({ text: clause, problem }: Filter["errors"][number], text: string): boolean {
  return text.endsWith(clause) && (problem.kind === "no-value" || problem.kind === "open-quote");
}

/** The list under the input: arrows choose, Enter or Tab takes, Escape closes. */
function useSuggestions(
  input: React.RefObject<HTMLInputElement | null>,
  store: ColumnStore,
  onText: (text: string) => void,
) {
  const [offers, setOffers] = useState<Suggestion[]>([]);
  const [chosen, setChosen] = useState(-1);
  const show = (next: Suggestion[]) => {
    setOffers(next);
    setChosen(-1);
  };
  const look = () => {
    const element = input.current;
    if (element)
      show(suggest(element.value, element.selectionStart ?? element.value.length, store));
  };
  const choose = (offer: Suggestion | null) => {
    const element = input.current;
    show([]);
    if (!offer || !element) return;
    const value = element.value.slice(0, offer.start) + offer.text + element.value.slice(offer.end);
    onText(value);
    const caret = offer.start + offer.text.length;
    requestAnimationFrame(() => {
      element.setSelectionRange(caret, caret);
      look();
    });
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const offer = offers[chosen];
    if (event.key === "Escape") {
      if (offers.length > 0) show([]);
      else input.current?.blur();
    } else if (event.key === "ArrowDown" && offers.length > 0) {
      setChosen((chosen + 1) % offers.length);
    } else if (event.key === "ArrowUp" && offers.length > 0) {
      setChosen((chosen <= 0 ? offers.length : chosen) - 1);
    } else if ((event.key === "Enter" || event.key === "Tab") && offer) {
      choose(offer);
    } else return;
    event.preventDefault();
  };
  return { offers, chosen, look, choose, onKeyDown };
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
