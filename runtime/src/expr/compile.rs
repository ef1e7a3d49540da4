//! Turns the common shapes of a bound condition into a plan over reads.

use cel::common::ast::{CallExpr, Expr, LiteralValue, SourceInfo, operators};
use cel::common::types::{CelBool, CelDouble, CelInt, CelString, CelTimestamp, CelUInt};
use cel::common::value::Val;
use cel::parser::Expression;
use cel::{Context, ExecutionError};
use memchr::memmem::Finder;
use regex::Regex;

use super::bind::offset_of;
use super::interpret::{LIBRARY, read_of_name};
use super::plan::{Operand, Plan, Relation, Test};
use super::syntax::SyntaxError;
use super::value::Value;

/// The plan of a bound condition.
///
/// Fails at what could never hold: a constant that is no boolean, a constant part that fails, a pattern that is none.
pub(super) fn compile(expression: Expression, places: &SourceInfo) -> Result<Plan, SyntaxError> {
    if let Some(kind) = not_boolean(&expression.expr) {
        let message =
            format!("a condition must be true or false, and this is {kind}: compare it, as in `event.mag >= 4.5`");
        return Err(error(&expression, places, message));
    }
    check_constants(&expression, places)?;
    Ok(plan(expression))
}

fn plan(expression: Expression) -> Plan {
    match &expression.expr {
        Expr::Ident(name) => read_of_name(name).map(Plan::Truth),
        Expr::Literal(LiteralValue::Boolean(holds)) => Some(Plan::Constant(*holds.inner())),
        Expr::Call(call) => shape(call),
        _ => None,
    }
    .unwrap_or(Plan::Interpreted(expression))
}

/// The plan of a call that has one of the common shapes.
fn shape(call: &CallExpr) -> Option<Plan> {
    match (call.func_name.as_str(), &call.target, call.args.as_slice()) {
        (operators::LOGICAL_NOT, None, [operand]) => Some(Plan::Not(Box::new(plan(operand.clone())))),
        (operators::LOGICAL_AND, None, [left, right]) => {
            Some(Plan::And(Box::new([plan(left.clone()), plan(right.clone())])))
        }
        (operators::LOGICAL_OR, None, [left, right]) => {
            Some(Plan::Or(Box::new([plan(left.clone()), plan(right.clone())])))
        }
        (operators::IN, None, [operand, list]) => {
            let Expr::List(list) = &list.expr else { return None };
            let constants = list.elements.iter().map(constant).collect::<Option<_>>()?;
            Some(Plan::In { operand: operand_of(operand)?, constants })
        }
        (name, None, [left, right]) if relation(name).is_some() => {
            let relation = relation(name)?;
            match (operand_of(left), operand_of(right)) {
                (Some(operand), None) => Some(Plan::Compare { operand, relation, constant: constant(right)? }),
                (None, Some(operand)) => {
                    Some(Plan::Compare { operand, relation: relation.turned(), constant: constant(left)? })
                }
                _ => None,
            }
        }
        ("matches", None, [text, pattern]) => text_test("matches", text, pattern),
        (name, Some(text), [argument]) => text_test(name, text, argument),
        _ => None,
    }
}

fn text_test(name: &str, text: &Expression, argument: &Expression) -> Option<Plan> {
    let (Operand::Read(read), Value::Text(argument)) = (operand_of(text)?, constant(argument)?) else { return None };
    let test = match name {
        "startsWith" => Test::StartsWith(argument.into()),
        "endsWith" => Test::EndsWith(argument.into()),
        "contains" => Test::Contains(Box::new(Finder::new(argument.as_bytes()).into_owned())),
        "matches" => Test::Matches(Regex::new(&argument).ok()?),
        _ => return None,
    };
    Some(Plan::Text { read, test })
}

fn operand_of(expression: &Expression) -> Option<Operand> {
    match &expression.expr {
        Expr::Ident(name) => read_of_name(name).map(Operand::Read),
        Expr::Call(call) if call.func_name == "size" => {
            let of = match (&call.target, call.args.as_slice()) {
                (Some(target), []) => target,
                (None, [argument]) => argument,
                _ => return None,
            };
            match operand_of(of)? {
                Operand::Read(read) => Some(Operand::Size(read)),
                Operand::Size(_) => None,
            }
        }
        _ => None,
    }
}

fn relation(operator: &str) -> Option<Relation> {
    Some(match operator {
        operators::EQUALS => Relation::Equal,
        operators::NOT_EQUALS => Relation::NotEqual,
        operators::LESS => Relation::Less,
        operators::LESS_EQUALS => Relation::LessOrEqual,
        operators::GREATER => Relation::Greater,
        operators::GREATER_EQUALS => Relation::GreaterOrEqual,
        _ => return None,
    })
}

