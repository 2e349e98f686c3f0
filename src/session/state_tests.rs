#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::{
    config::{Accept, AllowedOrigins},
    dial::{DialError, DialFault},
    session::event::Patience,
    splice::flow::End,
};
use http::StatusCode;
use std::num::NonZeroUsize;

const HOLD: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(5);

fn policy(on_timeout: OnTimeout) -> config::Gate {
    config::Gate {
        mode: config::Mode::Enforce,
        rollout: config::Rollout::default(),
        accept: Accept::Auto,
        subprotocols: vec![],
        allowed_origins: AllowedOrigins::Any,
        hold_timeout: HOLD,
        on_timeout,
        confirm: None,
        release_concurrency: NonZeroUsize::MIN,
        close_codes: vec![],
    }
}

fn dial_fault(fault: DialFault) -> Fault {
    Fault::Dial(DialError { fault, reason: String::new(), hint: None })
}

fn unconfirmed(on_timeout: OnTimeout) -> Input {
    Input::Unconfirmed(Patience { timeout: PATIENCE, on_timeout })
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
        unconfirmed(OnTimeout::Close),
        Input::Confirmed,
        Input::UpstreamClosed,
        Input::UpstreamLost { between_frames: true },
        Input::UpstreamLost { between_frames: false },
        Input::Replayed,
        Input::Parting(Outcome::Completed),
        Input::Spliced(End::Completed),
        Input::Deadline,
    ]
}

/// A machine in each state, with or without a 101 sent, reached the way a session reaches it.
fn every_machine(now: Instant) -> Vec<Machine> {
    let (unconfirmed, waived) = (unconfirmed(OnTimeout::Close), unconfirmed(OnTimeout::Pass));
    let ways: [&[Input]; 10] = [
        &[],
        &[Input::GateShut],
        &[Input::GateOpen],
        &[Input::GateOpen, unconfirmed.clone()],
        &[Input::GateOpen, waived, Input::Deadline],
        &[Input::GateOpen, unconfirmed, Input::UpstreamClosed],
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
    use State::{Arrived, Closing, Confirming, Dialing, Done, Held, Open, Replaying};
    match (before, after) {
        (Arrived, Held | Dialing)
        | (Held, Dialing)
        | (Dialing, Held | Confirming | Replaying)
        | (Confirming, Replaying)
        | (Replaying, Open)
        | (Arrived | Held | Dialing | Confirming | Replaying | Open, Closing(_) | Done(_))
        | (Closing(_), Done(_)) => true,
        (Arrived | Held | Dialing | Confirming | Replaying | Open | Closing(_) | Done(_), _) => before == after,
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
                let stays = [Action::Wait, Action::DialAfter(1), Action::Waive, Action::Cut];
                assert!(stays.contains(&action), "{before:?} + {input:?} stays but asks for {action:?}");
            }
            pairs += 1;
        }
    }
    assert_eq!(pairs, 30 * 20);
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
fn a_want_of_our_own_descriptors_is_waited_out_and_at_the_deadline_called_our_own_fault() {
    let now = Instant::now();
    let starved = Input::Faulted(dial_fault(DialFault::Starved));
    let mut machine = Machine::new(&policy(OnTimeout::Close), now);
    let _ = machine.handle(Input::GateOpen, now);
    for attempt in 1..=3 * retry::ATTEMPTS {
        assert_eq!(machine.handle(starved.clone(), now), Action::DialAfter(attempt));
    }
    assert_eq!(machine.handle(starved, now + HOLD), Action::Dismiss(Outcome::Internal));
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

#[test]
fn r11_nothing_is_replayed_before_the_confirmation() {
    let now = Instant::now();
    for input in every_input().into_iter().filter(|input| *input != Input::Confirmed) {
        let way = [Input::GateOpen, unconfirmed(OnTimeout::Close), input.clone()];
        assert_ne!(walked(OnTimeout::Close, true, &way, now).1, Action::Join, "{input:?}");
    }
    let way = [Input::GateOpen, unconfirmed(OnTimeout::Close), Input::Confirmed];
    assert_eq!(walked(OnTimeout::Close, true, &way, now), (State::Replaying, Action::Join));
}

#[test]
fn r11_a_wait_for_the_confirmation_is_counted_from_the_101_and_closes_or_passes_as_it_says_itself() {
    let (arrived, connected) = (Instant::now(), Instant::now() + Duration::from_secs(20));
    for (of_hold, of_confirm, expected, left) in [
        (OnTimeout::Pass, OnTimeout::Close, Action::Dismiss(Outcome::ConfirmTimeout), None),
        (OnTimeout::Close, OnTimeout::Pass, Action::Waive, Some(State::Confirming)),
    ] {
        let mut machine = Machine::new(&policy(of_hold), arrived);
        machine.accepted = true;
        let _ = machine.handle(Input::GateOpen, connected);
        assert_eq!(machine.handle(unconfirmed(of_confirm), connected), Action::Listen);
        assert_eq!(machine.deadline(), Some(connected + PATIENCE));
        assert_eq!(machine.handle(Input::Deadline, connected + PATIENCE), expected);
        if let Some(state) = left {
            assert_eq!((machine.state(), machine.deadline()), (state, None), "it must not wait a second time");
        }
    }
}

#[test]
fn a_session_that_passed_on_its_hold_still_waits_for_the_confirmation() {
    let now = Instant::now();
    let way = [Input::GateShut, Input::Deadline, unconfirmed(OnTimeout::Close)];
    assert_eq!(walked(OnTimeout::Pass, true, &way, now), (State::Confirming, Action::Listen));
    let mut machine = Machine::new(&policy(OnTimeout::Pass), now);
    way.into_iter().for_each(|input| drop(machine.handle(input, now)));
    assert_eq!(machine.deadline(), Some(now + PATIENCE));
}

#[test]
fn an_upstream_that_goes_before_it_confirms_is_told_as_its_way_of_going_allows() {
    let now = Instant::now();
    let after = |input: Input| {
        let way = [Input::GateOpen, unconfirmed(OnTimeout::Pass), input];
        walked(OnTimeout::Close, true, &way, now)
    };
    let (closed, lost) = (Outcome::Unconfirmed, Outcome::UpstreamLost);
    assert_eq!(after(Input::UpstreamClosed), (State::Closing(closed), Action::Part));
    let told = (State::Closing(lost), Action::Dismiss(lost));
    assert_eq!(after(Input::UpstreamLost { between_frames: true }), told);
    assert_eq!(after(Input::UpstreamLost { between_frames: false }), (State::Done(lost), Action::End));
}

#[test]
fn a_gate_that_shuts_means_nothing_to_a_session_that_waits_for_its_confirmation_and_a_drain_ends_it() {
    let now = Instant::now();
    let begin = [Input::GateOpen, unconfirmed(OnTimeout::Close)];
    let shut = [&begin[..], &[Input::GateShut]].concat();
    assert_eq!(walked(OnTimeout::Close, true, &shut, now), (State::Confirming, Action::Wait));
    let drained = [&begin[..], &[Input::Draining]].concat();
    let told = (State::Closing(Outcome::Drained), Action::Dismiss(Outcome::Drained));
    assert_eq!(walked(OnTimeout::Close, true, &drained, now), told);
}
