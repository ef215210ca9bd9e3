/** The hub as a SharedWorker: one per browser, alive as long as any tab of procmon is. */
import { type Client, Hub } from "./hub.ts";
import type { ToHub } from "./protocol.ts";

const hub = new Hub();

(self as unknown as { onconnect: (event: MessageEvent) => void }).onconnect = (event) => {
  const port = event.ports[0];
  if (!port) return;
  const client: Client = (message) => port.postMessage(message);
  port.onmessage = ({ data }: MessageEvent<ToHub>) => hub.receive(client, data);
};
