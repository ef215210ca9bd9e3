import { Trans, useLingui } from "@lingui/react/macro";
import { useEffect, useId, useRef, useState } from "react";
import { useLive } from "../../api/live.ts";
import type { EventFilter } from "../../api/protocol.ts";
import { useKeys } from "../../ui/keys.ts";
import styles from "./EventFilters.module.css";
import { EVENT_TYPES } from "./eventText.ts";

type Props = { filter: EventFilter; onFilter: (change: Partial<EventFilter>) => void };

export function EventFilters({ filter, onFilter }: Props) {
  const { t } = useLingui();
  const name = useRef<HTMLInputElement>(null);
  const hosts = useId();
  const agents = useLive((all) => all.agents?.agents);
  useKeys({ "/": () => name.current?.focus() });
  const toggle = (type: string) => {
    const on = filter.types.includes(type);
    onFilter({
      types: EVENT_TYPES.filter((one) => (one === type ? !on : filter.types.includes(one))),
    });
  };
  return (
    <div className={styles.filters}>
      <fieldset>
        <legend className="visually-hidden">
          <Trans>Kinds of events; none pressed shows all</Trans>
        </legend>
        {EVENT_TYPES.map((type) => (
          <button
            key={type}
            type="button"
            aria-pressed={filter.types.includes(type)}
            onClick={() => toggle(type)}
          >
            {type}
          </button>
        ))}
      </fieldset>
      <DelayedInput
        inputRef={name}
        label={t`Name contains`}
        value={filter.name}
        onValue={(value) => onFilter({ name: value })}
      />
      <DelayedInput
        label={t`Host`}
        value={filter.host}
        list={hosts}
        onValue={(value) => onFilter({ host: value })}
      />
      <datalist id={hosts}>
        {agents?.map((agent) => (
          <option key={agent.agent_id} value={agent.agent_id} />
        ))}
      </datalist>
      <DelayedInput
        label={t`User`}
        value={filter.user}
        onValue={(value) => onFilter({ user: value })}
      />
    </div>
  );
}

type InputProps = {
  label: string;
  value: string;
  onValue: (value: string) => void;
  list?: string;
  inputRef?: React.RefObject<HTMLInputElement | null>;
};

const DELAY_MS = 300;

/** Every change asks the server anew, so it waits for a pause in the typing. */
function DelayedInput({ label, value, onValue, list, inputRef }: InputProps) {
  const [text, setText] = useState(value);
  const [given, setGiven] = useState(value);
  if (value !== given) {
    setGiven(value);
    setText(value);
  }
  useEffect(() => {
    if (text.trim() === value) return;
    const timer = setTimeout(() => onValue(text.trim()), DELAY_MS);
    return () => clearTimeout(timer);
  });
  return (
    <input
      ref={inputRef}
      type="search"
      aria-label={label}
      placeholder={label}
      value={text}
      list={list}
      onChange={(event) => setText(event.target.value)}
      onKeyDown={(event) => event.key === "Escape" && event.currentTarget.blur()}
      autoComplete="off"
      autoCapitalize="off"
      spellCheck={false}
    />
  );
}
