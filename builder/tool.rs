//! The only place that starts processes.
//!
//! A [`Tool`] is a program with its arguments and the **whole** environment that it sees: nothing is inherited. Standard
//! output and error are captured unless they are directed into a file. An error repeats the command so that it can
//! be pasted into a shell, its status, and the end of what it wrote to standard error.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, bail};
use rustix::process::Pid;

use crate::sandbox::{self, Circumstances, Sandbox};

/// How much of a failed program's standard error an error message shows, in bytes.
const SHOWN_STDERR: usize = 2048;

/// The niceness of what yields: nice(1)'s.
const NICENESS: i32 = 10;

/// A program that is about to be run.
#[derive(Debug, Default)]
#[must_use]
pub struct Tool {
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    directory: Option<PathBuf>,
    stdin: Input,
    stdout: Option<File>,
    sandbox: Option<Sandbox>,
    circumstances: Circumstances,
    yielding: bool,
}

#[derive(Debug, Default)]
enum Input {
    #[default]
    Nothing,
    Bytes(Vec<u8>),
    File(File),
    Pipe,
}

impl Tool {
    /// A call of `program` without arguments and with an empty environment.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self { program: program.as_ref().to_owned(), ..Self::default() }
    }

    /// Adds one argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets one variable of the environment.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets variables of the environment.
    pub fn envs(
        mut self,
        variables: impl IntoIterator<Item = (impl AsRef<OsStr>, impl AsRef<OsStr>)>,
    ) -> Self {
        let variables = variables.into_iter();
        self.environment
            .extend(variables.map(|(name, value)| (name.as_ref().to_owned(), value.as_ref().to_owned())));
        self
    }

    /// Starts the program in `directory`.
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.directory = Some(directory.as_ref().to_owned());
        self
    }

    /// Feeds `bytes` to standard input, which is empty otherwise.
    pub fn stdin_bytes(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Input::Bytes(bytes.into());
        self
    }

    /// Connects standard input to `file`.
    pub fn stdin_file(mut self, file: File) -> Self {
        self.stdin = Input::File(file);
        self
    }

    /// Makes standard input a pipe that [`Running::stdin`] writes to.
    pub fn stdin_pipe(mut self) -> Self {
        self.stdin = Input::Pipe;
        self
    }

    /// Sends standard output to `file`.
    pub fn stdout_file(mut self, file: File) -> Self {
        self.stdout = Some(file);
        self
    }

    /// Runs the program inside `sandbox`, where its path is one inside. There is no working directory but `/` then.
    pub fn inside(mut self, sandbox: Sandbox) -> Self {
        self.sandbox = Some(sandbox);
        self
    }

    /// Runs the program under other circumstances; not together with [`Tool::inside`].
    pub fn under(mut self, circumstances: Circumstances) -> Self {
        self.circumstances = circumstances;
        self
    }

    /// Leaves the processor to others where it is wanted by others: for what nobody waits for yet.
    pub fn yielding(mut self) -> Self {
        self.yielding = true;
        self
    }

    /// Runs the program to its end.
    ///
    /// # Errors
    /// If it cannot be started or does not exit with 0.
    pub fn run(self) -> Result<()> {
        self.output().map(drop)
    }

    /// Runs the program to its end and returns what it wrote to standard output.
    ///
    /// # Errors
    /// If it cannot be started or does not exit with 0.
    pub fn output(self) -> Result<Vec<u8>> {
        let mut running = self.spawn()?;
        let mut output = Vec::new();
        if let Some(mut stdout) = running.stdout.take() {
            stdout.read_to_end(&mut output).with_context(|| format!("reading from {}", running.shown))?;
        }
        running.wait()?;
        Ok(output)
    }

    /// Starts the program. It is killed if the result is dropped before [`Running::wait`], and when the thread that called
    /// this ends, even by SIGKILL.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn spawn(self) -> Result<Running> {
        let shown = self.to_string();
        #[expect(clippy::disallowed_methods, reason = "this is the wrapper that everything else uses")]
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_clear().envs(self.environment).stderr(Stdio::piped());
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command.stdout(self.stdout.map_or_else(Stdio::piped, Stdio::from));
        let mut feed = None;
        command.stdin(match self.stdin {
            Input::Nothing => Stdio::null(),
            Input::File(file) => Stdio::from(file),
            Input::Pipe => Stdio::piped(),
            Input::Bytes(bytes) => {
                feed = Some(bytes);
                Stdio::piped()
            }
        });
        match &self.sandbox {
            Some(sandbox) => sandbox.enclose(&mut command).with_context(|| format!("starting {shown}"))?,
            None => {
                // Another user first: with him the kernel forgets how the process is to end.
                if self.circumstances != Circumstances::default() {
                    self.circumstances.apply(&mut command);
                }
                sandbox::end_with_thread(&mut command);
            }
        }
        let mut child = command.spawn().with_context(|| format!("starting {shown}"))?;
        if self.yielding {
            // One that has ended already needs nothing, and without the right to it all are equal.
            let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            let _ = rustix::process::setpriority_process(id, NICENESS);
        }
        let stderr = child.stderr.take().map(|stderr| std::thread::spawn(move || end_of(stderr)));
        let mut stdin = child.stdin.take();
        if let Some(bytes) = feed
            && let Some(mut pipe) = stdin.take()
        {
            // A program that stops reading early says so by its status.
            std::thread::spawn(move || pipe.write_all(&bytes));
        }
        Ok(Running { stdin, stdout: child.stdout.take(), child, stderr, shown, finished: false })
    }
}

