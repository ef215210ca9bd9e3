//! Agents, one per host: who reports, how well, and since when. Their processes live elsewhere.

mod interval;
pub mod routes;
mod view;

pub use interval::{BlockLatencyBody, ShortLivedListBody};
pub use view::{AgentBody, AgentList, list};

use std::sync::Arc;

use crate::app::App;
use crate::error::Problem;
use crate::live::HostEntry;

/// The host that a request is about; it may be left out when there is only one.
pub(crate) fn find(app: &App, agent_id: Option<&str>) -> Result<Arc<HostEntry>, Problem> {
    if let Some(agent_id) = agent_id {
        return app.live.get(agent_id).ok_or_else(|| unknown(agent_id));
    }
    let mut hosts = app.live.hosts(None);
    match (hosts.pop(), hosts.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(_), false) => Err(Problem::bad_request(
            "agent_id is needed: there is more than one agent; GET /api/v1/agents lists them",
        )),
        (None, _) => Err(Problem::not_found(
            "no agent has reported yet; start procmon-agent with --server-url of this server",
        )),
    }
}

fn unknown(agent_id: &str) -> Problem {
    Problem::not_found(format!(
        "no agent {agent_id} has reported; GET /api/v1/agents lists those that have"
    ))
}
