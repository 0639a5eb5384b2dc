//! Kills child processes, at a chosen moment or at random ones that can be repeated.

use std::{
    io::{self, BufRead, BufReader, Lines},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
};

/// A child process whose output is read, and which is killed.
#[derive(Debug)]
pub struct Victim {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Victim {
    /// Starts the program.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let out = child.stdout.take().ok_or_else(|| io::Error::other("the child has no output"))?;
        Ok(Self { child, lines: BufReader::new(out).lines() })
    }

    /// Starts it so that it ends itself at one of `cardea_store::crash::POINTS`, at the `count`th pass.
    ///
    /// # Errors
    /// As [`Victim::start`].
    pub fn start_to_crash(command: &mut Command, point: &str, count: u64) -> io::Result<Self> {
        Self::start(command.env("CRASH_AT", format!("{point}:{count}")))
    }

    /// Returns the process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the next line that it prints; `None` once it has ended.
    pub fn line(&mut self) -> Option<String> {
        self.lines.next().and_then(Result::ok)
    }

    /// Reads lines up to one that contains the word and returns that; `None` if the process ended before.
    pub fn until(&mut self, word: &str) -> Option<String> {
        loop {
            let line = self.line()?;
            if line.contains(word) {
                return Some(line);
            }
        }
    }

    /// Kills it with SIGKILL and returns the lines that it had printed and that were still unread.
    ///
    /// # Errors
    /// If it cannot be killed.
    pub fn kill(mut self) -> io::Result<Vec<String>> {
        self.child.kill()?;
        let rest = self.lines.by_ref().map_while(Result::ok).collect();
        self.child.wait()?;
        Ok(rest)
    }

    /// Stops it as an operator does (SIGTERM), and waits for its end.
    ///
    /// # Errors
    /// If it cannot be signalled or waited for.
    pub fn terminate(self) -> io::Result<(Vec<String>, bool)> {
        Command::new("kill").arg("-TERM").arg(self.id().to_string()).status()?;
        self.wait()
    }

    /// Waits for its end, and returns the exit status.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn ended(mut self) -> io::Result<ExitStatus> {
        self.lines.by_ref().map_while(Result::ok).for_each(drop);
        self.child.wait()
    }

    /// Waits for its end: the remaining lines, and whether it succeeded.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn wait(mut self) -> io::Result<(Vec<String>, bool)> {
        let rest = self.lines.by_ref().map_while(Result::ok).collect();
        Ok((rest, self.child.wait()?.success()))
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // A failed test must not leave its child behind. Killing one that has ended fails, which is fine.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Random numbers from a seed (SplitMix64). A failed run prints its seed.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Creates the dice of this seed.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number from 0 up to but excluding `below`; 0 if `below` is 0.
    pub fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)).checked_rem(below).unwrap_or(0)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn lines_that_were_printed_before_the_kill_are_not_lost() {
        let mut endless = Command::new("sh");
        endless.args(["-c", "echo one; echo two; echo three; while :; do read x < /dev/zero; done"]);
        let mut victim = Victim::start(&mut endless).unwrap();
        assert_eq!(victim.until("two").as_deref(), Some("two"));
        assert_eq!(victim.line().as_deref(), Some("three"));
        assert_eq!(victim.kill().unwrap(), Vec::<String>::new());

        let victim = Victim::start(Command::new("sh").args(["-c", "echo last; exit 3"])).unwrap();
        assert_eq!(victim.wait().unwrap(), (vec!["last".to_owned()], false));
    }

    #[test]
    fn a_seed_repeats_its_numbers() {
        let roll = |seed| {
            (0..8).map(|_| 0).scan(Dice::seeded(seed), |dice, _| Some(dice.below(6))).collect::<Vec<_>>()
        };
        assert_eq!(roll(7), roll(7));
        assert_ne!(roll(7), roll(8));
        assert!(roll(9).into_iter().all(|number| number < 6));
    }
}
