/** Keyboard movement in a grid: arrows and the paging keys, `j k g G`, `<` and `>` for sorting. */
import type { KeyboardEvent as ReactKeyboardEvent } from "react";
import { useKeys } from "./keys.ts";

export type GridColumn = {
  id: string;
  label: string;
  /** What the number means: its unit, window and source. */
  title: string;
  width: number;
  /** Takes the width that is left. */
  fill?: boolean;
  numeric?: boolean;
  sortable?: boolean;
};

/** `key` null is the header row. */
export type ActiveCell = { key: string | null; column: number };

type Grid<Row> = {
  columns: readonly GridColumn[];
  rows: { count: number; at: (index: number) => Row; keyOf: (row: Row) => string };
  sort?: { column: string; descending: boolean };
  onSort?: (column: string) => void;
  active: ActiveCell | null;
  activeIndex: number;
  move: (cell: ActiveCell, index: number) => void;
  onOpen?: (key: string) => void;
  pageRows: () => number;
};

export function useGridKeys<Row>(grid: Grid<Row>) {
  const column = Math.min(grid.active?.column ?? 0, grid.columns.length - 1);
  const last = grid.rows.count - 1;
  const go = (index: number, toColumn = column) => {
    const target = Math.min(index, last);
    const key = target < 0 ? null : grid.rows.keyOf(grid.rows.at(target));
    const bounded = Math.min(Math.max(toColumn, 0), grid.columns.length - 1);
    grid.move({ key, column: bounded }, target);
  };
  const row = grid.activeIndex;
  useKeys({
    j: () => go(row + 1),
    k: () => go(Math.max(0, row - 1)),
    g: () => go(0),
    G: () => go(last),
    "<": () => sortBeside(grid, -1),
    ">": () => sortBeside(grid, 1),
  });
  const actions: Record<string, () => void> = {
    ArrowDown: () => go(row + 1),
    ArrowUp: () => go(row - 1),
    ArrowLeft: () => go(row, column - 1),
    ArrowRight: () => go(row, column + 1),
    PageDown: () => go(row + grid.pageRows()),
    PageUp: () => go(Math.max(0, row - grid.pageRows())),
    Home: () => go(row, 0),
    End: () => go(row, grid.columns.length - 1),
  };
  const onKeyDown = (event: ReactKeyboardEvent) => {
    if (event.altKey || event.metaKey) return;
    if (event.ctrlKey && event.key === "Home") go(0);
    else if (event.ctrlKey && event.key === "End") go(last);
    else if (event.ctrlKey) return;
    else if (event.key === "Enter" && row >= 0 && grid.active?.key) grid.onOpen?.(grid.active.key);
    else if (actions[event.key]) actions[event.key]?.();
    else return;
    event.preventDefault();
  };
  return { onKeyDown };
}

/** Sorts by the column to the left or right of the one sorted by now. */
function sortBeside<Row>(grid: Grid<Row>, step: number): void {
  if (!grid.onSort) return;
  const sortable = grid.columns.filter((column) => column.sortable !== false);
  const now = sortable.findIndex((column) => column.id === grid.sort?.column);
  const next = sortable[(now + step + sortable.length) % sortable.length];
  if (next) grid.onSort(next.id);
}
