import { useEffect, useState } from "react";

const URL_DELAY_MS = 250;

/** What is typed filters at once; the address follows when the typing pauses. */
export function useFilterText(fromUrl: string, toUrl: (text: string | undefined) => void) {
  const [text, setText] = useState(fromUrl);
  const [written, setWritten] = useState(fromUrl);
  // The address changed by itself: back, forward, or a link.
  if (fromUrl !== written) {
    setWritten(fromUrl);
    setText(fromUrl);
  }
  useEffect(() => {
    if (text === written) return;
    const timer = setTimeout(() => {
      setWritten(text);
      toUrl(text === "" ? undefined : text);
    }, URL_DELAY_MS);
    return () => clearTimeout(timer);
  });
  return [text, setText] as const;
}
