//! Conditions and templates over a batch.

/// Stands in until the room is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition(String);

/// The text is not a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// What is wrong.
    pub message: String,
    /// Where, in bytes.
    pub offset: Option<usize>,
}

impl Condition {
    /// Reads a condition.
    pub fn parse(text: &str) -> Result<Condition, SyntaxError> {
        match text.find("==>") {
            Some(at) => Err(SyntaxError { message: "unexpected `>`".into(), offset: Some(at + 2) }),
            None => Ok(Condition(text.to_owned())),
        }
    }
}
