/** Speaks a changing text to screen readers, at most once every two seconds. */
import { useEffect, useRef, useState } from "react";

const PAUSE_MS = 2000;

export function Announcer({ text }: { text: string }) {
  const [spoken, setSpoken] = useState("");
  const last = useRef(0);
  useEffect(() => {
    const wait = Math.max(0, last.current + PAUSE_MS - Date.now());
    const timer = setTimeout(() => {
      last.current = Date.now();
      setSpoken(text);
    }, wait);
    return () => clearTimeout(timer);
  }, [text]);
  return (
    <div role="status" className="visually-hidden">
      {spoken}
    </div>
  );
}
