type Watch = (watcher: () => void) => () => void;

/** Passes changes on while the tab is visible; what changed meanwhile shows when it is again. */
export function whileVisible(watch: Watch): Watch {
  return (watcher) => {
    const pass = () => {
      if (document.visibilityState !== "hidden") watcher();
    };
    const unwatch = watch(pass);
    document.addEventListener("visibilitychange", pass);
    return () => {
      unwatch();
      document.removeEventListener("visibilitychange", pass);
    };
  };
}
