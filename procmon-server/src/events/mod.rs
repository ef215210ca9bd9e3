//! What happened: pages of past events and the stream of new ones, both read from the store in order of arrival. An event
//! is never served from anything but the log, so that a client sees each one once, however it came.

mod fields;
mod filter;
mod recent;
pub mod routes;
mod stream;
mod view;

pub(crate) use fields::EventRow;
pub use filter::EventFilter;
pub use recent::RecentEvents;
pub use view::EventBody;
