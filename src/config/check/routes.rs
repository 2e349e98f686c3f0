//! `[[routes]]`: paths, what their sessions depend on, and where they differ from `[gate]` and `[hold]`.

use std::{collections::BTreeSet, time::Duration};

use http::uri::PathAndQuery;

use super::Checker;
use crate::config::{
    Check, Dependency, Gate, Hold, PathPattern, Rollout, Route,
    key_path::KeyPath,
    known_keys::nearest,
    raw_policy,
    units::{Size, Time},
};

/// The path of the route for everything else.
const EVERYTHING: &str = "*";
/// How a path is written.
const PATH_FORM: &str = r#"write path = "/ws/*"; "*" alone is every path"#;

impl Checker<'_, '_> {
    /// The routes of the file, and one for everything else that follows `gate` and `hold`.
    pub(super) fn routes(
        &mut self,
        raw: Vec<raw_policy::Route>,
        names: &[String],
        gate: &Gate,
        hold: &Hold,
    ) -> Vec<Route> {
        let mut routes: Vec<Route> = Vec::new();
        for (index, raw) in raw.into_iter().enumerate() {
            let at = KeyPath::from("routes").item(index);
            let path = self.pattern(&at, raw.path.as_deref());
            if let Some(path) = &path {
                self.push_unreachable(&at, path, &routes);
            }
            let depends_on = self.depends_on(&at, raw.depends_on.as_deref(), names);
            let (gate, hold) = (self.route_gate(&at, &raw, gate), self.route_hold(&at, &raw, hold));
            routes.push(Route { path: path.unwrap_or_else(|| PathPattern::new("")), gate, hold, depends_on });
        }
        if routes.last().is_none_or(|last| last.path.as_str() != EVERYTHING) {
            let depends_on = (0..names.len()).collect();
            routes.push(Route { path: PathPattern::new(EVERYTHING), gate: gate.clone(), hold: *hold, depends_on });
        }
        routes
    }

    /// What works, and is hardly what was meant.
    pub(super) fn warn_of_doubtful_routes(&mut self, routes: &[Route], own: &[Check], dependencies: &[Dependency]) {
        for (index, dependency) in dependencies.iter().enumerate() {
            if !routes.iter().any(|route| route.depends_on.contains(&index)) {
                let name = &dependency.check.name;
                let what = format!("no route depends on {name:?}");
                self.warn(KeyPath::from("dependencies").key(name), what, "name it in depends_on, or leave it out");
            }
        }
        for (index, route) in routes.iter().enumerate() {
            let own_key = KeyPath::from("routes").item(index).key("hold_timeout");
            let key = if self.document.was_given(&own_key) { own_key } else { KeyPath::from("gate.hold_timeout") };
            let needed = route.depends_on.iter().filter_map(|place| dependencies.get(*place)).map(|each| &each.check);
            self.warn_of_an_idle_rollout(&KeyPath::from("routes").item(index), &route.gate);
            self.warn_of_a_hasty_hold(key, route.gate.hold_timeout, own.iter().chain(needed));
        }
    }

