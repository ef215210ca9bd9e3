/** Requests to the server, and what went wrong in words that a person can act on. */
import type { AgentList, EventPage } from "./schema.ts";

export class RequestError extends Error {
  /** HTTP status; null when no answer came at all. */
  readonly status: number | null;

  constructor(status: number | null, message: string) {
    super(message);
    this.status = status;
  }
}

export type EventQuery = {
  type?: string;
  name?: string;
  agent_id?: string;
  user?: string;
  cursor?: string;
  until?: string;
  limit?: string;
};

export function fetchAgents(signal?: AbortSignal): Promise<AgentList> {
  return getJson("/api/v1/agents", {}, signal);
}

export function fetchEvents(query: EventQuery, signal?: AbortSignal): Promise<EventPage> {
  return getJson("/api/v1/events", query, signal);
}

async function getJson<T>(path: string, query: EventQuery, signal?: AbortSignal): Promise<T> {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value) search.set(name, value);
  let response: Response;
  try {
    response = await fetch(search.size > 0 ? `${path}?${search}` : path, {
      signal: signal ?? null,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new RequestError(null, "");
  }
  if (!response.ok) {
    const problem: { title?: string; detail?: string } = await response.json().catch(() => ({}));
    throw new RequestError(response.status, problem.detail ?? problem.title ?? response.statusText);
  }
  return (await response.json()) as T;
}
