//! The value of a secret: text that shows itself to nobody by accident.

use zeroize::Zeroizing;

/// The value of a secret. It has no `Display`, its `Debug` says nothing, and its memory is overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Value(Zeroizing<String>);

impl Value {
    /// Takes `text` as a value.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself. What reads it must not let it reach a message.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(a secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_does_not_show_itself() {
        let value = Value::new("hunter2-hunter2");
        assert_eq!(format!("{value:?} {:?}", Some(&value)), "(a secret) Some((a secret))");
        assert_eq!(value.reveal(), "hunter2-hunter2");
    }
}
