//! Binds a parsed condition to events: every variable and field that it names becomes a numbered read.
//!
//! Names are checked on the way, so that a misspelt one fails before anything runs.

use cel::common::ast::{CallExpr, EntryExpr, Expr, LiteralValue, SelectExpr, SourceInfo, operators};
use cel::parser::Expression;

use super::interpret::name_of_read;
use super::json::Step;
use super::row::Read;
use super::syntax::SyntaxError;

/// What a condition may speak of.
pub(super) const VARIABLES: [&str; 6] = ["event", "key", "headers", "timestamp", "partition", "raw"];

/// Functions of CEL's standard library that are called as `f(x)`.
pub(super) const FUNCTIONS: [&str; 13] = [
    "bool",
    "bytes",
    "double",
    "duration",
    "dyn",
    "has",
    "int",
    "matches",
    "size",
    "string",
    "timestamp",
    "type",
    "uint",
];

/// Functions and macros of CEL's standard library that are called as `x.f()`.
pub(super) const METHODS: [&str; 20] = [
    "all",
    "contains",
    "endsWith",
    "exists",
    "exists_one",
    "filter",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "map",
    "matches",
    "size",
    "startsWith",
];

/// Names of types, which are values too: `type(event.id) == string`.
const TYPES: [&str; 11] =
    ["bool", "bytes", "double", "duration", "int", "list", "map", "null_type", "string", "type", "uint"];

/// The expression in terms of reads, and what they are. All names that are not known are reported; the first in front.
pub(super) fn bind(expression: Expression, places: &SourceInfo) -> Result<(Expression, Vec<Read>), SyntaxError> {
    let mut binder = Binder { places, reads: Vec::new(), locals: Vec::new(), errors: Vec::new() };
    let bound = binder.bind(expression);
    binder.errors.sort_by_key(|error| error.offset);
    match binder.errors.into_iter().next() {
        Some(error) => Err(error),
        None => Ok((bound, binder.reads)),
    }
}

struct Binder<'a> {
    places: &'a SourceInfo,
    reads: Vec<Read>,
    /// Variables of the comprehensions around the expression at hand.
    locals: Vec<String>,
    errors: Vec<SyntaxError>,
}

impl Binder<'_> {
    fn bind(&mut self, expression: Expression) -> Expression {
        if let Some(read) = self.read(&expression) {
            return self.bound(expression.id, read);
        }
        let Expression { id, expr } = expression;
        let expr = match expr {
            Expr::Ident(name) => {
                self.check_variable(id, &name);
                Expr::Ident(name)
            }
            Expr::Select(select) => {
                let operand = Box::new(self.bind(*select.operand));
                Expr::Select(SelectExpr { operand, ..select })
            }
            Expr::Call(call) => self.call(id, call),
            Expr::List(mut list) => {
                list.elements = list.elements.into_iter().map(|item| self.bind(item)).collect();
                Expr::List(list)
            }
            Expr::Map(mut map) => {
                for entry in &mut map.entries {
                    if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                        entry.key = self.bind(std::mem::take(&mut entry.key));
                        entry.value = self.bind(std::mem::take(&mut entry.value));
                    }
                }
                Expr::Map(map)
            }
            Expr::Comprehension(mut each) => {
                each.iter_range = self.bind(each.iter_range);
                each.accu_init = self.bind(each.accu_init);
                let outer = self.locals.len();
                self.locals.extend([each.accu_var.clone(), each.iter_var.clone()]);
                self.locals.extend(each.iter_var2.clone());
                each.loop_cond = self.bind(each.loop_cond);
                each.loop_step = self.bind(each.loop_step);
                each.result = self.bind(each.result);
                self.locals.truncate(outer);
                Expr::Comprehension(each)
            }
            Expr::Struct(message) => {
                self.error(id, format!("there is no type `{}`: conditions know no messages", message.type_name));
                Expr::Struct(message)
            }
            Expr::Literal(_) | Expr::Unspecified => expr,
        };
        Expression { id, expr }
    }

    fn call(&mut self, id: u64, call: CallExpr) -> Expr {
        self.check_function(id, &call);
        let target = call.target.map(|target| Box::new(self.bind(*target)));
        let args = call.args.into_iter().map(|argument| self.bind(argument)).collect();
        Expr::Call(CallExpr { target, args, ..call })
    }

    fn bound(&mut self, id: u64, read: Read) -> Expression {
        let number = self.reads.iter().position(|known| *known == read).unwrap_or_else(|| {
            self.reads.push(read);
            self.reads.len() - 1
        });
        Expression { id, expr: Expr::Ident(name_of_read(number)) }
    }

    /// What an expression reads, if it is a variable or a field with a fixed name.
    fn read(&self, expression: &Expression) -> Option<Read> {
        match &expression.expr {
            Expr::Select(select) if select.test => {
                let mut path = self.path(&select.operand)?;
                path.steps.push(Step::Name(select.field.as_str().into()));
                path.presence()
            }
            Expr::Call(call) if call.func_name == operators::IN => {
                let [name, map] = call.args.as_slice() else { return None };
                let (Some(Step::Name(name)), Read::Headers) = (constant_step(name), self.read(map)?) else {
                    return None;
                };
                Some(Read::HasHeader(name))
            }
            _ => self.path(expression)?.read(),
        }
    }

    /// The way from a variable to a field, where every step is a constant.
    fn path(&self, expression: &Expression) -> Option<Path> {
        let (operand, step) = match &expression.expr {
            Expr::Ident(name) => {
                let name = name.strip_prefix('.').unwrap_or(name);
                let known = VARIABLES.iter().find(|known| **known == name && !self.is_local(name))?;
                return Some(Path { variable: known, steps: Vec::new() });
            }
            Expr::Select(select) if !select.test => (&*select.operand, Step::Name(select.field.as_str().into())),
            Expr::Call(call) if call.func_name == operators::INDEX => match call.args.as_slice() {
                [operand, index] => (operand, constant_step(index)?),
                _ => return None,
            },
            _ => return None,
        };
        let mut path = self.path(operand)?;
        path.steps.push(step);
        Some(path)
    }

    fn is_local(&self, name: &str) -> bool {
        self.locals.iter().any(|local| local == name)
    }

    fn check_variable(&mut self, id: u64, name: &str) {
        let plain = name.strip_prefix('.').unwrap_or(name);
        if self.is_local(plain) || TYPES.contains(&plain) {
            return;
        }
        let cure = match nearest(plain, VARIABLES) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!(
                "fields of the payload are `event.{plain}`; besides `event` there are {}",
                list(&VARIABLES[1..])
            ),
        };
        self.error(id, format!("unknown variable `{plain}`: {cure}"));
    }

    fn check_function(&mut self, id: u64, call: &CallExpr) {
        let name = call.func_name.as_str();
        if !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
            return;
        }
        let (here, there): (&[&str], &[&str]) =
            if call.target.is_some() { (&METHODS, &FUNCTIONS) } else { (&FUNCTIONS, &METHODS) };
        let message = if let Some(macro_use) = macro_use(name) {
            format!("`{name}` is used as {macro_use}")
        } else if here.contains(&name) {
            return;
        } else if there.contains(&name) {
            let shape = if call.target.is_some() { format!("{name}(x)") } else { format!("x.{name}(…)") };
            format!("`{name}` is called as `{shape}`")
        } else {
            match nearest(name, here.iter().chain(there).copied()) {
                Some(near) => format!("unknown function `{name}`: did you mean `{near}`?"),
                None => format!("unknown function `{name}`: there are {}", list(here)),
            }
        };
        self.error(id, message);
        // The parser's place of a call is its parenthesis.
        if let Some(offset) = self.errors.last_mut().and_then(|error| error.offset.as_mut()) {
            let before = self.places.source.get(..*offset).unwrap_or_default().trim_end();
            *offset = before.strip_suffix(name).map_or(*offset, str::len);
        }
    }

    fn error(&mut self, id: u64, message: String) {
        self.errors.push(SyntaxError { message, offset: offset_of(id, self.places) });
    }
}

