//! One answered request, as Cloud Logging has it. PURE.

use std::{net::IpAddr, time::Duration};

use http::{StatusCode, Version};
use serde_json::json;

/// <https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry#HttpRequest>
#[derive(Clone, Copy, Debug)]
pub struct HttpRequest<'r> {
    /// GET, POST and so on.
    pub method: &'r str,
    /// Without the query, for it may hold a secret.
    pub path: &'r str,
    /// Missing where the client went before it was answered.
    pub status: Option<StatusCode>,
    /// The client's address.
    pub peer: IpAddr,
    /// From its arrival.
    pub lasted: Duration,
    /// In which it was asked.
    pub version: Version,
}

/// Most of a path that is remembered and logged. Longer ones are a client's whim, and 10,000 of them would be a flood.
const SHOWN_PATH: usize = 256;

/// As much of `path` as is remembered and logged.
#[must_use]
pub fn shown(path: &str) -> &str {
    &path[..path.floor_char_boundary(SHOWN_PATH)]
}

impl HttpRequest<'_> {
    /// The object.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut object = json!({
            "requestMethod": self.method,
            "requestUrl": self.path,
            "latency": format!("{:.3}s", self.lasted.as_secs_f64()),
            "remoteIp": self.peer.to_string(),
            "protocol": format!("{:?}", self.version),
        });
        if let Some(status) = self.status {
            object["status"] = status.as_u16().into();
        }
        object.to_string()
    }
}
