//! Completion scripts, run by the shells that they are for.

use std::{fs, process::Stdio};

use hivesync_tests::tool;

use crate::program::{Finished, Program};

/// Runs a script with a shell that has read the completions of `hsync`; `None`, loudly, where there is no such shell.
fn complete(shell: &str, script: &str) -> Option<String> {
    let program = Program::new();
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&path).any(|directory| directory.join(shell).is_file()) {
        tool::do_without(&format!("completions for {shell}, which is not installed"));
        return None;
    }
    let completions = program.home().join("_hsync");
    fs::write(&completions, program.succeed(&["completions", shell])).expect("a file");
    let mut command = program.command(shell);
    command.args(["-c", script]).env("COMPLETIONS", completions).stdin(Stdio::null());
    let finished = Finished::from(command.output().expect("the shell runs"));
    assert_eq!((finished.status, finished.stderr.as_str()), (0, ""), "{finished:?}");
    Some(finished.stdout)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bash_completes_commands_and_choices() {
    let script = "
        source \"$COMPLETIONS\"
        try() { COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _hsync \"$1\" \"${*: -1}\" \"${*: -2:1}\"; echo \"${COMPREPLY[*]}\"; }
        try hsync pr
        try hsync repo s
        try hsync team invite Engines bob@example.org --role g";
    if let Some(shown) = complete("bash", script) {
        assert_eq!(shown, "project preview\nsync status\nguest\n");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zsh_takes_the_completions() {
    let script = "
        autoload -Uz compinit && compinit -u -d \"$HOME/dump\"
        source \"$COMPLETIONS\"
        print ${_comps[hsync]}
        print ${${(k)functions[(I)_hsync*__repo_commands]}:+found}";
    if let Some(shown) = complete("zsh", script) {
        assert_eq!(shown, "_hsync\nfound\n");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fish_completes_commands() {
    let script = "source $COMPLETIONS; complete --do-complete 'hsync repo s' | string split -f1 \\t";
    if let Some(shown) = complete("fish", script) {
        assert_eq!(shown, "status\nsync\n");
    }
}
