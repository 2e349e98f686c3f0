#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::{
    config::{Accept, AllowedOrigins},
    dial::{DialError, DialFault},
    splice::flow::End,
};
use http::StatusCode;
use std::num::NonZeroUsize;

const HOLD: Duration = Duration::from_secs(30);

fn policy(on_timeout: OnTimeout) -> config::Gate {
    config::Gate {
        mode: config::Mode::Enforce,
        rollout: config::Rollout::default(),
        accept: Accept::Auto,
        subprotocols: vec![],
        allowed_origins: AllowedOrigins::Any,
        hold_timeout: HOLD,
        on_timeout,
        release_concurrency: NonZeroUsize::MIN,
        close_codes: vec![],
    }
}

fn dial_fault(fault: DialFault) -> Fault {
    Fault::Dial(DialError { fault, reason: String::new(), hint: None })
}

fn every_input() -> Vec<Input> {
    let violation = Violation { code: close::PROTOCOL_ERROR, what: "" };
    vec![
        Input::GateOpen,
        Input::GateShut,
        Input::Draining,
        Input::CutDue,
        Input::NoRoom,
        Input::Turn,
        Input::Violated(violation),
        Input::Stalled,
        Input::Full,
        Input::ClientEnded { left_frames: true },
        Input::ClientEnded { left_frames: false },
        Input::ClientClosed(ClientClose { code: None }),
        Input::ClientSilent,
        Input::ClientLost,
        Input::Faulted(dial_fault(DialFault::Refused)),
        Input::Faulted(dial_fault(DialFault::Timeout)),
        Input::Faulted(Fault::Silent(HOLD)),
        Input::Faulted(Fault::Handshake(String::new())),
        Input::Declined(StatusCode::UNAUTHORIZED),
        Input::Mismatched,
        Input::Connected,
        Input::Replayed,
        Input::Parting(Outcome::Completed),
        Input::Spliced(End::Completed),
        Input::Deadline,
    ]
}

/// A machine in each state, with or without a 101 sent, reached the way a session reaches it.
fn every_machine(now: Instant) -> Vec<Machine> {
    let ways: [&[Input]; 7] = [
        &[],
        &[Input::GateShut],
        &[Input::GateOpen],
        &[Input::GateOpen, Input::Connected],
        &[Input::GateOpen, Input::Connected, Input::Replayed],
        &[Input::GateOpen, Input::Connected, Input::Replayed, Input::Parting(Outcome::UpstreamLost)],
        &[Input::GateOpen, Input::Connected, Input::Replayed, Input::Spliced(End::Completed)],
    ];
    let walk = |accepted: bool, way: &[Input]| {
        let mut machine = Machine::new(&policy(OnTimeout::Close), now);
        machine.accepted = accepted;
        way.iter().for_each(|input| drop(machine.handle(input.clone(), now)));
        machine
    };
    ways.iter().flat_map(|way| [walk(false, way), walk(true, way)]).collect()
}

fn walked(on_timeout: OnTimeout, accepted: bool, way: &[Input], now: Instant) -> (State, Action) {
    let mut machine = Machine::new(&policy(on_timeout), now);
    machine.accepted = accepted;
    let mut action = Action::Wait;
    for input in way {
        action = machine.handle(input.clone(), now);
    }
    (machine.state(), action)
}

/// Which states can follow which: the prose of the module as a table.
fn may_follow(before: State, after: State) -> bool {
    use State::{Arrived, Closing, Dialing, Done, Held, Open, Replaying};
    match (before, after) {
        (Arrived, Held | Dialing)
        | (Held, Dialing)
        | (Dialing, Held | Replaying)
        | (Replaying, Open)
        | (Arrived | Held | Dialing | Replaying | Open, Closing(_) | Done(_))
        | (Closing(_), Done(_)) => true,
        (Arrived | Held | Dialing | Replaying | Open | Closing(_) | Done(_), _) => before == after,
    }
}

#[test]
fn every_input_in_every_state_leads_where_the_prose_says() {
    let now = Instant::now();
    let mut pairs = 0;
    for input in every_input() {
        for mut machine in every_machine(now) {
            let before = machine.state();
            let action = machine.handle(input.clone(), now);
            assert!(may_follow(before, machine.state()), "{before:?} + {input:?} → {:?}", machine.state());
            if before == machine.state() {
                let stays = [Action::Wait, Action::DialAfter(1), Action::Cut];
                assert!(stays.contains(&action), "{before:?} + {input:?} stays but asks for {action:?}");
            }
            pairs += 1;
        }
    }
    assert_eq!(pairs, 25 * 14);
}

#[test]
fn an_ended_session_does_nothing_more() {
    let now = Instant::now();
    for input in every_input() {
        for mut machine in every_machine(now).into_iter().filter(|m| matches!(m.state(), State::Done(_))) {
            assert_eq!(machine.handle(input.clone(), now), Action::Wait);
        }
    }
}

