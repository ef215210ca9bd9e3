import { memo, type ReactNode } from "react";
import styles from "./DataGrid.module.css";
import type { ActiveCell, GridColumn } from "./gridKeys.ts";

export type RowTone = "normal" | "dim" | "gone" | "gap";

type RowProps = {
  row: unknown;
  rowKey: string;
  index: number;
  top: number;
  revision: number;
  tone: RowTone;
  columns: readonly GridColumn[];
  cell: (row: unknown, column: string) => ReactNode;
  activeColumn: number;
  onActive: (cell: ActiveCell) => void;
  onOpen: ((key: string) => void) | undefined;
};

export const GridRow = memo(function GridRow(props: RowProps) {
  const { row, rowKey, index, columns, cell, activeColumn, tone } = props;
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the grid handles the keys of all its rows
    <div
      role="row"
      tabIndex={-1}
      className={styles.row}
      data-tone={tone}
      aria-rowindex={index + 2}
      aria-selected={activeColumn >= 0}
      style={{ transform: `translateY(${props.top}px)` }}
      onClick={(event) => {
        const target = (event.target as Element).closest("[data-column]");
        props.onActive({ key: rowKey, column: Number(target?.getAttribute("data-column") ?? 0) });
        // A finger has neither Enter nor a comfortable double click.
        if ((event.nativeEvent as PointerEvent).pointerType === "touch") props.onOpen?.(rowKey);
      }}
      onDoubleClick={() => props.onOpen?.(rowKey)}
    >
      {columns.map((column, i) => (
        <div
          key={column.id}
          role={i === 0 ? "rowheader" : "gridcell"}
          aria-colindex={i + 1}
          tabIndex={i === activeColumn ? 0 : -1}
          data-column={i}
          data-active={i === activeColumn || undefined}
          className={column.numeric ? `${styles.cell} ${styles.numeric}` : styles.cell}
        >
          {cell(row, column.id)}
        </div>
      ))}
    </div>
  );
});
