import styles from "./DataGrid.module.css";
import type { GridColumn } from "./gridKeys.ts";

type HeaderProps = {
  column: GridColumn;
  index: number;
  sort: { column: string; descending: boolean } | undefined;
  tabbable: boolean;
  onFocus: () => void;
  onSort: ((column: string) => void) | undefined;
};

export function HeaderCell({ column, index, sort, tabbable, onFocus, onSort }: HeaderProps) {
  const sorted = sort?.column === column.id;
  const direction = sort?.descending ? "descending" : "ascending";
  const className = column.numeric ? `${styles.cell} ${styles.numeric}` : styles.cell;
  const common = { tabIndex: tabbable ? 0 : -1, onFocus, title: column.title };
  return (
    <div
      role="columnheader"
      className={className}
      aria-colindex={index + 1}
      aria-sort={sorted ? direction : undefined}
    >
      {onSort && column.sortable !== false ? (
        <button type="button" {...common} data-header={index} onClick={() => onSort(column.id)}>
          {column.label}
          {sorted && (
            <span aria-hidden="true" className={styles.arrow}>
              {sort.descending ? "↓" : "↑"}
            </span>
          )}
        </button>
      ) : (
        <span {...common} data-header={index}>
          {column.label}
        </span>
      )}
    </div>
  );
}
