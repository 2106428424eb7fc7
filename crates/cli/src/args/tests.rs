//! The whole help, one snapshot per command, at a fixed width.

use clap::{Command, CommandFactory};

use super::{Cli, name};

const WIDTH: usize = 100;

fn each(command: &mut Command, path: &str, check: &mut impl FnMut(&str, &mut Command)) {
    check(path, command);
    for sub in command.get_subcommands_mut() {
        let path = format!("{path}_{}", sub.get_name());
        each(sub, &path, check);
    }
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn help_of_every_command() {
    let mut root = Cli::command().term_width(WIDTH);
    root.build();
    let mut settings = insta::Settings::clone_current();
    settings.set_omit_expression(true);
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| {
        each(&mut root, "dormouse", &mut |path, command| {
            if !command.is_hide_set() {
                insta::assert_snapshot!(path, command.render_long_help().to_string());
            }
        });
    });
}

#[test]
fn every_command_and_argument_is_explained() {
    let mut root = Cli::command();
    root.build();
    each(&mut root, "dormouse", &mut |path, command| {
        if command.is_hide_set() {
            return;
        }
        assert!(command.get_about().is_some(), "{path} has no description");
        for arg in command.get_arguments() {
            assert!(
                arg.get_help().is_some() || arg.get_long_help().is_some(),
                "{path}: {} has no help",
                arg.get_id()
            );
        }
    });
}

#[test]
fn names_that_cannot_stand_in_an_address() {
    assert!(["", ".", ".."].iter().all(|text| name(text).is_err()));
    assert_eq!(name("größe/1").unwrap(), "größe/1");
}
