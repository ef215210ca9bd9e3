import { FirstAgent } from "../features/agents/FirstAgent.tsx";
import { EventsPage } from "../features/events/EventsPage.tsx";
import { events } from "./routes.tsx";

export function EventsRoute() {
  const query = events.useSearch();
  const navigate = events.useNavigate();
  return (
    <EventsPage
      query={query}
      onQuery={(search) => void navigate({ search, replace: true })}
      firstRun={<FirstAgent />}
    />
  );
}
