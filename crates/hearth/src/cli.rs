//! The command line. Its flags are made from the table of settings, so that there is one list of them.

use std::collections::BTreeMap;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, Parser, Subcommand};

use crate::call::CallArgs;
use crate::clean::CleanArgs;
use crate::settings::{ALL, Setting};

const SERVE_HELP: &str = "\
Every setting is a flag and a variable. A flag wins over a variable, and FN_… wins over the older name where there
are two. Times are written like 250us, 5ms, 30s, 10m; sizes like 4096, 64MiB, 2GiB.

Exit codes: 0 stopped in good order, 1 failed, 64 bad settings, 69 no Docker engine, 130 stopped at once by a second
signal.";

const CHECK_HELP: &str = "\
Takes the flags and variables of serve.

Exit codes: 0 a server can start, 1 something is to be fixed first, 64 bad settings.";

const READY_HELP: &str = "\
Takes the flags and variables of serve, and asks where a server with them listens.

Exit codes: 0 it is ready, 1 it is not, or does not answer, 64 bad settings.";

/// Runs container images as functions, behind HTTP.
#[derive(Debug, Parser)]
#[command(name = "hearth", version, disable_help_subcommand = false, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Action,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Runs the server until SIGTERM or SIGINT.
    #[command(after_help = SERVE_HELP)]
    Serve(Flags),
    /// Looks at what a server with these settings needs, and says what to fix; changes nothing.
    #[command(after_help = CHECK_HELP)]
    Check(Flags),
    /// Asks the server with these settings whether it is ready for requests.
    #[command(after_help = READY_HELP)]
    Ready(Flags),
    /// Shows a call: its record, what it used, its log.
    Call(CallArgs),
    /// Shows the containers that servers left on the Docker engine, and removes those it is told to.
    Clean(CleanArgs),
}

/// Settings that the command line gives, by flag.
#[derive(Debug, Default)]
pub(crate) struct Flags(pub(crate) BTreeMap<&'static str, String>);

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        ALL.iter().fold(command, |command, setting| command.arg(argument(setting)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for setting in ALL {
            if let Some(value) = matches.get_one::<String>(setting.flag) {
                self.0.insert(setting.flag, value.clone());
            }
        }
        Ok(())
    }
}

fn argument(setting: &'static Setting) -> Arg {
    let older: String = setting.older.iter().map(|name| format!(", {name}")).collect();
    let variables = setting.variable() + &older;
    let help = format!("{} [default: {}] [env: {variables}]", setting.help, setting.default);
    Arg::new(setting.flag).long(setting.flag).value_name(setting.value).help(help).allow_hyphen_values(true)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_are_taken_as_they_are() {
        let cli = Cli::try_parse_from(["hearth", "serve", "--listen", "0.0.0.0", "--max-log=-1"]).unwrap();
        let Action::Serve(Flags(flags)) = cli.command else { panic!("not what was asked for") };
        assert_eq!(flags, BTreeMap::from([("listen", "0.0.0.0".to_owned()), ("max-log", "-1".to_owned())]));
        assert!(Cli::try_parse_from(["hearth", "serve", "--unknown"]).is_err());
    }

    #[test]
    fn the_help_names_every_setting_and_its_variables() {
        let mut command = Cli::command();
        let help = command.find_subcommand_mut("serve").unwrap().render_long_help().to_string();
        for setting in ALL {
            assert!(help.contains(&format!("--{} <{}>", setting.flag, setting.value)), "{}", setting.flag);
            assert!(help.contains(&setting.variable()), "{}", setting.flag);
        }
    }
}
