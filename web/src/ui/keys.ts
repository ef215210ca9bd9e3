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
