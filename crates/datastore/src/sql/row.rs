//! Reading rows back, column after column, with errors that say which object and which column.

use std::str::FromStr;

use hearth_models::Timestamp;
use serde::de::DeserializeOwned;
use sqlx::any::AnyRow;
use sqlx::{Any, Column, Decode, Row, Type, ValueRef};

use crate::{Error, Result, Source};

/// A row, read from left to right in the order of its statement's columns.
pub(super) struct Reader<'r> {
    row: &'r AnyRow,
    at: usize,
}

impl<'r> Reader<'r> {
    pub(super) const fn new(row: &'r AnyRow) -> Self {
        Self { row, at: 0 }
    }

    /// The next column as it is.
    pub(super) fn get<T: Decode<'r, Any> + Type<Any>>(&mut self) -> Result<T> {
        let value = self.row.try_get(self.at);
        self.at += 1;
        value.map_err(|error| self.corrupt(error))
    }

    /// The next column, a text that stands for a value.
    pub(super) fn parsed<T>(&mut self) -> Result<T>
    where
        T: FromStr<Err: Into<Source>>,
    {
        let text: &str = self.text()?;
        text.parse().map_err(|error| self.corrupt(error))
    }

    /// The next column, a text that stands for a value, or NULL.
    pub(super) fn parsed_or_null<T>(&mut self) -> Result<Option<T>>
    where
        T: FromStr<Err: Into<Source>>,
    {
        if self.is_null()? {
            self.at += 1;
            return Ok(None);
        }
        self.parsed().map(Some)
    }

    /// The next column, a text that holds JSON.
    pub(super) fn json<T: DeserializeOwned>(&mut self) -> Result<T> {
        let text = self.text()?;
        serde_json::from_str(text).map_err(|error| self.corrupt(error))
    }

    /// The next column, a number of the type asked for.
    pub(super) fn number<T>(&mut self) -> Result<T>
    where
        T: TryFrom<i64, Error: Into<Source>>,
    {
        let number: i64 = self.get()?;
        T::try_from(number).map_err(|error| self.corrupt(error))
    }

    /// The next column, a point in time.
    pub(super) fn time(&mut self) -> Result<Timestamp> {
        Ok(Timestamp::from_millis(self.get()?))
    }

    /// The next column, a point in time or NULL.
    pub(super) fn time_or_null(&mut self) -> Result<Option<Timestamp>> {
        Ok(self.get::<Option<i64>>()?.map(Timestamp::from_millis))
    }

    /// The next column, a text, borrowed from the row.
    pub(super) fn text(&mut self) -> Result<&'r str> {
        self.get()
    }

    /// Whether the next column is NULL. It stays the next.
    pub(super) fn is_null(&self) -> Result<bool> {
        let value = self.row.try_get_raw(self.at);
        Ok(value.map_err(Error::from)?.is_null())
    }

    /// An error about the column read last.
    fn corrupt(&self, error: impl Into<Source>) -> Error {
        let columns = self.row.columns();
        let column = columns.get(self.at.saturating_sub(1)).map_or("(none)", |column| column.name());
        let owner: &str = self.row.try_get(0).unwrap_or("(unknown)");
        Error::corrupt(format!("column {column} in the row of {owner}"), error)
    }
}
