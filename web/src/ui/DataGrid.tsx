/** A virtualised grid: any number of rows, one tab stop, the focus bound to identities. */
import { defaultRangeExtractor, type Range, useVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, useCallback, useEffect, useRef } from "react";
import styles from "./DataGrid.module.css";
import { HeaderCell } from "./GridHeader.tsx";
import { GridRow, type RowTone } from "./GridRow.tsx";
import { useFocusFollowsActive } from "./gridFocus.ts";
import { type ActiveCell, type GridColumn, useGridKeys } from "./gridKeys.ts";
import { useRowHeight } from "./rowHeight.ts";

export type GridRows<Row> = {
  count: number;
  at: (index: number) => Row;
  keyOf: (row: Row) => string;
  /** Where the row of this identity is now; -1 when it is not shown. */
  indexOf: (key: string) => number;
  /** Changes when any cell of the row does: rows whose revision stays are not rendered again. */
  revisionOf: (row: Row) => number;
  toneOf: (row: Row) => RowTone;
  cell: (row: Row, column: string) => ReactNode;
};

type Props<Row> = {
  label: string;
  columns: readonly GridColumn[];
  rows: GridRows<Row>;
  sort?: { column: string; descending: boolean };
  onSort?: (column: string) => void;
  active: ActiveCell | null;
  onActive: (cell: ActiveCell) => void;
  onOpen?: (key: string) => void;
  /** A pointer or a key is at work on the rows. */
  onTouched?: () => void;
  onScroll?: (position: { top: number; rowsBelow: number }) => void;
  /** Total for assistive technology when more rows exist than are loaded; -1 is "not known". */
  totalRows?: number;
};

const OVERSCAN = 6;

export function DataGrid<Row>(props: Props<Row>) {
  const { columns, rows, active, onActive, sort } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const rowHeight = useRowHeight();
  const activeIndex = active?.key == null ? -1 : rows.indexOf(active.key);
  const virtualizer = useVirtualizer({
    count: rows.count,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    overscan: OVERSCAN,
    scrollMargin: rowHeight,
    scrollPaddingStart: rowHeight,
    // The focused row stays in the document wherever it moves, else the focus would be lost.
    rangeExtractor: useCallback(
      (range: Range) => withActive(defaultRangeExtractor(range), activeIndex),
      [activeIndex],
    ),
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: sizes are remembered until measured anew
  useEffect(() => virtualizer.measure(), [virtualizer, rowHeight]);

  const wantsFocus = useRef(false);
  const move = (cell: ActiveCell, index: number) => {
    wantsFocus.current = true;
    props.onTouched?.();
    onActive(cell);
    if (index >= 0) virtualizer.scrollToIndex(index);
  };
  const keys = useGridKeys({
    ...props,
    activeIndex,
    move,
    pageRows: () => pageRows(scroller.current, rowHeight),
  });
  useFocusFollowsActive(scroller, wantsFocus, activeIndex, active);

  const fills = columns.some((column) => column.fill);
  const template = columns.map((one, i) => track(one, one.fill || (!fills && i === 0))).join(" ");
  const least = columns.reduce((sum, column) => sum + column.width, 0);
  const items = virtualizer.getVirtualItems();
  return (
    <div
      ref={scroller}
      className={styles.grid}
      role="grid"
      tabIndex={-1}
      aria-label={props.label}
      aria-rowcount={props.totalRows ?? rows.count + 1}
      aria-colcount={columns.length}
      style={{ "--tracks": template, "--least": `${least}px` } as React.CSSProperties}
      onKeyDown={keys.onKeyDown}
      onPointerMove={props.onTouched}
      onScroll={() => {
        props.onTouched?.();
        const element = scroller.current;
        if (!element) return;
        const rest = element.scrollHeight - element.scrollTop - element.clientHeight;
        props.onScroll?.({ top: element.scrollTop, rowsBelow: rest / rowHeight });
      }}
    >
      <div className={styles.header} role="row" aria-rowindex={1}>
        {columns.map((column, index) => (
          <HeaderCell
            key={column.id}
            column={column}
            index={index}
            sort={sort}
            tabbable={activeIndex < 0 && (active?.column ?? 0) === index}
            onFocus={() => onActive({ key: null, column: index })}
            onSort={props.onSort}
          />
        ))}
      </div>
      <div className={styles.body} role="rowgroup" style={{ height: virtualizer.getTotalSize() }}>
        {items.map((item) => {
          const row = rows.at(item.index);
          const key = rows.keyOf(row);
          return (
            <GridRow
              key={key}
              row={row}
              rowKey={key}
              index={item.index}
              top={item.start - rowHeight}
              revision={rows.revisionOf(row)}
              tone={rows.toneOf(row)}
              columns={columns}
              cell={rows.cell as (row: unknown, column: string) => ReactNode}
              activeColumn={item.index === activeIndex ? (active?.column ?? 0) : -1}
              onActive={onActive}
              onOpen={props.onOpen}
            />
          );
        })}
      </div>
    </div>
  );
}

function withActive(indexes: number[], active: number): number[] {
  if (active < 0 || indexes.includes(active)) return indexes;
  return [...indexes, active].sort((a, b) => a - b);
}

function track(column: GridColumn, fill: boolean): string {
  return fill ? `minmax(${column.width}px, 1fr)` : `${column.width}px`;
}

function pageRows(element: HTMLElement | null, rowHeight: number): number {
  return Math.max(1, Math.floor((element?.clientHeight ?? 0) / rowHeight) - 2);
}
