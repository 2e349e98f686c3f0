//! The subscriber of threads that do not listen, in tests.
//!
//! A callsite keeps whether anybody is interested in it. One that a thread without a subscriber is the first to reach,
//! while one other thread listens, is kept as of interest to nobody, and the other thread misses its line. With a bystander
//! as the global default no thread is without a subscriber.

use std::sync::Once;

use tracing::{
    Event, Metadata, Subscriber,
    span::{Attributes, Id, Record},
    subscriber::{Interest, set_global_default},
};

/// Takes nothing, and wants to be asked each time.
struct Bystander;

/// Call it before a test listens to what its own thread logs.
pub(crate) fn stand_by() {
    static STANDS: Once = Once::new();
    STANDS.call_once(|| {
        // Where there is a global default already, that one does as well.
        let _ = set_global_default(Bystander);
    });
}

impl Subscriber for Bystander {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, _: &Metadata<'_>) -> bool {
        false
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        // Never asked for: no span is enabled.
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
