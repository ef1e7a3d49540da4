//! Conditions and templates over a batch.
