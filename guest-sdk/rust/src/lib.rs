//! Sump SDK
