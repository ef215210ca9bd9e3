/** Single-key commands, ignored with modifiers, in inputs and while a dialog is open. */
import { useEffect, useRef } from "react";
import { getPreferences } from "./preferences.ts";

export type KeyMap = Record<string, (event: KeyboardEvent) => void>;

export function useKeys(keys: KeyMap): void {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (!isCommand(event)) return;
      const action = latest.current[event.key];
      if (!action) return;
      event.preventDefault();
      action(event);
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);
}

export function isCommand(event: KeyboardEvent): boolean {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return false;
  if (!getPreferences().letterKeys && event.key.length === 1) return false;
  const target = event.target;
  if (!(target instanceof Element)) return true;
  const editable = target.closest("input, textarea, select, [contenteditable], dialog[open]");
  return editable === null || (editable as HTMLInputElement).type === "checkbox";
}

/**
 * A prefix key, and letters that follow it within `ms`. The second letter is taken from every
 * other command: `g e` goes somewhere even where `e` alone does something else.
 */
export function useKeySequence(prefix: string, second: Record<string, () => void>, ms: number) {
  const latest = useRef(second);
  latest.current = second;
  useEffect(() => {
    let armed = Number.NEGATIVE_INFINITY;
    const onKey = (event: KeyboardEvent) => {
      if (!isCommand(event)) return;
      const action = event.timeStamp - armed <= ms ? latest.current[event.key] : undefined;
      armed = event.key === prefix ? event.timeStamp : Number.NEGATIVE_INFINITY;
      if (!action) return;
      event.preventDefault();
      action();
    };
    document.addEventListener("keydown", onKey, true);
    return () => document.removeEventListener("keydown", onKey, true);
  }, [prefix, ms]);
}
