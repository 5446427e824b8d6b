//! The command line: what `--help`, the manual page and the completion scripts say.

use clap::{CommandFactory, Parser};

use super::{Cli, man};

fn names() -> Vec<String> {
    let command = Cli::command();
    command
        .get_subcommands()
        .map(|sub| sub.get_name().to_owned())
        .collect()
}

#[test]
fn the_description_of_the_commands_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_and_option_is_in_the_manual_page() {
    let page = String::from_utf8(man::page().unwrap()).unwrap();
    for sub in Cli::command().get_subcommands() {
        let heading = format!(".SH \"WINPV {}\"", sub.get_name().to_uppercase());
        assert!(page.contains(&heading), "{heading} is missing:\n{page}");
        let own = page.split(&heading).nth(1).unwrap();
        let own = own.split(".SH ").next().unwrap();
        for option in sub.get_arguments().filter_map(|arg| arg.get_long()) {
            let written = format!("\\-\\-{}", option.replace('-', "\\-"));
            assert!(own.contains(&written), "{heading} lacks --{option}");
        }
    }
    for code in ["0", "1", "2", "3"] {
        assert!(page.contains(&format!(".TP\n{code}\n")), "exit code {code}");
    }
}

#[test]
fn every_shell_completes_every_command() {
    use clap_complete::Shell;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "winpv", &mut script);
        let script = String::from_utf8(script).unwrap();
        for name in names() {
            assert!(script.contains(&name), "{shell}: {name} is missing");
        }
    }
}

#[test]
fn every_command_with_a_report_has_json_and_examples() {
    for sub in Cli::command().get_subcommands() {
        let name = sub.get_name();
        let report = !["completions", "man"].contains(&name);
        let json = sub
            .get_arguments()
            .any(|arg| arg.get_long() == Some("json"));
        assert_eq!(report, json, "{name}");
        let help = sub.clone().render_long_help().to_string();
        assert!(
            help.contains("Examples:"),
            "{name} has no examples:\n{help}"
        );
    }
}

#[test]
fn wrong_arguments_name_what_is_wrong() {
    for (arguments, expected) in [
        (vec!["winpv", "biuld"], "build"),
        (vec!["winpv", "verify"], "<"),
        (vec!["winpv", "completions", "tcsh"], "tcsh"),
    ] {
        let Err(error) = Cli::try_parse_from(&arguments) else {
            panic!("{arguments:?} is taken");
        };
        assert_eq!(error.exit_code(), i32::from(super::USAGE));
        let text = error.to_string();
        assert!(text.contains(expected), "{arguments:?}: {text}");
    }
}
