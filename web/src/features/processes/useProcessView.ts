import { useEffect, useState, useSyncExternalStore } from "react";
import { liveTab } from "../../api/live.ts";
import type { Filter } from "./filter.ts";
import { ProcessView, type Sort, type ViewState } from "./view.ts";

/** The table's view of the live processes, for as long as the component is mounted. */
export function useProcessView(
  filter: Filter,
  sort: Sort,
): { view: ProcessView; state: ViewState } {
  const [view] = useState(() => new ProcessView(liveTab.processes, keepGone, filter, sort));
  useEffect(() => {
    view.start();
    let version = liveTab.getState().version;
    const unwatch = liveTab.watch(() => {
      if (liveTab.getState().version === version) return;
      version = liveTab.getState().version;
      view.rowsChanged();
    });
    const unview = liveTab.viewProcesses();
    return () => {
      unview();
      unwatch();
      view.close();
    };
  }, [view]);
  useEffect(() => view.setQuery(filter, sort), [view, filter, sort]);
  return { view, state: useSyncExternalStore(view.watch, view.getState) };
}

function keepGone(keep: boolean): void {
  liveTab.keepGone = keep;
}
