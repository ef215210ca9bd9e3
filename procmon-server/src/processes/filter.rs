//! Which processes a request is about.

use serde::Deserialize;
use utoipa::IntoParams;

use crate::batch::Life;
use crate::live::ProcessView;

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
    /// One letter: R S D Z T I.
    pub status: Option<String>,
    /// More CPU than this, in percent of one core.
    pub cpu_gt: Option<f64>,
    /// More memory than this, in percent of the host's.
    pub mem_gt: Option<f64>,
    /// A port it listens on.
    pub port: Option<u16>,
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
    /// A field, with a minus for descending. Unknown values come last either way.
    #[param(default = "-cpu_percent")]
    pub sort: Option<String>,
    /// 1 to 10 000.
    #[param(default = 100)]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// Whether a process is asked for. Comparisons with something unknown do not hold.
pub(super) fn matches(parameters: &Parameters, view: &ProcessView<'_>) -> bool {
    let life = &*view.process.life;
    let is = |wanted: Option<u32>, value: Option<u32>| wanted.is_none() || wanted == value;
    let above = |bound: Option<f64>, value: &dyn Fn() -> Option<f64>| {
        bound.is_none_or(|bound| value().is_some_and(|value| value > bound))
    };
    is(parameters.pid, Some(view.id.pid))
        && is(parameters.ppid, view.ppid())
        && above(parameters.cpu_gt, &|| view.cpu_percent())
        && above(parameters.mem_gt, &|| view.memory_percent())
        && parameters
            .rss_gt
            .is_none_or(|bound| view.rss_bytes().is_some_and(|rss| rss > bound))
        && above(parameters.io_gt, &|| io_per_s(view))
        && given(parameters.status.as_ref(), |wanted| {
            let letter = view.status();
            letter
                .is_some_and(|letter| wanted.eq_ignore_ascii_case(letter.encode_utf8(&mut [0; 4])))
        })
        && parameters
            .port
            .is_none_or(|port| view.ports().is_some_and(|ports| ports.contains(&port)))
        && life_matches(
            &LifeFilter {
                name: parameters.name.as_deref(),
                user: parameters.user.as_deref(),
                container: parameters.container.as_deref(),
            },
            Some(life),
        )
        && given(parameters.cgroup.as_ref(), |wanted| {
            life.cgroup
                .as_deref()
                .is_some_and(|cgroup| cgroup.contains(wanted))
        })
        && given(parameters.cmdline.as_ref(), |wanted| {
            life.image
                .as_ref()
                .is_some_and(|image| contains_ignoring_case(&image.args, wanted))
        })
}

pub(super) fn io_per_s(view: &ProcessView<'_>) -> Option<f64> {
    match (view.read_bytes_per_s(), view.write_bytes_per_s()) {
        (None, None) => None,
        (read, write) => Some(read.unwrap_or(0.0) + write.unwrap_or(0.0)),
    }
}

fn given(wanted: Option<&String>, holds: impl FnOnce(&str) -> bool) -> bool {
    wanted.is_none_or(|wanted| holds(wanted))
}

/// What lists of processes and of events can both ask of a life.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LifeFilter<'a> {
    pub(crate) name: Option<&'a str>,
    pub(crate) user: Option<&'a str>,
    pub(crate) container: Option<&'a str>,
}

pub(crate) fn life_matches(filter: &LifeFilter<'_>, life: Option<&Life>) -> bool {
    let name_matches = filter.name.is_none_or(|wanted| {
        life.and_then(Life::name)
            .is_some_and(|name| contains_ignoring_case(name, wanted))
    });
    let user_matches = filter
        .user
        .is_none_or(|wanted| life.is_some_and(|life| is_user(life, wanted)));
    let container_matches = filter.container.is_none_or(|wanted| {
        life.and_then(|life| life.container_id.as_deref())
            .is_some_and(|id| id.starts_with(wanted))
    });
    name_matches && user_matches && container_matches
}

fn is_user(life: &Life, wanted: &str) -> bool {
    let uid = life.credentials.as_ref().and_then(|known| known.uid);
    life.username() == Some(wanted) || uid.is_some() && wanted.parse::<u32>().ok() == uid
}

/// Substring search over bytes in which NUL stands for a space, as in a command line.
fn contains_ignoring_case(bytes: &[u8], wanted: &str) -> bool {
    if wanted.is_ascii() {
        let same = |(byte, letter): (&u8, &u8)| {
            let byte = if *byte == 0 { b' ' } else { *byte };
            byte.eq_ignore_ascii_case(letter)
        };
        return bytes
            .windows(wanted.len().max(1))
            .any(|window| window.iter().zip(wanted.as_bytes()).all(same));
    }
    let text = String::from_utf8_lossy(bytes).replace('\0', " ");
    text.to_lowercase().contains(&wanted.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn substrings_in_any_case() {
        assert!(contains_ignoring_case(
            b"/usr/bin/Demo\0--Flag\0",
            "demo --flag"
        ));
        assert!(contains_ignoring_case("ÄPFEL".as_bytes(), "äpfel"));
        assert!(!contains_ignoring_case(b"ab", "abc"));
        assert!(!contains_ignoring_case(b"", "a"));
    }
}
