import { useSyncExternalStore } from "react";

const COARSE = "(pointer: coarse)";

/** The height of a row in px, as `--row` in tokens.css: taller where fingers point. */
export function useRowHeight(): number {
  const coarse = useSyncExternalStore(
    (watcher) => {
      const query = window.matchMedia?.(COARSE);
      query?.addEventListener("change", watcher);
      return () => query?.removeEventListener("change", watcher);
    },
    () => window.matchMedia?.(COARSE).matches ?? false,
  );
  return coarse ? 36 : 28;
}

export function useNarrow(): boolean {
  return useSyncExternalStore(
    (watcher) => {
      const query = window.matchMedia?.("(max-width: 640px)");
      query?.addEventListener("change", watcher);
      return () => query?.removeEventListener("change", watcher);
    },
    () => window.matchMedia?.("(max-width: 640px)").matches ?? false,
  );
}
