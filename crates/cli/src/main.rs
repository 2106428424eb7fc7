//! The `dormouse` command.
//!
//! Reading order: [`args`] is what can be typed; [`commands`] has one file per command; most of
//! them use [`connect`] to find the server and [`resolve`] to turn names into things; [`ui`] is
//! the only place that prints; [`error`] has the exit statuses.
//!
//! A new command is: its file in `commands/`, a line in [`args::Command`] and in
//! [`commands::run`]; the tests then ask for its help snapshot and its page in the reference.

mod args;
mod commands;
mod connect;
mod error;
mod moment;
mod place;
mod resolve;
mod serve;
mod timeout;
mod ui;

use std::process::ExitCode;

use clap::Parser;

/// A server with many short connections asks for small pieces and aligned tasks again and again, which is what the
/// allocator of glibc is slowest at (docs/decisions/2026-11-28-memory-is-allocated-by-jemalloc.md).
#[cfg(feature = "server")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = match args::Cli::try_parse_from(args::called(std::env::args_os())) {
        Ok(cli) => cli,
        Err(error) => return ui::command_line(&error),
    };
    let ui = ui::Ui::new(cli.global.output);
    match commands::run(cli.command, commands::Context { ui, data: cli.global.data }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ui.error(&error);
            error.class().into()
        }
    }
}
