//! `dormouse completion`: a script that makes the shell complete this command.

use clap::CommandFactory;
use clap_complete::Shell;

use super::Context;
use crate::args::Cli;
use crate::error::Error;

/// Print a completion script for a shell
///
/// For bash: `source <(dormouse completion bash)`.
#[derive(Debug, clap::Args)]
pub(crate) struct Completion {
    /// The shell.
    shell: Shell,
}

pub(crate) fn run(args: &Completion, cx: &Context) -> Result<(), Error> {
    let script = String::from_utf8(script(args.shell))
        .map_err(|error| Error::failed("the completion script is not text").because(error))?;
    cx.ui.text(&script)
}

fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "dormouse", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_shell_gets_a_script_that_knows_the_commands() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(script(*shell)).unwrap();
            assert!(script.contains("connection-string"), "{shell}");
        }
    }
}
