//! The configuration's file after the start: looked at on a timer and when asked, and handed on when it is another.
//!
//! What is compared is content, that of the file and of every file it names: a symbolic link that points elsewhere, as
//! Kubernetes swaps a ConfigMap, shows as well as an edit, and a touch does not. A file that cannot be used changes
//! nothing, and is said once; it is tried again at every look, for what is missing may be about to come.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use sha2::{Digest, Sha256};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use crate::{
    config::{
        Change, Config, Effect, Environment, Loaded, Problem, Problems, Refusal, ReloadOutcome, Settings, Standing,
        files::NamedFile,
    },
    telemetry::{log::Threshold, metrics::Metrics},
};

/// Between two looks. A change is to be in force within 5 s, and a file that was caught half-written must be whole at the
/// next look within that time.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Requests to look that may wait for one that is under way.
const WAITING_ASKS: usize = 8;

/// A configuration that is to come into force.
#[derive(Debug)]
pub struct Proposal {
    /// The configuration.
    pub config: Config,
    /// A file that says whom we trust has other contents, under the same name or another.
    pub trust_changed: bool,
}

/// Looks after one file.
#[derive(Debug)]
pub struct Watch {
    path: PathBuf,
    /// A pipe has given its text: nothing can be seen there again.
    is_spent: bool,
    /// As it was at the start: variables of a process do not change from outside.
    environment: Environment,
    threshold: Threshold,
    asker: mpsc::Sender<oneshot::Sender<ReloadOutcome>>,
    asks: mpsc::Receiver<oneshot::Sender<ReloadOutcome>>,
    standing: watch::Sender<Standing>,
    /// Of the start: what needs a restart is compared with them.
    first: Settings,
    settings: Settings,
    print: Print,
    refused: Option<Refused>,
}

/// What was last said of a file that cannot be used.
#[derive(Debug, PartialEq, Eq)]
struct Refused {
    text: Option<Hash>,
    problems: Problems,
}

/// What the file and those it names held.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Print {
    text: Hash,
    files: Vec<(NamedFile, Option<Hash>)>,
}

type Hash = [u8; 32];

/// What a look at the file saw.
enum Seen {
    Same,
    Other(Box<Loaded>, Print),
    Unusable(Refused),
}

impl Watch {
    /// Looks after the file at `path`, from which `loaded` was read in `environment`. The log follows the file's level by
    /// `threshold`.
    #[must_use]
    pub fn new(path: &Path, environment: Environment, loaded: &Loaded, threshold: Threshold) -> Self {
        let print = Print::of(loaded);
        let standing = Standing {
            file: path.display().to_string(),
            loaded_at: SystemTime::now(),
            hash: digits(&print.text),
            changed: Vec::new(),
            restart_needed: Vec::new(),
            refusal: None,
        };
        let (asker, asks) = mpsc::channel(WAITING_ASKS);
        Self {
            path: path.to_owned(),
            is_spent: regular(path, "").is_err(),
            environment,
            threshold,
            asker,
            asks,
            standing: watch::Sender::new(standing),
            first: loaded.settings.clone(),
            settings: loaded.settings.clone(),
            print,
            refused: None,
        }
    }

    /// Whoever sends an answer's way here has the file looked at at once.
    #[must_use]
    pub fn asker(&self) -> mpsc::Sender<oneshot::Sender<ReloadOutcome>> {
        self.asker.clone()
    }

