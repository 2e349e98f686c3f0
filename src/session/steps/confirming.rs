//! What the machine's actions do between the upstream's 101 and its confirmation.

use crate::{
    session::{
        ClientStream,
        client::Client,
        drive::{Drive, Leg},
        listening::Listening,
    },
    telemetry::metrics::Side,
    upstream::Upstream,
};

impl<C: ClientStream, U: Upstream> Drive<C, U> {
    /// The upstream is there and has to confirm.
    pub(in crate::session) fn listen(&mut self) {
        self.relay_101(|joined| joined.lines.clone());
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
        self.part_upstream(code, &[]);
    }

    /// Puts a Close to an upstream that has not confirmed.
    pub(in crate::session) fn part_upstream(&mut self, code: Option<u16>, reason: &[u8]) {
        let Leg::Listening(listening) = &mut self.client else { return };
        listening.part(code, reason);
        if let Some(code) = code {
            self.books.house.metrics.close_sent(Side::Upstream, code);
        }
    }
}
