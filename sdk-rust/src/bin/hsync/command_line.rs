//! From the words of the command line to arguments, or to what is wrong with them.

use std::process::ExitCode;

use clap::{
    ArgMatches, CommandFactory as _, Error, FromArgMatches as _,
    error::ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion},
};

use crate::{arguments::Arguments, failure::Failure, output::Output};

const INCOMPLETE: &str =
    "The command line ends before it says what to do. Add --help to see what may follow.";

/// Reads the command line of this process.
///
/// # Errors
///
/// What is wrong with it, or the help that it asks for.
pub(crate) fn parse() -> Result<(ArgMatches, Arguments), Error> {
    let matches = Arguments::command().try_get_matches().map_err(without_environment)?;
    let arguments = Arguments::from_arg_matches(&matches)?;
    Ok((matches, arguments))
}

/// The same error as of an empty environment: the usage that goes with it would name what the environment sets,
/// as if the command line had to.
fn without_environment(error: Error) -> Error {
    if is_answer(&error) {
        return error;
    }
    let command = Arguments::command().mut_args(|argument| argument.env(None::<&str>));
    command.try_get_matches().err().unwrap_or(error)
}

/// Says what is wrong with the command line, as a document if that is what it asks for.
pub(crate) fn refuse(error: &Error) -> ExitCode {
    if is_answer(error) || !asks_for_json() {
        error.exit();
    }
    let failure = Failure::Usage(match error.kind() {
        // What is shown is the whole help.
        DisplayHelpOnMissingArgumentOrSubcommand => INCOMPLETE.to_owned(),
        _ => sentence(&error.render().to_string()),
    });
    Output::new(true).failure(&failure);
    failure.exit_code()
}

/// Whether it is no error, but what was asked for.
fn is_answer(error: &Error) -> bool {
    matches!(error.kind(), DisplayHelp | DisplayVersion)
}

/// Whether the option is there, in a line that cannot be parsed.
fn asks_for_json() -> bool {
    let mut options = std::env::args_os().skip(1).take_while(|word| word != "--");
    options.any(|word| word == "--json")
}

/// One line of what is meant for several.
fn sentence(shown: &str) -> String {
    let shown = shown.trim_start_matches("error: ");
    let said = shown.split("For more information").next().unwrap_or(shown);
    let paragraphs =
        said.split("\n\n").map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    paragraphs.filter(|paragraph| !paragraph.is_empty()).collect::<Vec<_>>().join("; ") + "."
}

#[cfg(test)]
mod tests {
    use super::sentence;

    #[test]
    fn paragraphs_become_one_line() {
        let shown = "error: a value is\n  missing\n\nUsage: hsync x\n\nFor more information, try '--help'.\n";
        assert_eq!(sentence(shown), "a value is missing; Usage: hsync x.");
    }
}
