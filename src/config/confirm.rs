//! `gate.confirm`: by which message a backend says that it is ready for one connection.

use std::time::Duration;

use serde_json::Value;

use super::OnTimeout;

/// What is waited for after the upstream's 101, and for how long. All of its expectations must hold of one message.
#[derive(Clone, Debug)]
pub struct Confirm {
    /// JSON pointers and the values they must have.
    pub json: Vec<(String, Value)>,
    /// Text that the message must contain.
    pub text: Option<String>,
    /// From the 101 to the message.
    pub timeout: Duration,
    /// What becomes of a session whose time is over.
    pub on_timeout: OnTimeout,
    /// Longer messages are passed on and not looked at.
    pub message_bytes: usize,
}

impl Confirm {
    /// Whether `message`, the payload of a whole text message, is the one.
    #[must_use]
    pub fn accepts(&self, message: &[u8]) -> bool {
        let Ok(message) = str::from_utf8(message) else { return false };
        if self.text.as_ref().is_some_and(|text| !message.contains(text)) {
            return false;
        }
        if self.json.is_empty() {
            return true;
        }
        let Ok(document) = serde_json::from_str::<Value>(message) else { return false };
        self.json.iter().all(|(pointer, wanted)| document.pointer(pointer) == Some(wanted))
    }
}
