//! `${NAME}` in a string.

/// Why a string cannot be completed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// This variable is not set.
    Unset(String),
    /// `${` without `}`.
    Unclosed,
    /// What stands between the braces is no name.
    NoName(String),
}

/// The string with every `${NAME}` replaced; none where there is nothing to replace. `$${` stands for a literal `${`.
/// What a variable holds is taken as it is: it is not searched again.
pub(super) fn substitute<'v>(
    text: &str,
    variable: impl Fn(&str) -> Option<&'v str>,
) -> Result<Option<String>, Vec<Fault>> {
    if !text.contains("${") {
        return Ok(None);
    }
    let (mut whole, mut faults, mut rest) = (String::new(), Vec::new(), text);
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(literal) = before.strip_suffix('$') {
            whole.extend([literal, "${"]);
            rest = after;
            continue;
        }
        let Some((name, after)) = after.split_once('}') else {
            faults.push(Fault::Unclosed);
            break;
        };
        whole.push_str(before);
        match value_of(name, &variable) {
            Ok(value) => whole.push_str(value),
            Err(fault) => faults.push(fault),
        }
        rest = after;
    }
    whole.push_str(rest);
    if faults.is_empty() { Ok(Some(whole)) } else { Err(faults) }
}

fn value_of<'v>(name: &str, variable: impl Fn(&str) -> Option<&'v str>) -> Result<&'v str, Fault> {
    if !is_name(name) {
        return Err(Fault::NoName(name.to_owned()));
    }
    variable(name).ok_or_else(|| Fault::Unset(name.to_owned()))
}

fn is_name(name: &str) -> bool {
    let starts_well = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    starts_well && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::{Fault, substitute};

    fn with_host(text: &str) -> Result<Option<String>, Vec<Fault>> {
        substitute(text, |name| (name == "HOST").then_some("db ${HOST}"))
    }

    #[test]
    fn a_name_is_replaced_wherever_it_stands_and_only_once() {
        assert_eq!(with_host("a${HOST}b${HOST}").unwrap().unwrap(), "adb ${HOST}bdb ${HOST}");
    }

    #[test]
    fn a_string_without_a_name_is_left_alone() {
        assert_eq!(with_host("$5 {HOST} $HOST"), Ok(None));
    }

    #[test]
    fn a_doubled_dollar_is_a_literal_one() {
        assert_eq!(with_host("$${HOST} ${HOST}").unwrap().unwrap(), "${HOST} db ${HOST}");
    }

    #[test]
    fn every_fault_of_a_string_is_named() {
        let faults = with_host("${A}${HOST}${B-x}${C").unwrap_err();
        assert_eq!(faults, [Fault::Unset("A".into()), Fault::NoName("B-x".into()), Fault::Unclosed]);
    }
}
