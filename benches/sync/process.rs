//! Processes of this bench's own program.

use std::{
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
};

/// This program, to be run with other arguments.
pub(crate) fn this() -> Result<Command, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    Ok(Command::new(program))
}

/// Starts a process that leads a group of its own and whose input is open until this process ends.
pub(crate) fn lead_group(command: &mut Command) -> Result<Child, String> {
    command.process_group(0).stdin(Stdio::piped()).spawn().map_err(|error| error.to_string())
}
