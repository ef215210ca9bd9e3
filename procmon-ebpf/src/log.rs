//! Lines for whoever debugs the programs. Without the feature `log` nothing is left of them.

/// `log!(context, "format", arguments…)`, at the level debug.
macro_rules! log {
    ($context:expr, $($line:tt)*) => {
        #[cfg(feature = "log")]
        aya_log_ebpf::debug!($context, $($line)*);
    };
}
pub(crate) use log;
