import { i18n } from "@lingui/core";
import { I18nProvider } from "@lingui/react";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen, within } from "@testing-library/react";
import { beforeAll, describe, expect, it, vi } from "vitest";
import type { Agent } from "../../api/client.ts";
import { messages } from "../../locales/en.po";
import { AgentsPage } from "./AgentsPage.tsx";

beforeAll(() => i18n.loadAndActivate({ locale: "en", messages }));

const AGENT: Agent = {
  agent_id: "web-1",
  hostname: "web-1.example.net",
  boot_id: null,
  version: "0.1.0",
  kernel: "6.12.0",
  probe: "procnet",
  probe_reason: "no BTF",
  last_seen: new Date().toISOString(),
  lag_ms: 12,
  clock_offset_ms: 1,
  skewed: false,
  first_seen: new Date().toISOString(),
  events: {},
  labels: {},
  coverage: { gaps: [], windows: [] },
  interval_ms: 5000,
  effective_interval_ms: 5000,
  degraded: [],
  redactions: 2,
  drops: { exec: 3, exit: 0 },
  spool_bytes: null,
  processes: 211,
  status: "live",
};

function show(answer: () => Response) {
  vi.stubGlobal("fetch", () => Promise.resolve(answer()));
  const client = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  render(
    <I18nProvider i18n={i18n}>
      <QueryClientProvider client={client}>
        <AgentsPage />
      </QueryClientProvider>
    </I18nProvider>,
  );
}

describe("agents page", () => {
  it("says how to start the first agent", async () => {
    show(() => Response.json({ agents: [] }));
    await screen.findByRole("heading", { name: /Waiting for the first agent/ });
    screen.getByText(`procmon-agent --server-url ${window.location.origin}`);
  });

  it("shows why a probe is below eBPF, what was dropped, and unknown as ?", async () => {
    show(() =>
      Response.json({ agents: [AGENT, { ...AGENT, agent_id: "web-0", status: "stale" }] }),
    );
    const rows = (await screen.findAllByRole("row")).slice(1);
    expect(rows.map((row) => within(row).getByRole("rowheader").textContent)).toEqual([
      "web-0web-1.example.net",
      "web-1web-1.example.net",
    ]);
    const live = rows[1] as HTMLElement;
    for (const text of ["no BTF", /exec 3/, "211", "12 ms", "?", "+1 ms", "5 s"])
      within(live).getByText(text);
    expect(within(live).queryByText(/exit/)).toBeNull();
    screen.getByText(/1 of 2 agents report · 2 below eBPF · 2 with drops/);
  });

  it("says what went wrong", async () => {
    const detail = "the store is read-only";
    show(() => Response.json({ detail }, { status: 503 }));
    await screen.findByText(`HTTP 503: ${detail}`);
  });
});
