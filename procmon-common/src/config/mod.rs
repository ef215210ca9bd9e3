//! Layered configuration of the agent and the server: command-line flags, then `PROCMON_…` environment variables, then a
//! YAML file, then defaults, key by key. Here are the layers and the types of values; which keys exist, their defaults
//! and their ranges belong to each program.

mod layers;
mod quantity;
mod setting;
mod value;

pub use layers::{ConfigError, KeySet, Layers, edit_distance};
pub use quantity::{MAX_DURATION, parse_byte_size, parse_duration};
pub use setting::{ByteSize, Labels, Secret, Setting};
pub use value::Value;