/// The way from a variable to a field.
struct Path {
    variable: &'static str,
    steps: Vec<Step>,
}

impl Path {
    fn read(mut self) -> Option<Read> {
        match (self.variable, self.steps.len()) {
            ("event", _) => Some(Read::Field(self.steps.into())),
            ("headers", 0) => Some(Read::Headers),
            ("headers", 1) => match self.steps.pop()? {
                Step::Name(name) => Some(Read::Header(name)),
                Step::Index(_) => None,
            },
            ("key", 0) => Some(Read::Key),
            ("raw", 0) => Some(Read::Raw),
            ("timestamp", 0) => Some(Read::Timestamp),
            ("partition", 0) => Some(Read::Partition),
            _ => None,
        }
    }

    /// Whether the last step is there.
    fn presence(self) -> Option<Read> {
        match self.read()? {
            Read::Field(path) => Some(Read::HasField(path)),
            Read::Header(name) => Some(Read::HasHeader(name)),
            _ => None,
        }
    }
}

/// A name or a place in a list that is written out.
fn constant_step(expression: &Expression) -> Option<Step> {
    match &expression.expr {
        Expr::Literal(LiteralValue::String(name)) => Some(Step::Name(name.inner().into())),
        Expr::Literal(LiteralValue::Int(index)) => usize::try_from(*index.inner()).ok().map(Step::Index),
        _ => None,
    }
}

/// How a macro is written, which the parser leaves as a call where it is written otherwise.
fn macro_use(name: &str) -> Option<&'static str> {
    match name {
        "has" => Some("`has(event.field)`"),
        "all" => Some("`list.all(x, condition)`"),
        "exists" => Some("`list.exists(x, condition)`"),
        "exists_one" => Some("`list.exists_one(x, condition)`"),
        "filter" => Some("`list.filter(x, condition)`"),
        "map" => Some("`list.map(x, value)`"),
        _ => None,
    }
}

/// The name that was most likely meant.
fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |other: &str| strsim::damerau_levenshtein(&name.to_lowercase(), &other.to_lowercase());
    let (distance, near) = known.into_iter().map(|other| (distance(other), other)).min()?;
    (distance <= 1 + near.len() / 5).then_some(near)
}

fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Where an expression stands, in bytes.
pub(super) fn offset_of(id: u64, places: &SourceInfo) -> Option<usize> {
    places.offset_for(id).map(|(start, _)| start as usize)
}
