//! Sump
