import { useLingui } from "@lingui/react/macro";
import { useId, useRef, useState } from "react";
import type { ColumnStore } from "../../api/columnStore.ts";
import { grouped } from "../../ui/format.ts";
import { useKeys } from "../../ui/keys.ts";
import styles from "./FilterBox.module.css";
import { FilterErrors } from "./FilterErrors.tsx";
import { FIELDS, type Filter } from "./filter.ts";
import type { Suggestion } from "./suggest.ts";
import { useSuggestions } from "./useSuggestions.ts";

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
      <Offers id={list} {...{ offers, chosen }} onChoose={choose} />
      <FilterErrors id={errors} errors={shown} />
    </div>
  );
}

type OffersProps = {
  id: string;
  offers: readonly Suggestion[];
  chosen: number;
  onChoose: (offer: Suggestion) => void;
};

function Offers({ id, offers, chosen, onChoose }: OffersProps) {
  const { t } = useLingui();
  return (
    <div
      id={id}
      role="listbox"
      aria-label={t`Suggestions`}
      className={styles.offers}
      hidden={offers.length === 0}
    >
      {offers.map((offer, index) => (
        // biome-ignore lint/a11y/useKeyWithClickEvents: the input handles the keys of its list
        <div
          key={offer.text}
          id={`${id}-${index}`}
          role="option"
          aria-selected={index === chosen}
          // Not the default: the input would lose the focus before the click.
          onPointerDown={(event) => event.preventDefault()}
          onClick={() => onChoose(offer)}
        >
          <code>{offer.text}</code>
          {offer.count !== null && <span>{grouped(offer.count)}</span>}
        </div>
      ))}
    </div>
  );
}

/** The last clause lacks its end because it is being typed: no reason to complain yet. */
function isUnfinished({ text: clause, problem }: Filter["errors"][number], text: string): boolean {
  return text.endsWith(clause) && (problem.kind === "no-value" || problem.kind === "open-quote");
}
