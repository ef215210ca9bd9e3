/** Starts Debian's Chromium, or the one named by PROCMON_CHROMIUM. */
import { chromium } from "playwright-core";

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export function startChromium(more = []) {
  const executablePath = process.env.PROCMON_CHROMIUM || "/usr/bin/chromium";
  return chromium.launch({ executablePath, args: [...FLAGS, ...more] });
}

/** The address of the server under test. */
export function serverUrl() {
  const url = process.env.PROCMON_URL;
  if (!url) {
    console.error(
      "PROCMON_URL is not set. Start a server and an agent (or `npm run mock`) and run\n" +
        "  PROCMON_URL=http://127.0.0.1:8080 npm run test:browser",
    );
    process.exit(2);
  }
  return url.replace(/\/$/, "");
}