impl std::fmt::Display for Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&quoted(&self.program))?;
        self.arguments.iter().try_for_each(|argument| write!(f, " {}", quoted(argument)))
    }
}

/// `word` as a shell would need it.
fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Reads `stderr` to its end and keeps the last part.
fn end_of(mut stderr: ChildStderr) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stderr.read(&mut buffer) {
        kept.extend_from_slice(&buffer[..count]);
        let surplus = kept.len().saturating_sub(SHOWN_STDERR);
        kept.drain(..surplus);
    }
    kept
}

/// A program that is running.
#[derive(Debug)]
pub struct Running {
    /// The pipe to its standard input, if [`Tool::stdin_pipe`] asked for one. Drop it to close it.
    pub stdin: Option<ChildStdin>,
    /// Its standard output, unless that goes into a file.
    pub stdout: Option<ChildStdout>,
    child: Child,
    stderr: Option<JoinHandle<Vec<u8>>>,
    shown: String,
    finished: bool,
}

impl Running {
    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether the program has ended, without waiting for it.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        let status = self.child.try_wait().with_context(|| format!("waiting for {}", self.shown))?;
        self.finished |= status.is_some();
        Ok(status)
    }

    /// Whether the program has ended, without waiting for it.
    ///
    /// # Errors
    /// If it ended with another status than 0; the message is that of [`Running::wait`].
    pub fn finish(&mut self) -> Result<bool> {
        match self.try_wait()? {
            None => Ok(false),
            Some(status) if status.success() => Ok(true),
            Some(status) => bail!(self.failure(status)),
        }
    }

    /// Ends the program now.
    ///
    /// # Errors
    /// If it cannot be signalled or waited for.
    pub fn kill(mut self) -> Result<()> {
        self.finished = true;
        self.child
            .kill()
            .and_then(|()| self.child.wait())
            .with_context(|| format!("ending {}", self.shown))?;
        Ok(())
    }

    /// Waits for the end of the program.
    ///
    /// # Errors
    /// If it does not exit with 0; the message has the command and the end of its standard error.
    pub fn wait(mut self) -> Result<()> {
        drop(self.stdin.take());
        let status = self.child.wait().with_context(|| format!("waiting for {}", self.shown))?;
        self.finished = true;
        if status.success() { Ok(()) } else { bail!(self.failure(status)) }
    }

    /// The message about a program that ended with `status`.
    fn failure(&mut self, status: ExitStatus) -> String {
        let stderr = self.stderr.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        let mut message = format!("running {}: {status}", self.shown);
        for line in String::from_utf8_lossy(&stderr).lines() {
            let _ = write!(message, "\n    {line}");
        }
        message
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.finished {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_repeats_the_command_and_the_end_of_stderr() {
        let error =
            Tool::new("/bin/sh").args(["-c", "echo \"it's\" >&2; exit 3"]).run().unwrap_err().to_string();
        assert!(error.contains(r#"/bin/sh -c 'echo "it'\''s" >&2; exit 3'"#), "{error}");
        assert!(error.contains("exit status: 3") && error.contains("    it's"), "{error}");
    }

    #[test]
    fn nothing_is_inherited_and_input_is_fed() {
        let environment = Tool::new("/usr/bin/env").env("ONLY", "this").output().unwrap();
        assert_eq!(environment, b"ONLY=this\n");
        let long = vec![b'x'; 1 << 20];
        assert_eq!(Tool::new("/bin/cat").stdin_bytes(long.clone()).output().unwrap(), long);
        let mut running = Tool::new("/bin/cat").stdin_pipe().spawn().unwrap();
        running.stdin.take().unwrap().write_all(b"piped").unwrap();
        let mut output = Vec::new();
        running.stdout.take().unwrap().read_to_end(&mut output).unwrap();
        assert_eq!(output, b"piped");
        running.wait().unwrap();
    }

    #[test]
    fn a_program_ends_with_the_thread_that_started_it() {
        let started = std::thread::spawn(|| {
            let running = Tool::new("/bin/sleep").arg("60").spawn().unwrap();
            let id = running.id();
            // Not dropped: as if the thread had been killed.
            std::mem::forget(running);
            id
        });
        let id = rustix::process::Pid::from_raw(started.join().unwrap().cast_signed());
        let (_, status) =
            rustix::process::waitpid(id, rustix::process::WaitOptions::empty()).unwrap().unwrap();
        assert_eq!(status.terminating_signal(), Some(9));
    }
}
