//! Event segments.
