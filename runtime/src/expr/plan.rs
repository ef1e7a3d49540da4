//! How a condition is asked of an event: the common shapes as a tree over reads, the rest by the interpreter.
//!
//! Both ways must give the same answers; `agreement.rs` holds them to it.

use std::cmp::Ordering;

use cel::parser::Expression;
use memchr::memmem::Finder;
use regex::Regex;

use super::interpret;
use super::row::Row;
use super::value::Value;

/// A condition, ready to be asked.
pub(super) enum Plan {
    Constant(bool),
    /// The read is a boolean and true.
    Truth(usize),
    Not(Box<Plan>),
    And(Box<[Plan; 2]>),
    Or(Box<[Plan; 2]>),
    Compare {
        operand: Operand,
        relation: Relation,
        constant: Value<'static>,
    },
    In {
        operand: Operand,
        constants: Box<[Value<'static>]>,
    },
    /// Something about a text.
    Text {
        read: usize,
        test: Test,
    },
    /// What has no shape of its own.
    Interpreted(Expression),
}

/// What stands beside a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    Read(usize),
    /// How many characters a text has, or how many items a list or a map.
    Size(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

pub(super) enum Test {
    StartsWith(Box<str>),
    EndsWith(Box<str>),
    Contains(Box<Finder<'static>>),
    Matches(Regex),
}

impl Plan {
    /// Whether it holds; `None` where it fails. As in CEL, an error beside a false `&&` or a true `||` does not matter.
    pub(super) fn holds(&self, row: &mut Row) -> Option<bool> {
        match self {
            Plan::Constant(holds) => Some(*holds),
            Plan::Truth(read) => match row.read(*read).ok()? {
                Value::Bool(holds) => Some(*holds),
                _ => None,
            },
            Plan::Not(plan) => plan.holds(row).map(|holds| !holds),
            Plan::And(both) => junction(both, row, false),
            Plan::Or(either) => junction(either, row, true),
            Plan::Compare { operand, relation, constant } => {
                operand.with(row, |value| relation.holds(value, constant)).flatten()
            }
            Plan::In { operand, constants } => {
                operand.with(row, |value| constants.iter().any(|constant| value.equals(constant)))
            }
            Plan::Text { read, test } => match row.read(*read).ok()? {
                Value::Text(text) => Some(test.holds(text)),
                _ => None,
            },
            Plan::Interpreted(expression) => interpret::holds(expression, row),
        }
    }

    /// Whether no part of it is left to the interpreter.
    #[cfg(test)]
    pub(super) fn is_compiled(&self) -> bool {
        match self {
            Plan::Not(plan) => plan.is_compiled(),
            Plan::And(both) | Plan::Or(both) => both.iter().all(Plan::is_compiled),
            Plan::Interpreted(_) => false,
            _ => true,
        }
    }
}

/// `&&` and `||`: the value that decides does so whatever stands beside it.
fn junction(sides: &[Plan; 2], row: &mut Row, decides: bool) -> Option<bool> {
    let left = sides[0].holds(row);
    if left == Some(decides) {
        return left;
    }
    match sides[1].holds(row) {
        Some(right) if right == decides => Some(decides),
        right => left.and(right),
    }
}

impl Operand {
    fn with<T>(self, row: &mut Row, ask: impl FnOnce(&Value) -> T) -> Option<T> {
        match self {
            Operand::Read(read) => row.read(read).ok().map(ask),
            Operand::Size(read) => row.read(read).ok()?.size().map(|size| ask(&Value::Int(size))),
        }
    }
}

impl Relation {
    fn holds(self, value: &Value, constant: &Value) -> Option<bool> {
        match self {
            Relation::Equal => Some(value.equals(constant)),
            Relation::NotEqual => Some(!value.equals(constant)),
            Relation::Less => value.compare(constant).map(Ordering::is_lt),
            Relation::LessOrEqual => value.compare(constant).map(Ordering::is_le),
            Relation::Greater => value.compare(constant).map(Ordering::is_gt),
            Relation::GreaterOrEqual => value.compare(constant).map(Ordering::is_ge),
        }
    }

    /// The relation with its sides changed over.
    pub(super) fn turned(self) -> Relation {
        match self {
            Relation::Equal | Relation::NotEqual => self,
            Relation::Less => Relation::Greater,
            Relation::LessOrEqual => Relation::GreaterOrEqual,
            Relation::Greater => Relation::Less,
            Relation::GreaterOrEqual => Relation::LessOrEqual,
        }
    }
}

impl Test {
    fn holds(&self, text: &str) -> bool {
        match self {
            Test::StartsWith(start) => text.starts_with(&**start),
            Test::EndsWith(end) => text.ends_with(&**end),
            Test::Contains(part) => part.find(text.as_bytes()).is_some(),
            Test::Matches(pattern) => pattern.is_match(text),
        }
    }
}
