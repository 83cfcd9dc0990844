//! What is wrong with a request.

use std::fmt;

/// The kinds of what can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// No operation has this path.
    Path,
    /// The path is there, and not for this method.
    Method,
    /// None of the operation's servers has this name.
    Host,
    /// Nothing shows who asks in a way that the operation takes.
    Security,
    /// What is required is not there.
    Missing,
    /// Something is there that the description does not name.
    Unknown,
    /// What may stand once stands several times.
    Repeated,
    /// The body is of a kind that the operation does not take.
    MediaType,
    /// The body cannot be read as what it says that it is.
    Unreadable,
    /// A value of another type, form or size than described.
    Value,
}

/// One thing that is wrong, and where: `body/To`, `query/page_size`, `header/x-date`, `path/AccountSid`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    pub kind: Kind,
    pub place: String,
    pub says: String,
}

impl Complaint {
    pub fn new(kind: Kind, place: impl Into<String>, says: impl fmt::Display) -> Self {
        Self { kind, place: place.into(), says: says.to_string() }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.kind, self.place)?;
        if !self.says.is_empty() {
            write!(f, ": {}", self.says)?;
        }
        Ok(())
    }
}
