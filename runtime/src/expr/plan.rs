//! How a condition is asked of an event.

use cel::common::ast::SourceInfo;
use cel::parser::Expression;

use super::interpret;
use super::row::Row;
use super::syntax::SyntaxError;

/// A condition, ready to be asked.
pub(super) enum Plan {
    /// By the interpreter.
    Interpreted(Expression),
}

impl Plan {
    pub(super) fn new(expression: Expression, _places: &SourceInfo) -> Result<Plan, SyntaxError> {
        Ok(Plan::Interpreted(expression))
    }

    /// Whether it holds; `None` where it fails.
    pub(super) fn holds(&self, row: &Row) -> Option<bool> {
        match self {
            Plan::Interpreted(expression) => interpret::holds(expression, row),
        }
    }
}
