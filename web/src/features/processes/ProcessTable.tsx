import { useLingui } from "@lingui/react/macro";
import { useMemo } from "react";
import type { ColumnStore } from "../../api/columnStore.ts";
import { DataGrid, type GridRows } from "../../ui/DataGrid.tsx";
import { ZERO } from "../../ui/format.ts";
import type { ActiveCell, GridColumn } from "../../ui/gridKeys.ts";
import { usePreferences } from "../../ui/preferences.ts";
import { columnById, type ProcessColumn } from "./columns.ts";
import styles from "./ProcessTable.module.css";
import type { Sort, ViewState } from "./view.ts";

type Props = {
  state: ViewState;
  columns: readonly ProcessColumn[];
  sort: Sort;
  onSort: (sort: Sort) => void;
  active: ActiveCell | null;
  onActive: (cell: ActiveCell) => void;
  onOpen: (key: string) => void;
  onTouched: () => void;
  /** The connection is lost: every row is as old as that. */
  stale: boolean;
};

export function ProcessTable({ state, columns, sort, onSort, stale, ...grid }: Props) {
  const { t, i18n } = useLingui();
  const { utc } = usePreferences();
  const { store, order } = state;
  // biome-ignore lint/correctness/useExhaustiveDependencies: i18n stays the same object in another language
  const gridColumns = useMemo<GridColumn[]>(
    () => columns.map((one) => ({ ...one, label: i18n._(one.label), title: i18n._(one.meaning) })),
    [columns, i18n, i18n.locale],
  );
  const cell = useMemo(() => cellOf(store, utc), [store, utc]);
  const rows: GridRows<number> = {
    count: order.length,
    at: (index) => order[index] ?? 0,
    keyOf: (slot) => store.keys[slot] ?? "",
    indexOf: (key) => {
      const slot = store.slotOf(key);
      return slot === undefined ? -1 : order.indexOf(slot);
    },
    revisionOf: (slot) => store.revision(slot),
    toneOf: (slot) => {
      if (!store.isLive(slot)) return "gone";
      return stale || store.isStale(slot) ? "dim" : "normal";
    },
    cell,
  };
  const sortBy = (id: string) => {
    const column = columnById(id);
    if (!column) return;
    const same = sort.column === column.id;
    const descending = same ? !sort.descending : (column.descendingFirst ?? false);
    onSort({ column: column.id, descending });
  };
  return (
    <DataGrid
      label={t`Processes`}
      columns={gridColumns}
      rows={rows}
      sort={sort}
      onSort={sortBy}
      {...grid}
    />
  );
}

/** Numbers that are zero or unknown are quieter than the rest. */
function cellOf(store: ColumnStore, utc: boolean) {
  return (slot: number, id: string) => {
    const text = columnById(id)?.text(store, slot, utc) ?? "";
    if (text === ZERO) return <span className={styles.zero}>{text}</span>;
    return id === "cmdline" ? <code>{text}</code> : text;
  };
}
