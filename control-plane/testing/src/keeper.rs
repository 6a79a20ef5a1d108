//! The process that outlives this one just long enough to clean up: see `keeper.sh`.

use crate::programs::{Account, Programs};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

pub struct Keeper {
    process: Child,
    /// Its stdin. Closed, also by our death, it makes the keeper stop the server and clean up.
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    directory: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    #[error("cannot talk to the process that keeps PostgreSQL; is there an `sh`?")]
    Pipe(#[from] io::Error),
    #[error("`{command}` failed: {output}")]
    Failed { command: String, output: String },
}

impl Keeper {
    /// Makes a directory below `parent`, in which nothing runs yet.
    pub fn start(programs: &Programs, parent: &Path, account: Option<Account>) -> Result<Self, KeeperError> {
        let mut command = Command::new("sh");
        command.args(["-c", include_str!("keeper.sh"), "keeper"]).arg(programs.folder());
        command.arg(std::path::absolute(parent)?).current_dir("/");
        programs.clear_environment(&mut command);
        // A process group of its own, so that Ctrl-C in the terminal does not reach it before its work is done.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(Account { user, group }) = account {
            command.uid(user).gid(group);
        }
        let mut process = command.spawn()?;
        let (commands, answers) = (process.stdin.take(), process.stdout.take());
        let answers = BufReader::new(answers.ok_or(io::ErrorKind::BrokenPipe).map_err(io::Error::from)?);
        let mut keeper = Self { process, commands, answers, directory: PathBuf::new() };
        keeper.directory = keeper.answer("mktemp")?.into();
        Ok(keeper)
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What a command printed. Fails with the same when it failed.
    pub fn ask(&mut self, command: &str) -> Result<String, KeeperError> {
        if let Some(commands) = &mut self.commands {
            writeln!(commands, "{command}")?;
        }
        self.answer(command)
    }

    fn answer(&mut self, command: &str) -> Result<String, KeeperError> {
        let mut output = String::new();
        let status = loop {
            let mut line = Vec::new();
            if self.answers.read_until(b'\n', &mut line)? == 0 {
                break None;
            }
            let line = String::from_utf8_lossy(&line);
            match line.strip_prefix("= ") {
                Some(status) => break Some(status.trim_end() == "0"),
                None => output += &line,
            }
        };
        let output = output.trim_end().to_owned();
        match status {
            Some(true) => Ok(output),
            _ => Err(KeeperError::Failed { command: command.to_owned(), output }),
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.commands = None;
        let _ = self.process.wait();
    }
}
