/** Ways from a tab to the hub: a SharedWorker, else an elected tab reached by BroadcastChannel. */
import { type Client, Hub } from "./hub.ts";
import type { FromHub, ToHub } from "./protocol.ts";

export type Link = { send: (message: ToHub) => void };

/** `onRestart` is called when another hub took over and must be told again what this tab wants. */
export function openLink(onMessage: Client, onRestart: () => void): Link {
  if (typeof SharedWorker !== "undefined") return workerLink(onMessage, onRestart);
  if (typeof BroadcastChannel !== "undefined" && navigator.locks) {
    return channelLink(onMessage, onRestart);
  }
  const hub = new Hub();
  return { send: (message) => hub.receive(onMessage, message) };
}

function workerLink(onMessage: Client, onRestart: () => void): Link {
  const worker = new SharedWorker(new URL("./live.worker.ts", import.meta.url), {
    type: "module",
    name: "procmon-live",
  });
  let own: Hub | null = null;
  worker.port.onmessage = ({ data }: MessageEvent<FromHub>) => onMessage(data);
  // Its script could not be loaded: a stream of this tab's own is better than none.
  worker.onerror = () => {
    own ??= new Hub();
    onRestart();
  };
  return {
    send(message) {
      if (own) own.receive(onMessage, message);
      else worker.port.postMessage(message);
    },
  };
}

type Envelope =
  | { to: "hub"; from: string; message: ToHub }
  | { to: string; message: FromHub }
  | { to: "everyone"; restart: true };

/** The tab that holds the lock runs the hub; when it closes, the next one in line takes over. */
export function channelLink(onMessage: Client, onRestart: () => void): Link {
  const self = crypto.randomUUID();
  const channel = new BroadcastChannel("procmon-live");
  const remotes = new Map<string, Client>();
  let hub: Hub | null = null;

  const remote = (id: string): Client => {
    const known = remotes.get(id);
    if (known) return known;
    const client: Client = (message) => channel.postMessage({ to: id, message });
    remotes.set(id, client);
    return client;
  };
  channel.onmessage = ({ data }: MessageEvent<Envelope>) => {
    if ("restart" in data) onRestart();
    else if (data.to === self) onMessage(data.message as FromHub);
    else if (data.to === "hub" && hub)
      hub.receive(remote((data as { from: string }).from), data.message as ToHub);
  };
  // Never resolves: the lock is held until the tab is gone.
  void navigator.locks.request("procmon-live", () => {
    hub = new Hub();
    channel.postMessage({ to: "everyone", restart: true });
    onRestart();
    return new Promise<void>(() => undefined);
  });
  return {
    send(message) {
      if (hub) hub.receive(onMessage, message);
      else channel.postMessage({ to: "hub", from: self, message });
    },
  };
}