/// What an expression without variables gives, if it is a scalar.
fn constant(expression: &Expression) -> Option<Value<'static>> {
    match &expression.expr {
        Expr::Literal(_) | Expr::Call(_) if is_constant(expression) => {}
        _ => return None,
    }
    let context = Context::with_env(LIBRARY.clone());
    let value = cel::Value::resolve_val(expression, &context).ok()?;
    scalar(&*value)
}

fn scalar(value: &dyn Val) -> Option<Value<'static>> {
    if let Some(int) = value.downcast_ref::<CelInt>() {
        Some(Value::Int(*int.inner()))
    } else if let Some(uint) = value.downcast_ref::<CelUInt>() {
        Some(Value::UInt(*uint.inner()))
    } else if let Some(double) = value.downcast_ref::<CelDouble>() {
        Some(Value::Double(*double.inner()))
    } else if let Some(text) = value.downcast_ref::<CelString>() {
        Some(Value::Text(text.inner().to_owned().into()))
    } else if let Some(bool) = value.downcast_ref::<CelBool>() {
        Some(Value::Bool(*bool.inner()))
    } else if let Some(time) = value.downcast_ref::<CelTimestamp>() {
        Some(Value::Time(time.inner().to_utc()))
    } else {
        value.downcast_ref::<cel::common::types::CelNull>().map(|_| Value::Null)
    }
}

/// Whether an expression is made of literals and calls alone.
fn is_constant(expression: &Expression) -> bool {
    match &expression.expr {
        Expr::Literal(_) => true,
        Expr::Call(call) => call.target.as_deref().is_none_or(is_constant) && call.args.iter().all(is_constant),
        _ => false,
    }
}

/// Conversions and patterns that are written out must be right: they would fail on every event.
fn check_constants(expression: &Expression, places: &SourceInfo) -> Result<(), SyntaxError> {
    for part in parts(expression) {
        check_constants(part, places)?;
    }
    let Expr::Call(call) = &expression.expr else { return Ok(()) };
    match (call.func_name.as_str(), call.args.last()) {
        ("matches", Some(pattern)) => {
            let Some(Value::Text(text)) = constant(pattern) else { return Ok(()) };
            let Err(cause) = Regex::new(&text) else { return Ok(()) };
            let cause = cause.to_string();
            let cause = cause.lines().last().unwrap_or_default().trim_start_matches("error: ");
            Err(error(pattern, places, format!("`{text}` is no regular expression: {cause}")))
        }
        ("timestamp" | "duration", Some(argument)) if is_constant(expression) => {
            let context = Context::with_env(LIBRARY.clone());
            match cel::Value::resolve_val(expression, &context) {
                Ok(_) => Ok(()),
                Err(cause) => Err(error(argument, places, conversion(&call.func_name, &cause))),
            }
        }
        _ => Ok(()),
    }
}

fn conversion(function: &str, cause: &ExecutionError) -> String {
    let example = if function == "duration" { "duration(\"1h30m\")" } else { "timestamp(\"2018-01-31T00:00:00Z\")" };
    match cause {
        ExecutionError::FunctionError { message, .. } => format!("{message}: expected one such as `{example}`"),
        _ => format!("expected one such as `{example}`"),
    }
}

/// The expressions of which one is made.
fn parts(expression: &Expression) -> Vec<&Expression> {
    match &expression.expr {
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Comprehension(each) => vec![&each.iter_range, &each.loop_cond, &each.loop_step, &each.result],
        _ => Vec::new(),
    }
}

/// What an expression gives, where that can't be a boolean.
fn not_boolean(expression: &Expr) -> Option<&'static str> {
    match expression {
        Expr::Literal(LiteralValue::Boolean(_)) => None,
        Expr::Literal(LiteralValue::Null) => Some("null"),
        Expr::Literal(LiteralValue::String(_)) => Some("a text"),
        Expr::Literal(LiteralValue::Bytes(_)) => Some("bytes"),
        Expr::Literal(_) => Some("a number"),
        Expr::List(_) => Some("a list"),
        Expr::Map(_) => Some("a map"),
        Expr::Call(call) => match call.func_name.as_str() {
            operators::ADD | operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE => Some("a sum"),
            operators::MODULO | operators::NEGATE | "size" | "int" | "uint" | "double" => Some("a number"),
            "string" => Some("a text"),
            "bytes" => Some("bytes"),
            "type" => Some("a type"),
            "timestamp" => Some("a time"),
            "duration" => Some("a duration"),
            name if name.starts_with("get") => Some("a number"),
            _ => None,
        },
        _ => None,
    }
}

fn error(at: &Expression, places: &SourceInfo, message: String) -> SyntaxError {
    SyntaxError { message, offset: offset_of(at.id, places) }
}