    /// What is in force.
    #[must_use]
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Looks for ever, and where the file is a pipe only when asked. `adopt` brings a configuration into force, or says why it cannot be.
    pub async fn run(mut self, metrics: &Metrics, mut adopt: impl FnMut(Proposal) -> Result<(), String>) {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let ask = tokio::select! {
                ask = self.asks.recv() => ask,
                _ = ticks.tick(), if !self.is_spent => None,
            };
            let outcome = self.look(metrics, &mut adopt).await;
            if let Some(ask) = ask {
                self.tell_asker(ask, outcome, metrics);
            }
        }
    }

    fn tell_asker(&self, ask: oneshot::Sender<ReloadOutcome>, outcome: ReloadOutcome, metrics: &Metrics) {
        if outcome == ReloadOutcome::Unchanged {
            metrics.config_looked_at(outcome.label());
            tracing::info!(file = %self.path.display(), "configuration unchanged");
        }
        // Whoever asked may have gone.
        let _ = ask.send(outcome);
    }

    async fn look(
        &mut self,
        metrics: &Metrics,
        adopt: &mut impl FnMut(Proposal) -> Result<(), String>,
    ) -> ReloadOutcome {
        let (path, known) = (self.path.clone(), self.print.clone());
        let environment = Environment { now: SystemTime::now(), ..self.environment.clone() };
        // A file system can hang, and a worker must not.
        match spawn_blocking(move || see(&path, &environment, &known)).await {
            Ok(Seen::Same) => self.settle(metrics),
            Ok(Seen::Other(loaded, print)) => self.take(*loaded, print, metrics, adopt),
            Ok(Seen::Unusable(refused)) => self.refuse(refused, metrics),
            Err(error) => self.refuse(self.unfit(None, &error.to_string()), metrics),
        }
    }

    /// The file is what is in force, perhaps again.
    fn settle(&mut self, metrics: &Metrics) -> ReloadOutcome {
        if self.refused.take().is_some() {
            metrics.config_usable(true);
            self.standing.send_modify(|standing| standing.refusal = None);
            tracing::info!(file = %self.path.display(), "the file holds the configuration in force again");
        }
        ReloadOutcome::Unchanged
    }

    fn take(
        &mut self,
        loaded: Loaded,
        print: Print,
        metrics: &Metrics,
        adopt: &mut impl FnMut(Proposal) -> Result<(), String>,
    ) -> ReloadOutcome {
        let Loaded { config, settings, warnings, .. } = loaded;
        let changed = self.changed(&settings, &print);
        let level = config.log.level;
        if !changed.is_empty() {
            let trust_changed = print.trust() != self.print.trust();
            if let Err(what) = adopt(Proposal { config, trust_changed }) {
                return self.refuse(self.unfit(Some(print.text), &what), metrics);
            }
        }
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        self.threshold.set(level);
        (self.settings, self.print, self.refused) = (settings, print, None);
        self.publish(changed, metrics)
    }

    /// Keys and files that differ from what is in force, by key.
    fn changed(&self, settings: &Settings, print: &Print) -> Vec<String> {
        let keys = settings.changes_since(&self.settings).into_iter().map(|change| change.key);
        let mut changed: Vec<String> = keys.chain(print.files_other_than(&self.print)).collect();
        changed.sort();
        changed.dedup();
        changed
    }

    fn publish(&self, changed: Vec<String>, metrics: &Metrics) -> ReloadOutcome {
        let needs_restart = |change: Change| (change.effect == Effect::NeedsRestart).then_some(change.key);
        let restart_needed: Vec<_> =
            self.settings.changes_since(&self.first).into_iter().filter_map(needs_restart).collect();
        let (now, hash) = (SystemTime::now(), digits(&self.print.text));
        metrics.config_usable(true);
        metrics.config_taken(now, !restart_needed.is_empty());
        self.standing.send_modify(|standing| {
            (standing.loaded_at, standing.hash, standing.refusal) = (now, hash, None);
            (standing.changed, standing.restart_needed) = (changed.clone(), restart_needed.clone());
        });
        let file = self.path.display();
        tracing::info!(%file, changed = changed.join(", "), "configuration reloaded");
        if !restart_needed.is_empty() {
            let keys = restart_needed.join(", ");
            tracing::warn!(%file, keys, "these keys keep their old values until a restart");
        }
        let outcome = ReloadOutcome::Changed { changed, restart_needed };
        metrics.config_looked_at(outcome.label());
        outcome
    }

    fn refuse(&mut self, refused: Refused, metrics: &Metrics) -> ReloadOutcome {
        let problems = refused.problems.clone();
        if self.refused.as_ref() != Some(&refused) {
            metrics.config_usable(false);
            metrics.config_looked_at(ReloadOutcome::Refused(problems.clone()).label());
            let told = problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; ");
            tracing::error!(problems = told, "configuration refused: the old one stays in force");
            let refusal = Refusal { at: SystemTime::now(), problems: problems.clone() };
            self.standing.send_modify(|standing| standing.refusal = Some(refusal));
            self.refused = Some(refused);
        }
        ReloadOutcome::Refused(problems)
    }

    fn unfit(&self, text: Option<Hash>, what: &str) -> Refused {
        Refused { text, problems: Problems::one(Problem::of_file(&self.path.display().to_string(), what)) }
    }
}

fn see(path: &Path, environment: &Environment, known: &Print) -> Seen {
    let file = path.display().to_string();
    let text = match regular(path, &file).and_then(|()| Config::read_text(path)) {
        Ok(text) => text,
        Err(problems) => return Seen::Unusable(Refused { text: None, problems }),
    };
    if known.is_still(&text) {
        return Seen::Same;
    }
    match Config::parse_with_warnings(&text, &file, environment) {
        Err(problems) => Seen::Unusable(Refused { text: Some(hash(text.as_bytes())), problems }),
        Ok(loaded) => {
            let print = Print::of(&loaded);
            Seen::Other(Box::new(loaded), print)
        }
    }
}

/// A pipe gives its text once and makes the second reader wait.
fn regular(path: &Path, file: &str) -> Result<(), Problems> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => {
            Err(Problems::one(Problem::of_file(file, "is no regular file: it cannot be read again")))
        }
        // A file that is missing is said by whoever reads it.
        Ok(_) | Err(_) => Ok(()),
    }
}

impl Print {
    fn of(loaded: &Loaded) -> Self {
        let with_hash = |file: NamedFile| (file.clone(), contents(&file.path).ok());
        Self { text: loaded.hash, files: loaded.config.files().into_iter().map(with_hash).collect() }
    }

    /// The text is this, and the files that it names hold what they held.
    fn is_still(&self, text: &str) -> bool {
        let same = |(file, hash): &(NamedFile, Option<Hash>)| contents(&file.path).ok() == *hash;
        self.text == hash(text.as_bytes()) && self.files.iter().all(same)
    }

    /// The keys of files that hold something else than in `other`, or are not in there.
    fn files_other_than(&self, other: &Self) -> Vec<String> {
        let differing = self.files.iter().filter(|file| !other.files.contains(file));
        differing.map(|(file, _)| file.key.clone()).collect()
    }

    /// Whom we trust.
    fn trust(&self) -> Vec<&(NamedFile, Option<Hash>)> {
        self.files.iter().filter(|(file, _)| file.is_trust).collect()
    }
}

fn contents(path: &Path) -> io::Result<Hash> {
    fs::read(path).map(|contents| hash(&contents))
}

fn hash(contents: &[u8]) -> Hash {
    Sha256::digest(contents).into()
}

fn digits(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
