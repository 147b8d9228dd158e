//! Whoever reads the output may stop at any time.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Command, Stdio},
};

use hivesync_tests::{
    backend::Backend,
    binary,
    world::{World, in_time},
};
use tokio::task::block_in_place;

use crate::program::Program;

/// What the program says beside its output, and its exit status, if its reader leaves after one line.
fn one_line_of(mut command: Command, meanwhile: impl FnOnce()) -> (String, i32) {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    block_in_place(|| {
        let mut child = command.spawn().expect("hsync was built");
        let mut output = BufReader::with_capacity(64, child.stdout.take().expect("piped"));
        output.read_line(&mut String::new()).expect("a line");
        drop(output);
        meanwhile();
        let mut said = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut said).expect("UTF-8");
        (said, child.wait().expect("it ends").code().expect("it was not killed"))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_has_had_enough_is_no_failure() {
    in_time(async {
        let world = World::without_worker(Backend::Embedded, &[]).await;
        let ada = world.user("ada").await;
        let program = Program::of(&world, &ada);
        let hsync = |arguments: &[&str]| {
            let mut command = program.command(binary::path("hsync"));
            command.args(arguments);
            command
        };
        // More than a pipe holds.
        assert_eq!(one_line_of(hsync(&["completions", "bash"]), || {}), (String::new(), 0));
        assert_eq!(one_line_of(hsync(&["--help"]), || {}).0, "");

        let told = || {
            let runtime = tokio::runtime::Handle::current();
            let device = world.device_of(&ada, "phone", hivesync::auth::Platform::Ios);
            runtime.block_on(device);
        };
        let follow = hsync(&["notifications", "--follow", "--json"]);
        assert_eq!(one_line_of(follow, told), (String::new(), 0));
    })
    .await;
}
