//! Statements that grow by conditions. Values become parameters, never text.

use std::fmt::Write as _;

use sqlx::any::AnyArguments;
use sqlx::{Any, Arguments, Encode, Type};

use crate::{Error, Result};

/// A statement and its parameters so far.
pub(super) struct Statement {
    text: String,
    arguments: AnyArguments,
}

impl Statement {
    pub(super) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), arguments: AnyArguments::default() }
    }

    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    pub(super) fn and<'q, T: Encode<'q, Any> + Type<Any>>(&mut self, left: &str, value: T) -> Result<()> {
        self.push(" AND ");
        self.push(left);
        self.bind(value)
    }

    pub(super) fn bind<'q, T: Encode<'q, Any> + Type<Any>>(&mut self, value: T) -> Result<()> {
        self.arguments.add(value).map_err(Error::Refused)?;
        // Writing to a String cannot fail.
        let _ = write!(self.text, "${}", self.arguments.len());
        Ok(())
    }

    pub(super) fn finish(self) -> (String, AnyArguments) {
        (self.text, self.arguments)
    }
}
