import { useEffect, useRef, useState } from "react";

const SETTLE_MS = 1000;

/**
 * Speaks `text` to screen readers after `when` changed: what a person did deserves an answer, and
 * figures that change by themselves every second do not.
 */
export function Announcer({ text, when }: { text: string; when: string }) {
  const [spoken, setSpoken] = useState("");
  const latest = useRef(text);
  latest.current = text;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the reason to speak, not what is spoken
  useEffect(() => {
    const timer = setTimeout(() => setSpoken(latest.current), SETTLE_MS);
    return () => clearTimeout(timer);
  }, [when]);
  return (
    <div role="status" className="visually-hidden">
      {spoken}
    </div>
  );
}
