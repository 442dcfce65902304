//! The commands.

mod check;
mod crawl;
mod dead_letters;
mod export;
mod failure;
mod grid;
mod man;
mod planned;
mod policy;
mod print;
mod reads;
mod replay;
mod serve;

use crate::cli::{Cli, Command};
use crate::exit::Exit;
use crate::terminal::Terminal;

pub use failure::Failure;

/// Runs the command.
///
/// # Errors
/// If the command cannot start, or its output fails.
pub async fn run(cli: Cli) -> Result<Exit, Failure> {
    let typed = cli.global.typed.clone();
    run_command(cli).await.map_err(|failure| failure.in_typed_words(&typed))
}

async fn run_command(cli: Cli) -> Result<Exit, Failure> {
    let terminal = Terminal::new();
    match cli.command {
        Command::Crawl(args) => Box::pin(crawl::crawl(&cli.global, &args, &terminal)).await,
        Command::Serve(args) => Box::pin(serve::serve(&cli.global, &args, &terminal)).await,
        Command::Status(args) => reads::status(&cli.global, &args),
        Command::Runs(args) => reads::runs(&cli.global, &args),
        Command::Tables(args) => reads::tables(&cli.global, &args),
        Command::Changes(args) => reads::changes(&cli.global, &args),
        Command::Check(args) => Box::pin(check::check(&cli.global, &args, &terminal)).await,
        Command::Policy(args) => policy::policy(&cli.global, &args).await,
        Command::Sinks(args) => reads::sinks(&cli.global, &args),
        Command::DeadLetters(args) => dead_letters::dead_letters(&cli.global, &args).await,
        Command::Replay(args) => Box::pin(replay::replay(&cli.global, &args)).await,
        Command::Export(args) => export::export(&cli.global, &args),
        Command::Schema => print::schema(),
        Command::Config(args) => print::config(&args),
        Command::Completions { shell } => print::completions(shell),
        Command::Man => man::man(),
    }
}
