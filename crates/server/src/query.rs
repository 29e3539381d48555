//! Query parameters. The first value of a name counts; what cannot be decoded is kept as it is. Nothing that is stored has
//! a NUL in it and not every database can be asked for one, so it is taken for a byte that is no text.

use std::borrow::Cow;
use std::str::FromStr;

use hearth_models::{CallFilter, Cursor, Error, Page, PerPage, Timestamp};

/// The parameters of one request.
#[derive(Debug)]
pub(crate) struct Query<'q>(Vec<(Cow<'q, str>, Cow<'q, str>)>);

impl<'q> Query<'q> {
    /// Reads the query of a URL.
    pub(crate) fn parse(query: Option<&'q str>) -> Self {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Self(pairs.map(|(name, value)| (name, without_nul(value))).collect())
    }

    /// The first value of `name`, unless it is empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(key, _)| key == name)?;
        Some(value.as_ref()).filter(|value| !value.is_empty())
    }

    /// The page of a list of apps or routes that is asked for.
    pub(crate) fn page(&self) -> Page {
        Page {
            after: self.get("cursor").map(Cursor::from_query).unwrap_or_default(),
            size: PerPage::from_query(self.get("per_page")),
        }
    }

    /// The calls that are asked for.
    ///
    /// # Errors
    /// In this order: `from_time`, `to_time`, `status`, `reason` cannot be read.
    pub(crate) fn call_filter(&self) -> Result<CallFilter, Error> {
        Ok(CallFilter {
            from_time: self.epoch("from_time", Error::FromTimeNotEpoch)?,
            to_time: self.epoch("to_time", Error::ToTimeNotEpoch)?,
            status: self.parsed("status", Error::UnknownStatus)?,
            reason: self.parsed("reason", Error::UnknownReason)?,
            fn_id: None,
            path: self.get("path").map(str::to_owned),
            cursor: self.get("cursor").map(str::to_owned),
            per_page: PerPage::from_query(self.get("per_page")),
        })
    }

    fn epoch(&self, name: &str, error: Error) -> Result<Option<Timestamp>, Error> {
        let seconds: Option<i64> = self.parsed(name, error)?;
        Ok(seconds.map(|seconds| Timestamp::from_millis(seconds.saturating_mul(1000))))
    }

    fn parsed<T: FromStr>(&self, name: &str, error: Error) -> Result<Option<T>, Error> {
        let value = self.get(name).map(str::parse);
        value.transpose().map_err(|_| error)
    }
}

fn without_nul(value: Cow<'_, str>) -> Cow<'_, str> {
    if value.contains('\0') { value.replace('\0', "\u{fffd}").into() } else { value }
}

#[cfg(test)]
mod tests {
    use hearth_models::{Reason, Status};

    use super::*;

    #[test]
    fn the_first_value_counts_and_an_empty_one_is_none() {
        let query = Query::parse(Some("a=1&a=2&b=&c=%2Fx+y&%zz=%zz"));
        assert_eq!(query.get("a"), Some("1"));
        assert_eq!(query.get("b"), None);
        assert_eq!(query.get("c"), Some("/x y"));
        assert_eq!(query.get("%zz"), Some("%zz"));
        assert_eq!(Query::parse(Some("a=b%00c")).get("a"), Some("b\u{fffd}c"));
    }

    #[test]
    fn filters_are_read_and_the_first_bad_one_is_named() {
        let filter = |query| Query::parse(Some(query)).call_filter();
        let all = filter("path=/a&from_time=1&to_time=-2&status=error&reason=bad_exit&cursor=C&per_page=5");
        let all = all.unwrap();
        assert_eq!(all.path.as_deref(), Some("/a"));
        assert_eq!(all.from_time, Some(Timestamp::from_millis(1000)));
        assert_eq!(all.to_time, Some(Timestamp::from_millis(-2000)));
        assert_eq!((all.status, all.reason), (Some(Status::Error), Some(Reason::BadExit)));
        assert_eq!((all.cursor.as_deref(), all.per_page.get()), (Some("C"), 5));
        assert_eq!(filter("from_time=9223372036854775807&status=").map(|f| f.status), Ok(None));
        for (query, error) in [
            ("from_time=x&to_time=x", Error::FromTimeNotEpoch),
            ("from_time=1.5", Error::FromTimeNotEpoch),
            ("from_time=9223372036854775808", Error::FromTimeNotEpoch),
            ("to_time=2026-01-01&status=x", Error::ToTimeNotEpoch),
            ("status=x&reason=x", Error::UnknownStatus),
            ("reason=x", Error::UnknownReason),
        ] {
            assert_eq!(filter(query), Err(error), "{query}");
        }
    }
}
