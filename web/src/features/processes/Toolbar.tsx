import { Trans, useLingui } from "@lingui/react/macro";
import { useState } from "react";
import { liveTab } from "../../api/live.ts";
import { Dropdown } from "../../ui/Dropdown.tsx";
import { grouped } from "../../ui/format.ts";
import { useKeys } from "../../ui/keys.ts";
import { COLUMNS, type ProcessColumn } from "./columns.ts";
import { curlFor } from "./curl.ts";
import { download, toCsv, toJson } from "./export.ts";
import type { Filter } from "./filter.ts";
import styles from "./Toolbar.module.css";
import type { Sort, SortColumn, ViewState } from "./view.ts";

type Props = {
  state: ViewState;
  filter: Filter;
  sort: Sort;
  columns: readonly ProcessColumn[];
  onColumns: (ids: SortColumn[] | null) => void;
  onFreeze: () => void;
};

export function Toolbar({ state, filter, sort, columns, onColumns, onFreeze }: Props) {
  const [copied, setCopied] = useState<string | null>(null);
  const { t } = useLingui();
  const save = (kind: "csv" | "json") => {
    const { store, order } = state;
    const { at } = liveTab.getState();
    const name = `processes-${(at ?? "").replace(/[:.]/g, "")}.${kind}`;
    if (kind === "csv") download(name, "text/csv;charset=utf-8", toCsv(store, order));
    else download(name, "application/json", toJson(store, order, at));
  };
  const copy = async () => {
    const { command, left } = curlFor(window.location.origin, filter, sort);
    const clauses = left.join(" ");
    try {
      await navigator.clipboard.writeText(command);
      setCopied(
        clauses ? t`Copied, without ${clauses}: the API has no parameter for it` : t`Copied`,
      );
    } catch {
      setCopied(t`The browser refused the clipboard. The command is: ${command}`);
    }
    setTimeout(() => setCopied(null), 8000);
  };
  const saveAnd = (kind: "csv" | "json", close: () => void) => () => {
    save(kind);
    close();
  };
  useKeys({ f: onFreeze, F: onFreeze, e: () => save("csv"), E: () => save("csv") });
  const rows = grouped(state.order.length);
  return (
    <div className={styles.toolbar}>
      <button type="button" aria-pressed={state.frozen} onClick={onFreeze}>
        <Trans>Freeze</Trans> <kbd>F</kbd>
      </button>
      <Dropdown label={<Trans>Columns</Trans>}>
        {() => <ColumnChoice columns={columns} onColumns={onColumns} />}
      </Dropdown>
      <Dropdown label={<Trans>Export</Trans>}>
        {(close) => (
          <>
            <button type="button" onClick={saveAnd("csv", close)}>
              <Trans>CSV, rows: {rows}</Trans> <kbd>E</kbd>
            </button>
            <button type="button" onClick={saveAnd("json", close)}>
              <Trans>JSON, rows: {rows}</Trans>
            </button>
            <button type="button" onClick={() => void copy().then(close)}>
              <Trans>Copy as curl</Trans>
            </button>
          </>
        )}
      </Dropdown>
      <span role="status" className={styles.copied}>
        {copied}
      </span>
    </div>
  );
}

type ChoiceProps = Pick<Props, "columns" | "onColumns">;

function ColumnChoice({ columns, onColumns }: ChoiceProps) {
  const { i18n } = useLingui();
  const shown = new Set(columns.map((column) => column.id));
  const toggle = (id: SortColumn) => {
    const next = COLUMNS.filter((column) =>
      column.id === id ? !shown.has(id) : shown.has(column.id),
    );
    if (next.length > 0) onColumns(next.map((column) => column.id));
  };
  return (
    <>
      <button type="button" onClick={() => onColumns(null)}>
        <Trans>Standard columns</Trans>
      </button>
      {COLUMNS.map((column) => (
        <label key={column.id} title={i18n._(column.meaning)}>
          <input
            type="checkbox"
            checked={shown.has(column.id)}
            onChange={() => toggle(column.id)}
          />
          {i18n._(column.label)}
        </label>
      ))}
    </>
  );
}
