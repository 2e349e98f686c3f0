//! The gate as those around it see it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{io, thread};

use futures_util::FutureExt;
use tokio::time::advance;
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::{
    config::{Backoff, Check, CheckKind, Pacing, Target},
    telemetry::bystander::stand_by,
};

const INTERVAL: Duration = Duration::from_secs(5);

#[test]
fn who_is_held_waits_for_what_blocks_and_not_for_what_is_only_missed() {
    let gate = Gate::of(&plan_with("llm", Role::Optional), Metrics::new());
    let waiting = gate.lane(0).waiting();
    assert_eq!((gate.is_waited_for(0), gate.is_waited_for(1)), (true, false));
    drop(waiting);
    assert!(!gate.is_waited_for(0));
}

#[tokio::test(start_paused = true)]
async fn readers_see_the_gate_open_when_the_check_passes() {
    let gate = gate(1);
    let mut reader = gate.lane(0).subscribe();
    assert_eq!((gate.verdict().label(), gate.lane(0).opened_at()), ("shut", None));
    advance(INTERVAL).await;
    pass(&gate);
    assert!(reader.changed().now_or_never().is_some());
    assert_eq!((gate.verdict(), gate.lane(0).opened_at()), (Verdict::Open, Some(Instant::now())));
}

#[tokio::test]
async fn turns_come_oldest_first_and_only_so_many_at_a_time() {
    let gate = gate(2);
    let lane = gate.lane(0);
    let mut turns: Vec<_> = [30, 10, 20].into_iter().map(|seq| Box::pin(lane.turn(seq))).collect();
    assert!(turns.iter_mut().all(|turn| turn.now_or_never().is_none()), "the gate is shut");
    pass(&gate);
    assert!((&mut turns[0]).now_or_never().is_none(), "the youngest waits");
    let first = (&mut turns[1]).now_or_never();
    let second = (&mut turns[2]).now_or_never();
    assert!(first.is_some() && second.is_some());
    drop(first);
    assert!((&mut turns[0]).now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_was_waited_for_lets_two_more_begin_and_one_answered_at_once_a_single_one() {
    for (took, begin) in [(Duration::ZERO, 1), (Duration::from_millis(20), 2)] {
        let gate = gate(64);
        let lane = gate.lane(0);
        let mut turns: Vec<_> = (0..20).map(|seq| Box::pin(lane.turn(seq))).collect();
        assert!(turns.iter_mut().all(|turn| turn.now_or_never().is_none()), "the gate is shut");
        pass(&gate);
        let mut permits: Vec<_> = turns.iter_mut().map_while(|turn| turn.now_or_never()).collect();
        let first = permits.len();
        advance(took).await;
        drop(permits.pop());
        let more: Vec<_> = turns[first..].iter_mut().map_while(|turn| turn.now_or_never()).collect();
        assert_eq!(more.len(), begin, "{took:?}");
    }
}

#[tokio::test]
async fn a_session_that_gives_up_leaves_its_place_to_the_next() {
    let gate = gate(1);
    let lane = gate.lane(0);
    let mut turns: Vec<_> = [1, 2, 3].into_iter().map(|seq| Box::pin(lane.turn(seq))).collect();
    assert!(turns.iter_mut().all(|turn| turn.now_or_never().is_none()));
    drop(turns.remove(1));
    pass(&gate);
    drop(turns.remove(0));
    assert!((&mut turns[0]).now_or_never().is_some(), "the first had its turn and the second left");
}

#[tokio::test]
async fn a_turn_granted_before_the_gate_shut_again_is_not_taken() {
    let gate = gate(1);
    let lane = gate.lane(0);
    let mut turn = Box::pin(lane.turn(1));
    assert!((&mut turn).now_or_never().is_none());
    pass(&gate);
    gate.dial_refused();
    assert!((&mut turn).now_or_never().is_none());
    pass(&gate);
    assert!((&mut turn).now_or_never().is_some());
}

#[tokio::test]
async fn nobody_passes_a_draining_gate() {
    let gate = gate(1);
    pass(&gate);
    gate.drain();
    pass(&gate);
    assert_eq!(gate.verdict(), Verdict::Draining);
    assert!(gate.lane(0).turn(1).now_or_never().is_none());
}

#[tokio::test]
async fn a_refused_dial_shuts_the_gate_and_wakes_the_check() {
    let gate = gate(1);
    pass(&gate);
    assert!(gate.woken(0).now_or_never().is_none());
    gate.dial_refused();
    assert_eq!(gate.verdict().blockers()[0].class, Class::Refused);
    assert!(gate.woken(0).now_or_never().is_some());
    gate.dial_refused();
    assert!(gate.woken(0).now_or_never().is_none(), "the check is on its backoff already");
}

#[tokio::test]
async fn a_session_that_lost_its_upstream_wakes_the_check_and_changes_no_verdict() {
    let gate = Gate::of(&plan_with("cache", Role::Required), Metrics::new());
    gate.upstream_doubted();
    assert!(gate.woken(0).now_or_never().is_none(), "a check that does not pass keeps its rhythm");
    (0..2).for_each(|index| _ = gate.report(index, Ok(()), Duration::ZERO, SystemTime::now()));
    gate.upstream_doubted();
    assert_eq!(gate.verdict(), Verdict::Open);
    assert!(
        gate.woken(0).now_or_never().is_some() && gate.woken(1).now_or_never().is_none(),
        "the upstream's own only"
    );
}

#[tokio::test(start_paused = true)]
async fn an_arrival_wakes_a_check_once_and_only_when_its_result_is_stale() {
    let gate = gate(1);
    pass(&gate);
    advance(INTERVAL * 2).await;
    gate.arrived();
    assert!(gate.woken(0).now_or_never().is_none(), "not stale yet");
    advance(Duration::from_millis(1)).await;
    gate.arrived();
    assert!(gate.woken(0).now_or_never().is_some());
    gate.arrived();
    assert!(gate.woken(0).now_or_never().is_none(), "asked for already");
}

#[tokio::test]
async fn a_snapshot_says_what_each_check_found_and_when() {
    let gate = gate(1);
    let (took, at) = (Duration::from_millis(7), SystemTime::now());
    gate.report(0, Err(unready()), took, at);
    let Snapshot { verdict, routes, checks } = gate.snapshot();
    assert_eq!((verdict.label(), routes[0].path.as_str(), routes.len()), ("shut", "*", 1));
    assert_eq!(routes[0].verdict.blockers().len(), 1);
    let expected = CheckView {
        name: "upstream".to_owned(),
        kind: "tcp",
        required: true,
        state: CheckState::Failing,
        class: Some(Class::NotReady),
        reason: Some("answered 503".to_owned()),
        hint: Some("wait"),
        suspicion: None,
        latency: Some(took),
        timeout: INTERVAL,
        breaker: BreakerState::Closed,
        last_checked: Some(at),
    };
    assert_eq!(checks, [expected]);
}

#[tokio::test]
async fn the_chronicle_rings_once_a_change_of_name_and_shows_the_verdict_that_is_in_force() {
    let gate = gate(1);
    let mut changes = gate.chronicle().subscribe();
    let at = SystemTime::now();
    gate.report(0, Err(unready()), Duration::ZERO, at);
    assert!(!changes.has_changed().unwrap() && gate.chronicle().last().is_empty(), "shut is what it was");
    pass(&gate);
    changes.changed().await.unwrap();
    assert_eq!(gate.verdict(), Verdict::Open);
    gate.report(0, Err(unready()), Duration::ZERO, at);
    let [shut, open] = &gate.chronicle().last()[..] else { panic!("not two changes") };
    assert_eq!((open.from, open.to, open.because.is_none()), ("shut", "open", true));
    let because = shut.because.as_ref().map(|blocker| blocker.reason.as_str());
    assert_eq!((shut.from, shut.to, shut.at, because), ("open", "shut", at, Some("answered 503")));
}

#[test]
fn a_check_that_never_passed_although_its_target_answers_is_told_once_and_shown_until_it_passes() {
    let gate = gate(1);
    let wrong = Failure { class: Class::Unexpected, reason: "answered 404".to_owned(), hint: None };
    let text = logged(|| {
        for _ in 0..9 {
            gate.report(0, Err(wrong.clone()), Duration::ZERO, SystemTime::now());
        }
    });
    let told = "upstream takes connections but has never passed: answered 404; is it the right check? \
                the gate stays shut until it passes";
    assert_eq!(text.matches(told).count(), 1, "{text}");
    assert_eq!(gate.snapshot().checks[0].suspicion.as_deref(), Some(told));
    pass(&gate);
    assert_eq!(gate.snapshot().checks[0].suspicion, None);
}

#[test]
fn each_change_is_one_line_that_says_why_and_how_long_it_was_otherwise() {
    let text = logged(|| {
        let gate = gate(1);
        gate.report(0, Err(unready()), Duration::ZERO, SystemTime::now());
        gate.report(0, Err(unready()), Duration::ZERO, SystemTime::now());
        pass(&gate);
        pass(&gate);
        gate.dial_refused();
        gate.drain();
        gate.drain();
    });
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[0].contains("WARN") && lines[0].contains("gate stays shut"), "{text}");
    assert!(
        lines[0].contains(r#"route="*" check="upstream" class="not-ready" reason="answered 503" hint="wait""#),
        "{text}"
    );
    assert!(lines[1].contains("INFO") && lines[1].contains(r#"gate open route="*" lasted_ms="#), "{text}");
    assert!(
        lines[2].contains("WARN") && lines[2].contains(r#"gate shut route="*" check="upstream" class="refused""#),
        "{text}"
    );
    assert!(lines[3].contains("gate draining"), "{text}");
}

#[test]
fn a_line_begins_with_what_fails_and_not_with_what_has_yet_to_run() {
    let text = logged(|| {
        let gate = Gate::of(&plan_with("cache", Role::Required), Metrics::new());
        gate.report(1, Err(unready()), Duration::ZERO, SystemTime::now());
        pass(&gate);
    });
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains(r#"check="cache""#) && text.contains(r#"others="upstream"#), "{text}");
}

#[test]
fn the_numbers_name_the_check_that_shuts_a_route_and_the_one_that_is_only_missed() {
    let metrics = Metrics::new();
    let gate = Gate::of(&plan_with("llm", Role::Optional), Arc::clone(&metrics));
    let shown = |family: &str, check: &str| {
        let series = format!("readygate_gate_{family}{{check=\"{check}\",route=\"*\"}} ");
        let text = metrics.render();
        text.lines().find_map(|line| line.strip_prefix(&series)).map(str::to_owned)
    };
    let all = || {
        [("blocker", "upstream"), ("missing", "upstream"), ("blocker", "llm"), ("missing", "llm")]
            .map(|(family, check)| shown(family, check).is_some_and(|value| value == "1"))
    };
    assert_eq!(shown("missing", "llm").as_deref(), Some("0"), "it stands at zero from the start");
    assert_eq!(all(), [true, false, false, false]);
    gate.report(1, Err(unready()), Duration::ZERO, SystemTime::now());
    pass(&gate);
    assert_eq!(all(), [false, false, false, true]);
    gate.drain();
    assert_eq!(all(), [false; 4]);
}

#[test]
fn a_line_is_not_missed_because_a_thread_that_does_not_listen_came_by_first() {
    let line = || tracing::info!("reached");
    let text = logged(|| {
        thread::spawn(line).join().unwrap();
        line();
    });
    assert!(text.contains("reached"), "{text}");
}

pub(super) fn logged(work: impl FnOnce()) -> String {
    stand_by();
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).finish();
    tracing::subscriber::with_default(subscriber, work);
    String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn gate(concurrency: usize) -> Gate {
    Gate::of(&plan(concurrency), Metrics::new())
}

pub(super) fn plan(concurrency: usize) -> Plan {
    let backoff = Backoff { initial: Duration::from_millis(10), max: Duration::from_secs(1) };
    let pacing = Pacing {
        interval: INTERVAL,
        timeout: INTERVAL,
        backoff,
        rise: 1,
        fall: 1,
        breaker: crate::config::Breaker { attempts: 10, cooldown: std::time::Duration::from_secs(10) },
    };
    let kind = CheckKind::Tcp(Target { host: "127.0.0.1".to_owned(), port: 1, tls: None });
    let check = Check { name: "upstream".to_owned(), kind, pacing };
    Plan::of_upstream(&[check], NonZeroUsize::new(concurrency).unwrap())
}

/// A second check with this name and role, which every route needs.
fn plan_with(name: &str, role: Role) -> Plan {
    let mut plan = plan(1);
    let mut second = PlannedCheck { role, ..plan.checks[0].clone() };
    name.clone_into(&mut second.check.name);
    plan.checks.push(second);
    plan.lanes.iter_mut().filter(|lane| lane.path.is_some()).for_each(|lane| lane.needs.push(1));
    plan
}

pub(super) fn pass(gate: &Gate) {
    gate.report(0, Ok(()), Duration::ZERO, SystemTime::now());
}

pub(super) fn unready() -> Failure {
    Failure { class: Class::NotReady, reason: "answered 503".to_owned(), hint: Some("wait") }
}
