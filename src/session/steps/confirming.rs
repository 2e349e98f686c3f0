//! What the machine's actions do between the upstream's 101 and its confirmation.

use crate::{
    hold::head,
    session::{
        ClientStream,
        client::Client,
        drive::{Drive, Leg},
        event::Input,
        listening::Listening,
    },
    telemetry::metrics::Side,
    upstream::Upstream,
};

impl<C: ClientStream, U: Upstream> Drive<C, U> {
    /// The upstream is there and has to confirm. A client that was not held so far takes a place in the budget for that.
    pub(in crate::session) fn listen(&mut self) {
        if self.lease.is_none() && !matches!(self.client, Leg::Here(_)) {
            self.lease = head::place(&self.books.house.budget, self.arrived.handshake.weight());
            if self.lease.is_none() {
                return self.handle(Input::NoRoom);
            }
        }
        self.relay_101(|joined| joined.head.clone());
        match std::mem::replace(&mut self.client, Leg::Gone) {
            Leg::Here(client) => self.listen_beside(*client),
            other @ (Leg::Pending(_) | Leg::Listening(_) | Leg::Gone) => self.client = other,
        }
    }

    fn listen_beside(&mut self, client: Client<C>) {
        let (Some(joined), Some(rule)) = (self.joined.take(), self.route().gate.confirm.clone()) else { return };
        self.arrived.handshake.forget();
        self.client = Leg::Listening(Box::new(Listening::new(client, joined, rule)));
    }

    pub(in crate::session) fn waive(&mut self) {
        if let Leg::Listening(listening) = &mut self.client {
            listening.waive();
        }
    }

    /// The upstream's Close has gone to the client and is answered with its own code (RFC 6455 §5.5.1).
    pub(in crate::session) fn part(&mut self) {
        let Leg::Listening(listening) = &mut self.client else { return };
        listening.client_mut().part();
        let code = listening.close_code();
        self.part_upstream(code);
    }

    /// Puts a Close to an upstream that has not confirmed.
    pub(in crate::session) fn part_upstream(&mut self, code: Option<u16>) {
        let Leg::Listening(listening) = &mut self.client else { return };
        listening.part(code);
        if let Some(code) = code {
            self.books.house.metrics.close_sent(Side::Upstream, code);
        }
    }
}
