//! Every kind of rule, by what real processes do: each alert is seen to fire and to be resolved in the API, and told of in signed
//! messages. What else runs on the machine has other names than what these tests start.

mod happenings;
mod hosts;
mod memory_cgroup;
mod processes;
mod program;
mod watch;
