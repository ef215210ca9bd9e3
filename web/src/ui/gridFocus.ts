import { useLayoutEffect, useRef } from "react";
import type { ActiveCell } from "./gridKeys.ts";

/** After a key moved the active cell, focus its element; keep the focus when that row goes away. */
export function useFocusFollowsActive(
  scroller: React.RefObject<HTMLDivElement | null>,
  wantsFocus: React.RefObject<boolean>,
  activeIndex: number,
  active: ActiveCell | null,
) {
  const hadFocus = useRef(false);
  useLayoutEffect(() => {
    const grid = scroller.current;
    if (!grid) return;
    if (wantsFocus.current) {
      const selector =
        activeIndex >= 0 ? "[data-active]" : `[data-header="${active?.column ?? 0}"]`;
      const target = grid.querySelector<HTMLElement>(selector);
      if (target) {
        target.focus({ preventScroll: activeIndex >= 0 });
        wantsFocus.current = false;
      }
    } else if (hadFocus.current && document.activeElement === document.body) {
      grid.focus({ preventScroll: true });
    }
    hadFocus.current = grid.contains(document.activeElement);
  });
}
