//! Who is told, and how: channels, what is to be told to each of them, and the sending. A message is stored before it is sent,
//! with an id that stays the same over all attempts, so that a receiver is told at least once and can tell what it has seen.
//! No rule is evaluated here, and nothing but `send` opens a connection.

pub mod address_guard;
mod body;
pub mod channel;
mod directory;
mod key_file;
mod lane;
mod proof;
mod resend;
pub mod route;
pub mod routes;
mod schedule;
pub mod send;
mod sender;
pub mod sign;
mod stats;
mod subscription;

pub use directory::Directory;
pub use key_file::KeyFile;
pub use sender::run as run_sender;
pub use stats::DeliveryStats;
pub use subscription::run as run_subscriptions;
