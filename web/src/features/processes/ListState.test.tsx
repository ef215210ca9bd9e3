import { i18n } from "@lingui/core";
import { I18nProvider } from "@lingui/react";
import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { ColumnStore } from "../../api/columnStore.ts";
import type { Connection } from "../../api/protocol.ts";
import { messages } from "../../locales/en.po";
import { FilterBox } from "./FilterBox.tsx";
import { parseFilter } from "./filter.ts";
import { ListState } from "./ListState.tsx";
import { ProcessView } from "./view.ts";

beforeAll(() => i18n.loadAndActivate({ locale: "en", messages }));

const OPEN: Connection = { state: "open", since: 0, cause: null };
const sort = { column: "pid", descending: false } as const;

function show(
  query: string,
  more: { live?: Connection; received?: boolean; rows?: number; hosts?: number },
) {
  const store = new ColumnStore();
  const ids = Array.from({ length: more.rows ?? 0 }, (_, i) => `${i}`);
  store.replace({ agent_id: ids.map(() => "h"), process_id: ids, username: ids.map(() => "root") });
  const filter = parseFilter(query);
  const onText = vi.fn();
  render(
    <I18nProvider i18n={i18n}>
      <ListState
        state={new ProcessView(store, () => undefined, filter, sort).getState()}
        filter={filter}
        live={more.live ?? OPEN}
        received={more.received ?? true}
        hosts={more.hosts ?? 1}
        firstRun={<p>start an agent</p>}
        onText={onText}
      />
    </I18nProvider>,
  );
  return onText;
}

describe("list state", () => {
  it("loads", () => {
    show("", { received: false });
    screen.getByRole("heading", { name: "Loading processes …" });
  });

  it("names the cause when nothing was ever received, and the next step", () => {
    show("", { received: false, live: { state: "lost", since: 0, cause: "HTTP 503: starting" } });
    screen.getByText("HTTP 503: starting");
    screen.getByText(/Check that procmon-server runs/);
  });

  it("shows the first run when there is no agent", () => {
    show("", { hosts: 0 });
    screen.getByText("start an agent");
  });

  it("tells agents without processes from no agents", () => {
    show("", {});
    screen.getByRole("heading", { name: "No processes" });
  });

  it("names the clause that removes everything, and removes it", async () => {
    const onText = show("user:root user:nobody", { rows: 3 });
    screen.getByText("user:nobody", { selector: "p code" });
    await userEvent.click(screen.getByRole("button", { name: "Remove user:nobody" }));
    expect(onText).toHaveBeenCalledWith("user:root");
  });
});

describe("filter box", () => {
  it("names a bad clause", () => {
    render(
      <I18nProvider i18n={i18n}>
        <FilterBox
          text="usr:x"
          filter={parseFilter("usr:x")}
          onText={() => undefined}
          store={new ColumnStore()}
        />
      </I18nProvider>,
    );
    expect(screen.getByRole("combobox")).toHaveAccessibleDescription(
      /usr:x is left out: there is no field “usr”; did you mean user\?/,
    );
  });
});
