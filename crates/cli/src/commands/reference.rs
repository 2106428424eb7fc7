//! The hidden command `__reference`: writes `docs/reference/cli.md` from the same doc comments that
//! make the help, so that the two cannot disagree. A test compares the file with this.

use std::fmt::Write;

use clap::{Arg, Command, CommandFactory};

use super::Context;
use crate::args::Cli;
use crate::error::Error;

const HEAD: &str = "\
# Command line

This page is made from the program's own help texts. After changing one, write it anew:
`cargo run -p dormouse-cli -- __reference > docs/reference/cli.md`.

Data goes to standard output, everything else to standard error. `--output json` prints what the
API replied. Exit status:

| status | meaning |
|---|---|
| 0 | done |
| 1 | it was tried and did not work |
| 2 | the command line, or a value on it, is wrong |
| 3 | the thing does not exist |
| 4 | the server cannot be reached |
| 5 | not allowed |

Environment:

| variable | meaning |
|---|---|
| `DORMOUSE_DATA` | the default data directory |
| `DORMOUSE_API_HOST` | address of the API of a server elsewhere, such as `http://10.0.0.5:5480/api/v2` |
| `DORMOUSE_API_KEY` | an API key for that server |
| `DORMOUSE_LOG` | log filter of `dormouse up`, such as `info,dormouse_proxy=debug` |
| `DORMOUSE_IO_URING` | `off`: `dormouse up` and `dormouse pool` use no io_uring, and send each message by a call of its own |
";

pub(crate) fn run(cx: &Context) -> Result<(), Error> {
    cx.ui.text(&page())
}

fn page() -> String {
    let mut root = Cli::command();
    root.build();
    let mut page = String::from(HEAD);
    let globals: Vec<&Arg> = shown_args(&root).collect();
    page.push_str("\n## Options of every command\n");
    arguments(&mut page, &globals);
    for command in root.get_subcommands().filter(|command| !command.is_hide_set()) {
        section(&mut page, command, "dormouse", 2);
    }
    page
}

fn section(page: &mut String, command: &Command, parent: &str, depth: usize) {
    let name = format!("{parent} {}", command.get_name());
    line(page, &format!("\n{} `{name}`\n", "#".repeat(depth)));
    if let Some(about) = command.get_long_about().or_else(|| command.get_about()) {
        let paragraphs: Vec<String> = about.to_string().split("\n\n").map(sentence).collect();
        line(page, &paragraphs.join("\n\n"));
    }
    let own: Vec<&Arg> = shown_args(command).filter(|arg| !arg.is_global_set()).collect();
    if command.has_subcommands() {
        // Some do something by themselves as well.
        arguments(page, &own);
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            section(page, sub, &name, depth + 1);
        }
        return;
    }
    let usage = command.clone().render_usage().to_string();
    line(page, &format!("\n```\n{}\n```", usage.trim_start_matches("Usage: ").trim()));
    arguments(page, &own);
}

fn shown_args(command: &Command) -> impl Iterator<Item = &Arg> {
    command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set() && !matches!(arg.get_id().as_str(), "help" | "version"))
}

fn arguments(page: &mut String, args: &[&Arg]) {
    if args.is_empty() {
        return;
    }
    line(page, "\n| argument | meaning |\n|---|---|");
    for arg in args {
        let help =
            arg.get_long_help().or_else(|| arg.get_help()).map(ToString::to_string).unwrap_or_default();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
        let mut help = sentence(&help);
        let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        if !defaults.is_empty() && arg.get_action().takes_values() {
            help.push_str(&format!(" Default: `{}`.", defaults.join(",")));
        }
        let choices: Vec<_> =
            arg.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
        if !choices.is_empty() && arg.get_action().takes_values() {
            help.push_str(&format!(" One of {}.", choices.join(", ")));
        }
        line(page, &format!("| `{}` | {help} |", spelling(arg).replace('|', "\\|")));
    }
}

/// `--pg-port PORT`, `-y, --yes`, `BRANCH`.
fn spelling(arg: &Arg) -> String {
    let value = match arg.get_value_names() {
        Some([name, ..]) if arg.get_action().takes_values() => name.to_string(),
        _ => String::new(),
    };
    let names = match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => format!("-{short}, --{long}"),
        (None, Some(long)) => format!("--{long}"),
        (Some(short), None) => format!("-{short}"),
        (None, None) => String::new(),
    };
    [names, value].join(" ").trim().to_owned()
}

fn sentence(text: &str) -> String {
    let text = text.trim();
    if text.ends_with(['.', ':', '!']) { text.to_owned() } else { format!("{text}.") }
}

fn line(page: &mut String, text: &str) {
    writeln!(page, "{text}").expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    #[test]
    fn the_written_page_is_current() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/cli.md");
        let written = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            written == super::page(),
            "docs/reference/cli.md is out of date: `cargo run -p dormouse-cli -- __reference > docs/reference/cli.md`"
        );
    }
}
