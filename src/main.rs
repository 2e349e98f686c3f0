//! Arguments, configuration, log, run, exit code: 0 done or drained, 1 failed, 2 wrong usage or configuration.

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use readygate::{
    app::{App, StartError, project},
    cli::{self, doctor::Diagnosis},
    config::{Config, Environment, ReloadOutcome},
    descriptors::{self, Share},
    reload::Watch,
    telemetry::log,
};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
};

/// A session's beginning and end are some fifty small pieces of memory each, which the C library's allocator takes longer
/// over, and packs less tightly (`cargo bench --bench peers -- connections memory`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Wrong usage or configuration, as clap has it too.
const MISUSED: u8 = 2;

/// A sidecar reverse proxy that holds WebSocket clients until the backend is ready.
#[derive(Debug, Parser)]
#[command(version, about, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy (the default).
    Run(Run),
    /// Say every problem of a configuration, with line and column.
    Check(Check),
    /// Show the main job without any other program: a slow backend, a gate and clients in one process.
    Demo(cli::demo::Options),
    /// Print the JSON schema of proxy.toml.
    Schema,
    /// Say what in a Cloud Run service or a Kubernetes manifest will hurt, with the line, the reason and the remedy.
    Doctor(cli::doctor::Options),
    /// Ask once by HTTP: 0 for any 2xx, else 1. For health checks in images without a shell.
    Probe(cli::probe::Options),
}

#[derive(Debug, clap::Args)]
struct Run {
    /// The configuration file.
    #[arg(long, short, default_value = "proxy.toml", env = "READYGATE_CONFIG")]
    config: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Check {
    /// The configuration file.
    #[arg(long, short, default_value = "proxy.toml", env = "READYGATE_CONFIG")]
    config: PathBuf,
    /// Run each check once and print verdict, latency and reason.
    #[arg(long)]
    live: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        None => run(&arguments.run.config),
        Some(Command::Run(run_arguments)) => run(&run_arguments.config),
        Some(Command::Check(check)) => check_config(&check),
        Some(Command::Demo(options)) => demo(&options),
        Some(Command::Schema) => cli::schema::print(&mut io::stdout()).map(|()| ExitCode::SUCCESS),
        Some(Command::Doctor(options)) => doctor(&options),
        Some(Command::Probe(options)) => probe(&options),
    };
    result.unwrap_or_else(|error| fail(&error))
}

fn run(path: &Path) -> io::Result<ExitCode> {
    let environment = Environment::of_process();
    let loaded = match Config::load_with_warnings(path, &environment) {
        Ok(loaded) => loaded,
        Err(problems) => {
            writeln!(io::stderr(), "{problems}")?;
            return Ok(ExitCode::from(MISUSED));
        }
    };
    let wanted = &loaded.config.log;
    let log = log::init(wanted.format, wanted.level, io::stdout().is_terminal()).map_err(io::Error::other)?;
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let project = project::Source::of(&environment);
    let watch = Watch::new(path, environment, &loaded, log.threshold());
    let runtime = runtime(loaded.config.server.workers.get())?;
    runtime.spawn(project.learn());
    let result = runtime.block_on(serve(loaded.config, watch));
    runtime.shutdown_background();
    match result {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            tracing::error!("{error}");
            Ok(fail(&error))
        }
    }
}

async fn serve(config: Config, watch: Watch) -> Result<(), StartError> {
    let (platform, patience) = (config.profile.place.label(), config.profile.patience);
    // From the first line of the log on, a signal drains.
    let (stop, asker) = (stop_signal(), watch.asker());
    // And from here on a hangup does no harm.
    tokio::spawn(hangups(asker));
    if let Err(error) = descriptors::raise() {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    if let Err(error) = descriptors::make_room() {
        tracing::warn!(%error, "there is no room for open files beforehand: sessions stall where it is made");
    }
    let app = App::new(config)?.watching(watch);
    if let (Ok(public), Ok(admin)) = (app.public_address(), app.admin_address()) {
        let open_files = Share::here().limit;
        let version = env!("CARGO_PKG_VERSION");
        tracing::info!(%public, %admin, platform, patience, open_files, version, "listening");
    }
    app.run(stop).await;
    Ok(())
}

/// Takes signals from this call on, and resolves on SIGTERM or SIGINT. A process that cannot take signals runs until it is
/// killed. Must be called in a runtime.
fn stop_signal() -> impl Future<Output = ()> {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    async move {
        let (Ok(mut term), Ok(mut int)) = signals else {
            tracing::error!("signals cannot be taken: this process will not drain");
            return std::future::pending().await;
        };
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    }
}

/// Takes SIGHUP, which by default would kill, from this call on: each has the configuration's file looked at. Must be called
/// in a runtime.
fn hangups(asker: mpsc::Sender<oneshot::Sender<ReloadOutcome>>) -> impl Future<Output = ()> {
    let hangup = signal(SignalKind::hangup());
    async move {
        let Ok(mut hangup) = hangup else {
            return tracing::error!("SIGHUP cannot be taken: it will kill this process");
        };
        while hangup.recv().await.is_some() {
            tracing::info!("SIGHUP: looking at the configuration");
            let (answer, outcome) = oneshot::channel();
            // The log has told what came of it; in a drain nobody looks any more.
            let _ = asker.send(answer).await;
            let _ = outcome.await;
        }
    }
}

fn check_config(check: &Check) -> io::Result<ExitCode> {
    let mut out = io::stdout();
    let Some(config) = cli::check::run(&check.config, &Environment::of_process(), &mut out)? else {
        return Ok(ExitCode::from(MISUSED));
    };
    if !check.live {
        return Ok(ExitCode::SUCCESS);
    }
    let all_pass = runtime(1)?.block_on(cli::live::run(&config, &mut out))?;
    Ok(if all_pass { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn demo(options: &cli::demo::Options) -> io::Result<ExitCode> {
    let nothing_lost = runtime(2)?.block_on(cli::demo::run(options, io::stdout().is_terminal()))?;
    Ok(if nothing_lost { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn doctor(options: &cli::doctor::Options) -> io::Result<ExitCode> {
    Ok(match cli::doctor::run(options, &mut io::stdout())? {
        Diagnosis::Sound => ExitCode::SUCCESS,
        Diagnosis::Findings => ExitCode::FAILURE,
        Diagnosis::Unreadable => ExitCode::from(MISUSED),
    })
}

fn probe(options: &cli::probe::Options) -> io::Result<ExitCode> {
    let passes = runtime(1)?.block_on(cli::probe::run(options, &mut io::stdout()))?;
    Ok(if passes { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn runtime(workers: usize) -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(workers).enable_all().build()
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    // Standard error is all that is left.
    let _ = writeln!(io::stderr(), "readygate: {error}");
    ExitCode::FAILURE
}
