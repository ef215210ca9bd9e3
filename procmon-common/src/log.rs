//! The log of a daemon: lines on stderr, as `PROCMON_LOG` asks for.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

const VARIABLE: &str = "PROCMON_LOG";

/// Starts the log of `program`, with the filter `default` unless another is asked for.
pub fn start_log(program: &str, default: &str) {
    let filter = EnvFilter::try_from_env(VARIABLE);
    let refused = filter.as_ref().err().map(ToString::to_string);
    let filter = filter.unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(stderr().is_terminal())
        .with_writer(stderr)
        // Telling of a line that cannot be written goes to the same place, and panics when its reader is gone.
        .log_internal_errors(false)
        .init();
    if let (Some(reason), Some(_)) = (refused, std::env::var_os(VARIABLE)) {
        tracing::warn!(
            "{VARIABLE} is not understood ({reason}), so that {default} applies: write it like `debug` or `{program}=debug,info`"
        );
    }
}