    fn warn_of_a_hasty_hold<'a>(&mut self, key: KeyPath, hold: Duration, checks: impl Iterator<Item = &'a Check>) {
        let Some(slowest) = checks.max_by_key(|check| check.pacing.timeout) else { return };
        let timeout = slowest.pacing.timeout;
        if timeout > hold {
            let (name, hold, timeout) = (&slowest.name, Time(hold), Time(timeout));
            let what =
                format!("{key} = \"{hold}\" is over before one attempt of the check {name:?} ({timeout}) may be");
            self.warn(key, what, "hold longer, or give the check a shorter timeout");
        }
    }

    fn pattern(&mut self, at: &KeyPath, path: Option<&str>) -> Option<PathPattern> {
        let key = at.key("path");
        let Some(text) = path else {
            self.push(key, format!("{at} has no path"), PATH_FORM);
            return None;
        };
        let quoted = self.quoted(&key, text);
        if text != EVERYTHING && !text.starts_with('/') {
            self.push(key, format!("{quoted} is no path: it does not begin with /"), PATH_FORM);
            return None;
        }
        if text.contains(['?', '#']) {
            self.push(key, format!("{quoted} has a query or a fragment"), "routes are chosen by the path alone");
            return None;
        }
        if let Some(stranger) = text.chars().find(|character| !may_stand_in_a_path(*character)) {
            let what = format!("{quoted} can never be chosen: no request's path has {stranger:?} in it");
            self.push(key, what, "write it as clients send it, percent-encoded: a space is %20");
            return None;
        }
        Some(PathPattern::new(text))
    }

    /// A pattern that takes another as if it were a path takes every path of it: a `*` is matched by `*` alone.
    fn push_unreachable(&mut self, at: &KeyPath, path: &PathPattern, earlier: &[Route]) {
        let Some(index) = earlier.iter().position(|route| route.path.matches(path.as_str())) else { return };
        let key = KeyPath::from("routes").item(index).key("path");
        let other = self.quoted(&key, earlier[index].path.as_str());
        let path = self.quoted(&at.key("path"), path.as_str());
        let (what, help) = match path == other {
            true => (format!("the route {path} is there twice"), "the first is in force: put both into one"),
            false => (
                format!("the route {path} can never be chosen: {other} before it matches all of its paths"),
                "the first match wins: put the narrower one first",
            ),
        };
        self.push(at.key("path"), what, help);
    }

    /// Places in `names`.
    fn depends_on(&mut self, at: &KeyPath, listed: Option<&[String]>, names: &[String]) -> Vec<usize> {
        let Some(listed) = listed else { return (0..names.len()).collect() };
        let (mut seen, mut places) = (BTreeSet::new(), Vec::new());
        for (index, name) in listed.iter().enumerate() {
            let path = at.key("depends_on").item(index);
            if !seen.insert(name) {
                self.push(path.clone(), format!("{} is listed twice", self.quoted(&path, name)), "once is enough");
            }
            match names.iter().position(|other| other == name) {
                Some(place) => places.push(place),
                None => self.push_unknown_dependency(&path, name, names),
            }
        }
        places
    }

    /// One that was found wrong before is known all the same.
    fn push_unknown_dependency(&mut self, path: &KeyPath, name: &str, names: &[String]) {
        if !self.document.is_sound(&KeyPath::from("dependencies").key(name)) {
            return;
        }
        let what = format!("there is no dependency {}", self.quoted(path, name));
        let known: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let help = match nearest(name, &known) {
            Some(near) => format!("did you mean {near:?}?"),
            None if known.is_empty() => "the file has no [dependencies]".to_owned(),
            None => format!("known here: {}", Vec::from_iter(known).join(", ")),
        };
        self.push(path.clone(), what, help);
    }

    fn route_gate(&mut self, at: &KeyPath, raw: &raw_policy::Route, common: &Gate) -> Gate {
        let subprotocols = raw.subprotocols.clone().map(|list| self.subprotocols(at, list));
        let allowed_origins = raw.allowed_origins.as_ref().map(|list| self.origins(at, list));
        let hold_timeout = raw.hold_timeout.map(|time| self.time(at.key("hold_timeout"), time));
        let confirm = raw.confirm.clone().map(|confirm| self.confirm(at, confirm));
        let release_concurrency = raw.release.as_ref().map(|release| self.release(at, release));
        let close_codes = raw.close_codes.as_ref().map(|codes| self.close_codes(at, codes));
        let rollout = self.route_rollout(at, raw, &common.rollout);
        Gate {
            mode: raw.mode.unwrap_or(common.mode),
            rollout,
            accept: raw.accept.unwrap_or(common.accept),
            subprotocols: subprotocols.unwrap_or_else(|| common.subprotocols.clone()),
            allowed_origins: allowed_origins.unwrap_or_else(|| common.allowed_origins.clone()),
            hold_timeout: hold_timeout.unwrap_or(common.hold_timeout),
            on_timeout: raw.on_timeout.unwrap_or(common.on_timeout),
            confirm: confirm.unwrap_or_else(|| common.confirm.clone()),
            release_concurrency: release_concurrency.unwrap_or(common.release_concurrency),
            close_codes: close_codes.unwrap_or_else(|| common.close_codes.clone()),
        }
    }

    fn route_rollout(&mut self, at: &KeyPath, raw: &raw_policy::Route, common: &Rollout) -> Rollout {
        let percent = raw.rollout_percent.map(|percent| self.rollout_percent(at, percent));
        let key = raw.rollout_key.as_ref().map(|key| self.rollout_key(at, key));
        Rollout { percent: percent.unwrap_or(common.percent), key: key.unwrap_or_else(|| common.key.clone()) }
    }

    fn route_hold(&mut self, at: &KeyPath, raw: &raw_policy::Route, common: &Hold) -> Hold {
        let total = Size(u64::try_from(common.total_bytes).unwrap_or(u64::MAX));
        let mut hold = *common;
        if let Some(size) = raw.connection_bytes {
            hold.connection_bytes = self.connection_bytes(at, size, total);
        }
        if let Some(frames) = raw.connection_frames {
            hold.connection_frames = self.connection_frames(at, frames);
        }
        if let Some(time) = raw.frame_timeout {
            hold.frame_timeout = self.time(at.key("frame_timeout"), time);
        }
        if let Some(time) = raw.ping_interval {
            hold.ping_interval = self.time(at.key("ping_interval"), time);
        }
        hold.when_full = raw.when_full.unwrap_or(common.when_full);
        hold
    }
}

/// By the parser that reads requests.
fn may_stand_in_a_path(character: char) -> bool {
    PathAndQuery::try_from(format!("/{character}")).is_ok()
}
