//! HTTP.

/// Stub until the module is written.
#[derive(Debug)]
pub struct Error;
impl std::fmt::Display for Error { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("x") } }
impl std::error::Error for Error {}
impl Error { pub(crate) fn outcome(&self) -> crate::Error { crate::Error::unknown("x","x") } }
