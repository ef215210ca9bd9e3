import { useEffect, useRef } from "react";
import { useKeys } from "../../ui/keys.ts";
import type { Tail } from "./tail.ts";

/** Rows left below the screen when the next page is asked for. */
const AHEAD_ROWS = 40;
/** A touchpad at rest still reports a pixel or two. */
const AT_TOP_PX = 4;

/**
 * When the tail follows and when it waits: scrolling away pauses and coming back resumes, but a
 * pause that was asked for, by key, button or a selected row, stays until it is taken back.
 */
export function useFollowing(tail: Tail, content: React.RefObject<HTMLElement | null>) {
  const asked = useRef(false);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another tail starts by following
  useEffect(() => {
    asked.current = false;
  }, [tail]);
  const pause = () => {
    asked.current = true;
    tail.pause(true);
  };
  const toggle = () => {
    if (!tail.getState().paused) {
      pause();
      return;
    }
    asked.current = false;
    content.current?.querySelector('[role="grid"]')?.scrollTo({ top: 0 });
    tail.pause(false);
  };
  const onScroll = ({ top, rowsBelow }: { top: number; rowsBelow: number }) => {
    if (top > AT_TOP_PX) tail.pause(true);
    else if (!asked.current) tail.pause(false);
    if (rowsBelow < AHEAD_ROWS) void tail.more();
  };
  useKeys({ l: toggle, L: toggle });
  return { pause, toggle, onScroll };
}
