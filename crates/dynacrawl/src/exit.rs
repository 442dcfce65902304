//! Exit codes, which are an API.

use std::process::ExitCode;

/// How the process ends. If several variants apply, the first one in this order counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// 2: the command line, the configuration, or a file that it names cannot be used, and the user
    /// has to correct it. dynacrawl called nothing.
    Usage,
    /// 130: interrupted.
    Interrupted,
    /// 5: an output, the state, a sink or the listening address failed; a later attempt may work.
    SinkFailed,
    /// 4: no scope returned a single page: credentials, permissions or network.
    NothingListed,
    /// 3: something is missing, and the output names it.
    Partial,
    /// 0: everything is there.
    Complete,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::Interrupted => 130,
            Self::SinkFailed => 5,
            Self::NothingListed => 4,
            Self::Partial => 3,
            Self::Complete => 0,
        }
    }
}

impl Exit {
    /// What the code means, for people.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Usage => {
                "The command line, the configuration or a file that it names cannot be used, and the user has to \
                 correct it. dynacrawl called nothing."
            }
            Self::Interrupted => "Interrupted; requests in flight were completed.",
            Self::SinkFailed => {
                "An output, the state, a sink or the listening address failed; a later attempt may work."
            }
            Self::NothingListed => "No scope returned a single page: credentials, permissions or network.",
            Self::Partial => "Partial: something is missing, or removals or retirements are held; the output names it.",
            Self::Complete => "Complete.",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}
