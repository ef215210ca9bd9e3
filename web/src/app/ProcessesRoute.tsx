import { Trans } from "@lingui/react/macro";
import { Link } from "@tanstack/react-router";
import { FirstAgent } from "../features/agents/FirstAgent.tsx";
import { ProcessesPage } from "../features/processes/ProcessesPage.tsx";
import { processes } from "./routes.tsx";

export function ProcessesRoute() {
  const query = processes.useSearch();
  const navigate = processes.useNavigate();
  return (
    <ProcessesPage
      query={query}
      onQuery={(search) => void navigate({ search, replace: true })}
      firstRun={<FirstAgent />}
      eventsLink={(host, name) => (
        <Link to="/events" search={{ host, name }}>
          <Trans>
            Events of {name} on {host}
          </Trans>
        </Link>
      )}
    />
  );
}
