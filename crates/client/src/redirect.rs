//! Where a redirect leads (RFC 9110, sections 10.2.2 and 15.4).

use crate::answer::Answer;
use crate::error::{ConnectError, RedirectError};
use crate::url::{Url, UrlError, parse_target};

/// The URL that `answer`, which was got from `from`, leads to.
pub(crate) fn target(from: &Url, answer: &Answer) -> Result<Url, ConnectError> {
    let mut locations = answer.all("Location");
    let (Some(location), None) = (locations.next(), locations.next()) else {
        return Err(RedirectError::NoLocation.into());
    };
    let location = std::str::from_utf8(location).map_err(|_| RedirectError::Location)?;
    let next = resolve(from, location).map_err(|_| RedirectError::Location)?;
    if from.is_secure() && !next.is_secure() {
        return Err(RedirectError::Downgrade.into());
    }
    Ok(next)
}

/// Resolves a reference (RFC 3986, section 5.2), whose fragment is dropped: it names a place in a page.
fn resolve(from: &Url, location: &str) -> Result<Url, UrlError> {
    let location = location.split('#').next().unwrap_or_default();
    let scheme = if from.is_secure() { "wss" } else { "ws" };
    if let Some(rest) = location.strip_prefix("//") {
        return format!("{scheme}://{rest}").parse();
    }
    let end = location.find(['/', '?']).unwrap_or(location.len());
    if let Some(colon) = location[..end].find(':') {
        // The same server speaks HTTP where a page is asked for, and WebSocket here.
        let scheme = match location[..colon].to_ascii_lowercase().as_str() {
            "http" => "ws",
            "https" => "wss",
            _ => &location[..colon],
        };
        return format!("{scheme}{}", &location[colon..]).parse();
    }
    let path = from.target().split('?').next().unwrap_or_default();
    let target = match location {
        "" => from.target().to_owned(),
        _ if location.starts_with('?') => format!("{path}{location}"),
        _ if location.starts_with('/') => without_dots(location),
        _ => without_dots(&format!("{}{location}", &path[..=path.rfind('/').unwrap_or(0)])),
    };
    Ok(Url { target: parse_target(&target)?, ..from.clone() })
}

/// Takes `.` and `..` out of a path (RFC 3986, section 5.2.4).
fn without_dots(target: &str) -> String {
    let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
    let mut segments = Vec::new();
    let mut given = path.split('/').skip(1).peekable();
    while let Some(segment) = given.next() {
        let is_last = given.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    segments.pop();
                }
                if is_last {
                    segments.push("");
                }
            }
            segment => segments.push(segment),
        }
    }
    format!("/{}{query}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_from_an_encrypted_connection_to_a_plain_one() {
        // Hostile input 107.
        let lead = |from: &str, location: &str| {
            let headers = [("Location", location.as_bytes())];
            let answer = Answer { status: 302, ..Answer::opening(headers.into_iter()) };
            target(&from.parse().expect("a URL"), &answer)
        };
        for location in ["ws://a/", "http://a/", "HTTP://b:443/c", "Ws://a:443/"] {
            let led = lead("wss://a/", location);
            assert!(matches!(led, Err(ConnectError::Redirect(RedirectError::Downgrade))), "{location}: {led:?}");
        }
        for (from, location, to) in [
            ("wss://a/", "//a:80/b", "wss://a:80/b"),
            ("wss://a/", "/b", "wss://a/b"),
            ("wss://a/", "https://b/", "wss://b/"),
            ("ws://a/", "https://b/", "wss://b/"),
            ("ws://a/", "http://b/", "ws://b/"),
        ] {
            let led = lead(from, location).unwrap_or_else(|error| panic!("{location}: {error}"));
            assert_eq!(led, to.parse().expect("a URL"), "{from} and {location}");
        }
    }

    #[test]
    fn references_are_resolved_as_in_rfc_3986() {
        let from: Url = "ws://a:8080/b/c/d;p?q".parse().expect("a URL");
        // From section 5.4, as far as they have no fragment.
        for (location, target) in [
            ("g", "/b/c/g"),
            ("./g", "/b/c/g"),
            ("g/", "/b/c/g/"),
            ("/g", "/g"),
            ("?y", "/b/c/d;p?y"),
            ("g?y", "/b/c/g?y"),
            (";x", "/b/c/;x"),
            ("", "/b/c/d;p?q"),
            (".", "/b/c/"),
            ("./", "/b/c/"),
            ("..", "/b/"),
            ("../g", "/b/g"),
            ("../..", "/"),
            ("../../g", "/g"),
            ("../../../g", "/g"),
            ("/./g", "/g"),
            ("/../g", "/g"),
            ("g.", "/b/c/g."),
            ("..g", "/b/c/..g"),
            ("./g/.", "/b/c/g/"),
            ("g/../h", "/b/c/h"),
            ("g?y/../x", "/b/c/g?y/../x"),
            ("g#s", "/b/c/g"),
        ] {
            let next = resolve(&from, location).unwrap_or_else(|error| panic!("{location}: {error}"));
            assert_eq!((next.target(), next.is_same_origin(&from)), (target, true), "{location}");
        }
        for (location, url) in [
            ("//g", "ws://g/"),
            ("http://g/h?i", "ws://g/h?i"),
            ("HTTPS://g:1", "wss://g:1/"),
            ("ws://g", "ws://g/"),
            ("wss://g/#f", "wss://g/"),
        ] {
            let next = resolve(&from, location).unwrap_or_else(|error| panic!("{location}: {error}"));
            assert_eq!(next, url.parse().expect("a URL"), "{location}");
        }
        for location in
            ["javascript:alert(1)", "file:///etc/passwd", "ftp://g/", "http:g", "http://", "/a b", "/%zz", "//"]
        {
            assert!(resolve(&from, location).is_err(), "{location}");
        }
    }
}
