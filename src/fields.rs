//! The header fields of a request or an answer, whoever keeps them: hyper in a map, or readygate as they came. PURE.

use std::ops::Range;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use httparse::Header;

/// A field's name, as it is spelt, and its value.
pub type Line<'l> = (&'l [u8], &'l [u8]);

/// The fields of one head. Their names have no case (RFC 9110 §5.1); whoever asks for one writes it small.
pub trait Fields {
    /// All of them.
    fn lines(&self) -> impl Iterator<Item = Line<'_>>;

    /// The values of those called `name`, in their order.
    fn values<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f [u8]>;

    /// There is one called `name`.
    fn has(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }

    /// The text of the only one called `name`, trimmed. None where there are more, or it is no ASCII.
    fn one<'f>(&'f self, name: &'f str) -> Option<&'f str> {
        let mut values = self.values(name);
        match (values.next(), values.next()) {
            (Some(value), None) => text(value).map(str::trim_ascii),
            (Some(_), Some(_)) | (None, _) => None,
        }
    }

    /// The items of a list, trimmed, over all fields called `name` that are ASCII (RFC 9110 §5.6.1).
    fn items<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f [u8]> {
        let lists = self.values(name).filter(|value| value.is_ascii());
        lists.flat_map(|list| list.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii).filter(|item| !item.is_empty())
    }

    /// That list has `item`, in any case.
    fn has_item(&self, name: &str, item: &str) -> bool {
        self.items(name).any(|other| is(other, item))
    }
}

impl Fields for HeaderMap {
    fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
    }

    fn values<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f [u8]> {
        self.get_all(name).iter().map(HeaderValue::as_bytes)
    }
}

/// The fields of a head that is kept as it came.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    head: Bytes,
    places: Places,
}

/// Where in a head its fields are.
#[derive(Clone, Debug, Default)]
pub struct Places(Vec<Place>);

#[derive(Clone, Debug)]
struct Place {
    name: Range<usize>,
    value: Range<usize>,
}

impl Places {
    /// The places of `fields`, which are slices of `head`.
    #[must_use]
    pub fn of(head: &[u8], fields: &[Header]) -> Self {
        let range = |part: &[u8]| {
            let start = part.as_ptr().addr() - head.as_ptr().addr();
            start..start + part.len()
        };
        let place = |field: &Header| Place { name: range(field.name.as_bytes()), value: range(field.value) };
        Self(fields.iter().map(place).collect())
    }
}

impl Lines {
    /// The fields of `head`, which are at these places.
    #[must_use]
    pub fn new(head: Bytes, places: Places) -> Self {
        Self { head, places }
    }

    /// A head of these fields.
    #[must_use]
    pub fn copied<'l>(lines: impl Iterator<Item = Line<'l>>) -> Self {
        let (mut head, mut places) = (Vec::new(), Vec::new());
        for (name, value) in lines {
            let [name, value] = [name, value].map(|part| {
                let at = head.len();
                head.extend_from_slice(part);
                at..head.len()
            });
            places.push(Place { name, value });
        }
        Self { head: head.into(), places: Places(places) }
    }

    /// `name` as the first field of that name spells it, or as it is.
    #[must_use]
    pub fn spell<'n>(&'n self, name: &'n str) -> &'n [u8] {
        self.called(name).next().map_or(name.as_bytes(), |place| self.at(&place.name))
    }

    fn called<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f Place> {
        self.places.0.iter().filter(move |place| place.name.len() == name.len() && is(self.at(&place.name), name))
    }

    fn at(&self, range: &Range<usize>) -> &[u8] {
        &self.head[range.start..range.end]
    }
}

impl Fields for Lines {
    fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.places.0.iter().map(|Place { name, value }| (self.at(name), self.at(value)))
    }

    fn values<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f [u8]> {
        self.called(name).map(|place| self.at(&place.value))
    }
}

/// Both say the same, but perhaps one of them in capitals.
#[must_use]
pub fn is(spelt: &[u8], name: &str) -> bool {
    spelt.eq_ignore_ascii_case(name.as_bytes())
}

/// `value`, if all of it is ASCII. A control character but a tab comes through no parser.
#[must_use]
pub fn text(value: &[u8]) -> Option<&str> {
    str::from_utf8(value).ok().filter(|text| text.is_ascii())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use httparse::{EMPTY_HEADER, Request, Status};

    use super::*;

    const HEAD: &str = "GET / HTTP/1.1\r\nHost: a\r\nX-Empty:\r\nX-LIST: One,, two\t,three \r\nx-list: \u{e9}\r\nX-List: four\r\nX-Name: \u{e9}\r\n\r\n";

    /// The same fields, kept in each way.
    fn both() -> (HeaderMap, Lines) {
        let head = Bytes::from_static(HEAD.as_bytes());
        let mut fields = [EMPTY_HEADER; 6];
        let mut request = Request::new(&mut fields);
        assert_eq!(request.parse(&head), Ok(Status::Complete(HEAD.len())));
        let places = Places::of(&head, request.headers);
        let map = request.headers.iter().map(|field| {
            (field.name.parse::<http::HeaderName>().unwrap(), HeaderValue::from_bytes(field.value).unwrap())
        });
        (map.collect(), Lines::new(head.clone(), places))
    }

    fn check(fields: &impl Fields) {
        assert_eq!(
            fields.values("x-list").collect::<Vec<_>>(),
            [b"One,, two\t,three".as_slice(), "\u{e9}".as_bytes(), b"four"]
        );
        assert_eq!(fields.items("x-list").collect::<Vec<_>>(), [b"One".as_slice(), b"two", b"three", b"four"]);
        assert!(
            fields.has_item("x-list", "one") && fields.has_item("x-list", "FOUR") && !fields.has_item("x-list", "on")
        );
        assert_eq!(
            (fields.one("host"), fields.one("x-empty"), fields.one("x-list"), fields.one("x")),
            (Some("a"), Some(""), None, None)
        );
        assert_eq!((fields.one("x-name"), fields.has("x-name")), (None, true));
        assert!(fields.has("x-empty") && !fields.has("x-empt"));
    }

    #[test]
    fn fields_say_the_same_whoever_keeps_them() {
        let (map, lines) = both();
        check(&map);
        check(&lines);
        check(&Lines::copied(lines.lines()));
    }

    #[test]
    fn names_are_kept_as_they_were_spelt() {
        let (_, lines) = both();
        let names: Vec<_> = lines.lines().map(|(name, _)| name).collect();
        assert_eq!(names, [b"Host".as_slice(), b"X-Empty", b"X-LIST", b"x-list", b"X-List", b"X-Name"]);
        assert_eq!(
            [lines.spell("x-list"), lines.spell("host"), lines.spell("x")],
            [b"X-LIST".as_slice(), b"Host", b"x"]
        );
    }
}