#[test]
fn nothing_is_dialed_after_the_upstream_has_answered() {
    let now = Instant::now();
    for input in every_input() {
        for mut machine in every_machine(now) {
            let may_dial = matches!(machine.state(), State::Arrived | State::Held | State::Dialing);
            let action = machine.handle(input.clone(), now);
            assert!(may_dial || !matches!(action, Action::Dial | Action::DialAfter(_)), "{input:?}");
        }
    }
}

#[test]
fn r09_a_hold_that_is_over_closes_or_passes_as_configured() {
    let now = Instant::now();
    let way = [Input::GateShut, Input::Deadline];
    let timeout = Outcome::HoldTimeout;
    let closed = (State::Closing(timeout), Action::Dismiss(timeout));
    assert_eq!(walked(OnTimeout::Close, true, &way, now), closed);
    assert_eq!(walked(OnTimeout::Close, false, &way, now), (State::Done(timeout), Action::Dismiss(timeout)));
    assert_eq!(walked(OnTimeout::Pass, true, &way, now), (State::Dialing, Action::Dial));
}

#[test]
fn a_session_that_passed_on_its_deadline_is_not_held_a_second_time() {
    let way = [Input::GateShut, Input::Deadline, Input::Faulted(dial_fault(DialFault::Refused))];
    let unreachable = Outcome::UpstreamUnreachable;
    let expected = (State::Closing(unreachable), Action::Dismiss(unreachable));
    assert_eq!(walked(OnTimeout::Pass, true, &way, Instant::now()), expected);
}

#[test]
fn a_refused_dial_leads_back_to_the_hold() {
    let way = [Input::GateOpen, Input::Faulted(dial_fault(DialFault::Refused))];
    assert_eq!(walked(OnTimeout::Close, false, &way, Instant::now()), (State::Held, Action::HoldAgain(1)));
}

#[test]
fn a_gate_that_opens_again_and_again_before_nothing_ends_as_unreachable() {
    let refused = Input::Faulted(dial_fault(DialFault::Refused));
    let mut way = vec![Input::GateShut];
    for _ in 0..TELLING_REFUSALS {
        way.extend([Input::Turn, refused.clone()]);
    }
    way.push(Input::Deadline);
    let (state, _) = walked(OnTimeout::Close, true, &way, Instant::now());
    assert_eq!(state, State::Closing(Outcome::UpstreamUnreachable));
}

#[test]
fn r16_dials_that_sent_nothing_are_tried_again_until_the_hold_is_over() {
    let now = Instant::now();
    let timed_out = Input::Faulted(dial_fault(DialFault::Timeout));
    let mut machine = Machine::new(&policy(OnTimeout::Close), now);
    let _ = machine.handle(Input::GateOpen, now);
    assert_eq!(machine.handle(timed_out.clone(), now), Action::DialAfter(1));
    assert_eq!(machine.handle(timed_out.clone(), now), Action::DialAfter(2));
    let unreachable = Outcome::UpstreamUnreachable;
    assert_eq!(machine.handle(timed_out, now + HOLD), Action::Dismiss(unreachable));
}

#[test]
fn the_deadline_of_the_hold_is_counted_from_arrival_whatever_happens_meanwhile() {
    let now = Instant::now();
    let mut machine = Machine::new(&policy(OnTimeout::Close), now);
    let _ = machine.handle(Input::GateShut, now + Duration::from_secs(1));
    let _ = machine.handle(Input::Turn, now + Duration::from_secs(2));
    let refused = Input::Faulted(dial_fault(DialFault::Refused));
    let _ = machine.handle(refused, now + Duration::from_secs(3));
    assert_eq!(machine.deadline(), Some(now + HOLD));
}

#[test]
fn a_drain_tells_the_held_and_leaves_the_open_alone_until_the_cut() {
    let now = Instant::now();
    let held = walked(OnTimeout::Close, true, &[Input::GateShut, Input::Draining], now);
    assert_eq!(held, (State::Closing(Outcome::Drained), Action::Dismiss(Outcome::Drained)));
    let open = [Input::GateOpen, Input::Connected, Input::Replayed, Input::Draining];
    assert_eq!(walked(OnTimeout::Close, true, &open, now), (State::Open, Action::Wait));
    let cut = [Input::GateOpen, Input::Connected, Input::Replayed, Input::CutDue];
    assert_eq!(walked(OnTimeout::Close, true, &cut, now), (State::Closing(Outcome::Drained), Action::Cut));
}

#[test]
fn a_refusal_of_the_upstream_is_relayed_before_the_101_and_mapped_after_it() {
    let now = Instant::now();
    let way = [Input::GateOpen, Input::Declined(StatusCode::UNAUTHORIZED)];
    let refused = Outcome::UpstreamRefused(StatusCode::UNAUTHORIZED);
    assert_eq!(walked(OnTimeout::Close, false, &way, now), (State::Done(refused), Action::Relay));
    assert_eq!(walked(OnTimeout::Close, true, &way, now), (State::Closing(refused), Action::Dismiss(refused)));
}
