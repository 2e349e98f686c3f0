//! `readygate demo`: the main job, shown without any other program.
//!
//! Two columns run side by side in one process, over real sockets on the loopback. Each has a `backend` that starts
//! late (its port refuses, then takes messages and loses them, then answers) and the same `client`s, which come while
//! it starts; in the second column a whole readygate stands between them (`gated`). `plan` says who comes when,
//! `column` and `ledger` keep the books of what both ends saw, `running` starts and stops it all; `screen` draws on a
//! terminal, `plain` writes lines elsewhere, `report` ends with both ledgers.

mod backend;
mod client;
mod column;
mod descriptors;
mod gated;
mod ledger;
mod mark;
mod plain;
mod plan;
mod report;
mod running;
mod screen;
#[cfg(test)]
mod tests;

use std::{env, io, time::Duration};

use clap::builder::RangedU64ValueParser;
use tokio::{
    signal::ctrl_c,
    time::{MissedTickBehavior, interval, sleep},
};

use self::{
    plain::Plain,
    plan::Plan,
    report::{End, Report},
    running::{Running, Scene},
    screen::Screen,
};

/// Each has six open files at most, and all of them a port of the loopback: enough for a crowd, and within what a
/// machine grants.
const MOST_CLIENTS: u64 = 2000;

/// As many as a hold keeps by default (`hold.connection_frames`).
const MOST_FRAMES: u64 = 1000;

/// Longer than any start worth watching.
const MOST_DELAY: Duration = Duration::from_secs(60);

/// Between two pictures: twelve a second look like motion.
const PICTURE_PAUSE: Duration = Duration::from_millis(80);

/// What the demo shows.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Clients of each column, 1 to 2000; they arrive while the backend starts.
    #[arg(long, default_value_t = 20, value_parser = RangedU64ValueParser::<usize>::new().range(1..=MOST_CLIENTS))]
    pub clients: usize,
    /// How long the backend takes to start, 0s to 60s.
    #[arg(long, default_value = "3s", value_parser = parse_delay)]
    pub delay: Duration,
    /// Messages that each client sends, 1 to 1000.
    #[arg(long, default_value_t = 5, value_parser = RangedU64ValueParser::<usize>::new().range(1..=MOST_FRAMES))]
    pub frames: usize,
}

/// Runs the demo, and prints it to standard output: drawn in place on a terminal, else as lines. Ends by itself. True
/// if through the gate nothing was lost, doubled, reordered or refused, and the books of the other column add up.
///
/// # Errors
/// Those of writing and of opening sockets.
pub async fn run(options: &Options, is_terminal: bool) -> io::Result<bool> {
    let plan = Plan { clients: options.clients, frames: options.frames, delay: options.delay };
    descriptors::raise(plan.clients)?;
    let mut out = io::stdout();
    let report = if is_terminal {
        let screen = Screen::new(&mut out, wants_colour())?;
        play(plan, screen).await?
    } else {
        play(plan, Plain::new(&mut out)).await?
    };
    report.print(&mut out)?;
    Ok(report.is_good())
}

/// Whatever shows the demo as it happens.
trait Show {
    fn show(&mut self, scene: &Scene) -> io::Result<()>;
}

async fn play(plan: Plan, mut show: impl Show) -> io::Result<Report> {
    let running = Running::start(plan)?;
    let (mut most_sessions, mut most_frames) = (0, 0);
    let end = {
        let mut over = std::pin::pin!(over(plan.limit()));
        let mut ticks = interval(PICTURE_PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let end = tokio::select! {
                biased;
                end = &mut over => Some(end),
                _ = ticks.tick() => None,
            };
            let scene = running.scene();
            most_sessions = most_sessions.max(scene.holding.sessions);
            most_frames = most_frames.max(scene.holding.frames);
            show.show(&scene)?;
            match end {
                Some(end) => break end,
                None if scene.is_settled() => break End::Settled,
                None => {}
            }
        }
    };
    let ledgers = match end {
        End::Settled => running.finish().await,
        End::OutOfTime | End::Interrupted => running.abort().await,
    };
    Ok(Report { plan, end, ledgers, most_sessions, most_frames })
}

/// Why it ends before it is done.
async fn over(limit: Duration) -> End {
    tokio::select! {
        () = sleep(limit) => End::OutOfTime,
        _ = ctrl_c() => End::Interrupted,
    }
}

/// See <https://no-color.org>.
fn wants_colour() -> bool {
    env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn parse_delay(text: &str) -> Result<Duration, String> {
    let delay = humantime::parse_duration(text).map_err(|error| format!("{error}; for example 3s or 500ms"))?;
    if delay > MOST_DELAY {
        return Err(format!("at most {}", humantime::format_duration(MOST_DELAY)));
    }
    Ok(delay)
}
