//! Where values of settings come from, and the list of all that is wrong with them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::table::{ALL, Setting};

/// What was said on the command line and in the environment. A value, so that tests need neither.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    /// By flag.
    pub(crate) flags: BTreeMap<&'static str, String>,
    pub(crate) environment: BTreeMap<String, String>,
}

/// A value and who said it: the flag or the variable, as it is to be named in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given<'s> {
    pub(super) by: String,
    pub(super) text: &'s str,
}

/// Reads settings one by one and keeps what is wrong until all are read.
#[derive(Debug)]
pub(super) struct Reader<'s> {
    source: &'s Source,
    problems: Vec<String>,
}

/// All that is wrong with the settings, one line each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) struct Invalid(pub(crate) Vec<String>);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

// === impl Source ===

impl Source {
    /// The value of a setting: the flag, else its own variable, else the older names. Empty texts say nothing.
    pub(super) fn get(&self, setting: &Setting) -> Option<Given<'_>> {
        if let Some(text) = self.flags.get(setting.flag) {
            return Some(Given { by: format!("--{}", setting.flag), text });
        }
        let own = setting.variable();
        let names = std::iter::once(own.as_str()).chain(setting.older.iter().copied());
        let mut given = names.filter_map(|name| Some((name, self.environment.get(name)?)));
        let (name, text) = given.find(|(_, text)| !text.trim().is_empty())?;
        Some(Given { by: name.to_owned(), text })
    }

    /// This with the values that stand in files, whose names are in variables that end in `_FILE` (v2 contract B.4.11); and
    /// which of those files cannot be read. A value that is given itself wins.
    pub(super) fn with_files(&self) -> (Self, Vec<String>) {
        let (mut source, mut problems) = (self.clone(), Vec::new());
        let names = ALL.iter().flat_map(|one| {
            let older = one.older.iter().map(|name| (*name).to_owned());
            std::iter::once(one.variable()).chain(older)
        });
        for name in names {
            let by = format!("{name}_FILE");
            let Some(file) = source.environment.remove(&by).filter(|file| !file.trim().is_empty()) else { continue };
            if source.environment.get(&name).is_some_and(|text| !text.trim().is_empty()) {
                continue;
            }
            match std::fs::read_to_string(file.trim()) {
                Ok(text) => drop(source.environment.insert(name, text.trim_end().to_owned())),
                Err(error) => problems.push(format!("bad setting {by} '{}': {error}", file.trim())),
            }
        }
        (source, problems)
    }

    /// Variables that look like settings and are none.
    pub(super) fn unknown(&self) -> Vec<String> {
        let known = |name: &str| ALL.iter().any(|one| one.older.contains(&name) || one.variable() == name);
        self.environment.keys().filter(|name| name.starts_with("FN_") && !known(name)).cloned().collect()
    }
}

// === impl Reader ===

impl<'s> Reader<'s> {
    pub(super) const fn new(source: &'s Source) -> Self {
        Self { source, problems: Vec::new() }
    }

    /// The text of a setting as it was given.
    pub(super) fn text(&self, setting: &Setting) -> Option<Given<'s>> {
        self.source.get(setting)
    }

    /// The value of a setting, unless it was not given or is wrong.
    pub(super) fn parse<T: FromStr<Err: fmt::Display>>(&mut self, setting: &Setting) -> Option<T> {
        self.parse_with(setting, |text| text.trim().parse::<T>().map_err(|error| error.to_string()))
    }

    /// The same with a reader of its own.
    pub(super) fn parse_with<T>(
        &mut self,
        setting: &Setting,
        read: impl FnOnce(&'s str) -> Result<T, String>,
    ) -> Option<T> {
        let given = self.text(setting)?;
        match read(given.text) {
            Ok(value) => Some(value),
            Err(why) => {
                let shown = if setting.secret { String::new() } else { format!(" '{}'", given.text.trim()) };
                self.problem(format!("bad setting {}{shown}: {why}", given.by));
                None
            }
        }
    }

    /// Puts the value of a setting into `place`, which holds its default.
    pub(super) fn set<T: FromStr<Err: fmt::Display>, U>(
        &mut self,
        setting: &Setting,
        place: &mut U,
        convert: impl FnOnce(T) -> U,
    ) {
        if let Some(value) = self.parse(setting) {
            *place = convert(value);
        }
    }

    /// The same for a number that must be at least 1.
    pub(super) fn set_positive<T: FromStr<Err: fmt::Display> + PartialEq + From<u8>>(
        &mut self,
        setting: &Setting,
        place: &mut T,
    ) {
        let positive = |text: &str| match text.trim().parse::<T>() {
            Ok(number) if number == T::from(0) => Err("must be at least 1".to_owned()),
            Ok(number) => Ok(number),
            Err(error) => Err(error.to_string()),
        };
        if let Some(number) = self.parse_with(setting, positive) {
            *place = number;
        }
    }

    pub(super) fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// `value`, unless anything was wrong.
    pub(super) fn finish<T>(self, value: T) -> Result<T, Invalid> {
        if self.problems.is_empty() { Ok(value) } else { Err(Invalid(self.problems)) }
    }
}
