import { AgentsPage } from "../features/agents/AgentsPage.tsx";

export function AgentsRoute() {
  return <AgentsPage />;
}
