//! Why something could not be stored or read, in the words of neither engine.

/// Why something could not be stored or read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the disk is full")]
    Full,
    #[error("the store does not keep up")]
    Busy,
    #[error("the store is shutting down")]
    Closed,
    #[error("the database cannot be reached: {0}")]
    Unavailable(String),
    /// This one must stop: what it knows of the database is no longer true.
    #[error("another procmon-server has taken the database")]
    Taken,
    #[error("slice {0} of the log is no longer kept")]
    Gone(u32),
    /// Of which there can be one only.
    #[error("it exists already")]
    Exists,
    #[error("the store failed: {0}")]
    Failed(String),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        const SQLITE_FULL: &str = "13";
        // Others write, or wrote since this one began to read.
        const SQLITE_BUSY: &str = "5";
        const SQLITE_BUSY_SNAPSHOT: &str = "517";
        const POSTGRES_FULL: &str = "53100";
        let away = matches!(
            &error,
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::Tls(_)
        );
        let of_database = error.as_database_error();
        if of_database.is_some_and(sqlx::error::DatabaseError::is_unique_violation) {
            return Self::Exists;
        }
        let code = of_database.and_then(sqlx::error::DatabaseError::code);
        match code.as_deref() {
            Some(SQLITE_FULL | POSTGRES_FULL) => Self::Full,
            Some(SQLITE_BUSY | SQLITE_BUSY_SNAPSHOT) => Self::Busy,
            // Connections that are refused or cut: starting, stopping, too many.
            Some(code)
                if code.len() == 5
                    && (code.starts_with("08")
                        || code.starts_with("57P")
                        || code.starts_with("53")) =>
            {
                Self::Unavailable(error.to_string())
            }
            _ if away => Self::Unavailable(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}
