//! Which processes a request is about.

use serde::Deserialize;
use utoipa::IntoParams;

use crate::error::Problem;
use crate::live::ProcessView;
use crate::page;
use crate::query::{Builder, Condition, compile};

/// Parameters of `GET /processes`. All that are given must hold.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Parameters {
    /// One host; all of them when left out.
    pub agent_id: Option<String>,
    /// Part of the name, in any case.
    pub name: Option<String>,
    pub pid: Option<u32>,
    /// One life: a `process_id` of `agent_id`, as events and processes have it.
    pub process_id: Option<String>,
    /// One letter: R S D Z T I.
    pub status: Option<String>,
    /// More CPU than this, in percent of one core.
    pub cpu_gt: Option<f64>,
    /// More memory than this, in percent of the host's.
    pub mem_gt: Option<f64>,
    /// A port it listens on, at most 65535.
    #[param(maximum = 65535)]
    pub port: Option<u32>,
    /// User name or uid.
    pub user: Option<String>,
    /// Beginning of the container's id.
    pub container: Option<String>,
    /// Part of the cgroup's path.
    pub cgroup: Option<String>,
    /// Part of the command line, in any case.
    pub cmdline: Option<String>,
    pub ppid: Option<u32>,
    /// More resident memory than this, in bytes.
    pub rss_gt: Option<u64>,
    /// More storage I/O than this, read and written, in bytes per second.
    pub io_gt: Option<f64>,
    /// An instant of the past: RFC 3339, or Unix seconds. Now when left out.
    pub at: Option<String>,
    /// An expression in CEL over the fields of a process: `cpu_percent > 50 && name == "java"`. A comparison with what is not
    /// known does not hold.
    pub q: Option<String>,
    /// Fields separated by commas, each with a minus for descending; at most 4. Unknown values come last either way.
    #[param(default = "-cpu_percent")]
    pub sort: Option<String>,
    /// One row for all processes with the same name, user, container, cgroup or `agent_id`; several separated by commas. The
    /// answer then has `groups`.
    pub group_by: Option<String>,
    /// 1 to 10 000.
    #[param(default = 100)]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Everything at once, however much it is: csv, json, or ndjson (a JSON object per line). `limit` then has no maximum.
    pub format: Option<String>,
}

impl Parameters {
    /// What must hold of a process. Comparisons with something unknown do not.
    pub(super) fn condition(&self) -> Result<Condition, Problem> {
        let expression = match &self.q {
            Some(source) => Some(compile::<ProcessView<'_>>(source).map_err(Problem::query)?),
            None => None,
        };
        let status = match self.status.as_deref() {
            Some(status) => Some(letter(status)?),
            None => None,
        };
        if let Some(port) = self.port.filter(|port| *port > u32::from(u16::MAX)) {
            return Err(Problem::bad_request(format!(
                "port={port} is not valid; it must be 0 to {}",
                u16::MAX
            )));
        }
        let process_id = self.process_id.as_deref();
        let process_id = process_id.map(page::process_id).transpose()?;
        let id_text = process_id.map(|id| id.to_string());
        Ok(Builder::<ProcessView<'_>>::default()
            .equals("pid", self.pid)
            .equals("pid", process_id.map(|id| id.pid))
            .is("process_id", id_text.as_deref())
            .equals("ppid", self.ppid)
            .above("cpu_percent", finite("cpu_gt", self.cpu_gt)?)
            .above("memory_percent", finite("mem_gt", self.mem_gt)?)
            .above_int("memory_rss", self.rss_gt)
            .above("io_per_s", finite("io_gt", self.io_gt)?)
            .is("status", status.as_deref())
            .has_number("ports", self.port)
            .contains_folded("name", self.name.as_deref())
            .user(self.user.as_deref())
            .starts_with("container_id", self.container.as_deref())
            .contains("cgroup", self.cgroup.as_deref())
            .contains_folded("cmdline", self.cmdline.as_deref())
            .also(expression)
            .build()
            .remembering::<ProcessView<'_>>())
    }
}

/// A bound that something can be above.
fn finite(name: &str, bound: Option<f64>) -> Result<Option<f64>, Problem> {
    match bound {
        Some(bound) if !bound.is_finite() => Err(Problem::bad_request(format!(
            "{name}={bound} is not valid; it must be a finite number"
        ))),
        bound => Ok(bound),
    }
}

fn letter(status: &str) -> Result<String, Problem> {
    let mut letters = status.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) if letter.is_ascii_alphabetic() => {
            Ok(letter.to_ascii_uppercase().to_string())
        }
        _ => Err(Problem::bad_request(format!(
            "status={status} is not valid; it must be one letter: R, S, D, Z, T or I"
        ))),
    }
}
