/** Requests to the server, and what went wrong in words that a person can act on. */
import createClient from "openapi-fetch";
import type { components, operations, paths } from "./schema.gen.ts";

type Schemas = components["schemas"];
export type Agent = Schemas["Agent"];
export type AgentList = Schemas["AgentList"];
export type LiveBody = Schemas["LiveBody"];
/** The fields that every event has, and those that some kinds have. */
export type ProcessEvent = Partial<Schemas["Event"]> &
  Pick<Schemas["Event"], "cursor" | "type" | "ts" | "received_at" | "agent_id" | "observed">;
export type EventPage = { events: ProcessEvent[]; next_cursor?: string | null };
export type EventParameters = NonNullable<operations["list_events"]["parameters"]["query"]>;

export class RequestError extends Error {
  /** HTTP status; null when no answer came at all. */
  readonly status: number | null;

  constructor(status: number | null, message: string) {
    super(message);
    this.status = status;
  }
}

const client = createClient<paths>({
  baseUrl: window.location.origin,
  fetch: (request) => globalThis.fetch(request),
});

export function fetchAgents(signal?: AbortSignal): Promise<AgentList> {
  return answer(client.GET("/api/v1/agents", { signal }));
}

export function fetchEvents(query: EventParameters, signal?: AbortSignal): Promise<EventPage> {
  return answer(client.GET("/api/v1/events", { params: { query }, signal }));
}

type Answer<T> = { data?: T; error?: unknown; response: Response };

async function answer<T>(asked: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await asked.catch((reason: unknown) => {
    if (reason instanceof DOMException && reason.name === "AbortError") throw reason;
    throw new RequestError(null, "");
  });
  if (data !== undefined) return data;
  const problem = (error ?? {}) as { title?: string; detail?: string };
  throw new RequestError(response.status, problem.detail ?? problem.title ?? response.statusText);
}
