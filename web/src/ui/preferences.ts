/** What a person set once for this browser. */
import { useSyncExternalStore } from "react";

export type Preferences = {
  theme: "system" | "dark" | "light";
  language: "en" | "zh-CN";
  utc: boolean;
  letterKeys: boolean;
};

const KEY = "procmon.preferences";
const watchers = new Set<() => void>();
let current = load();

function load(): Preferences {
  const standard: Preferences = {
    theme: "system",
    language: navigator.language.toLowerCase().startsWith("zh") ? "zh-CN" : "en",
    utc: true,
    letterKeys: true,
  };
  try {
    return { ...standard, ...JSON.parse(localStorage.getItem(KEY) ?? "{}") };
  } catch {
    // Storage is off or holds something foreign: this tab still works, and forgets.
    return standard;
  }
}

export function getPreferences(): Preferences {
  return current;
}

export function setPreferences(change: Partial<Preferences>): void {
  current = { ...current, ...change };
  try {
    localStorage.setItem(KEY, JSON.stringify(current));
  } catch {
    // As above: the choice then lasts as long as the tab.
  }
  for (const watcher of watchers) watcher();
}

export function watchPreferences(watcher: () => void): () => void {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

export function usePreferences(): Preferences {
  return useSyncExternalStore(watchPreferences, getPreferences);
}
