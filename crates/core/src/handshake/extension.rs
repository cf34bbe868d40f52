//! Sec-WebSocket-Extensions (RFC 6455, section 9.1): names with parameters.

use super::token::{is_token, is_token_byte};

/// An extension that a peer offers or accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    /// Its name, as it was sent.
    pub name: &'a str,
    /// Its parameters in order, with their values where they have one; quotes are taken off.
    pub parameters: Vec<(&'a str, Option<String>)>,
}

/// Parses the value of one header line. `None`: it is malformed.
pub(crate) fn parse(value: &[u8]) -> Option<Vec<Extension<'_>>> {
    let mut input = Input { rest: value };
    let mut extensions = Vec::new();
    loop {
        input.skip_spaces();
        match input.rest {
            [] => return Some(extensions),
            // An empty element of a list is passed over (RFC 9110, section 5.6.1).
            [b',', rest @ ..] => {
                input.rest = rest;
                continue;
            }
            _ => {}
        }
        let mut extension = Extension { name: input.token()?, parameters: Vec::new() };
        loop {
            input.skip_spaces();
            match input.next() {
                Some(b';') => {
                    input.skip_spaces();
                    let name = input.token()?;
                    input.skip_spaces();
                    let value = match input.rest {
                        [b'=', rest @ ..] => {
                            input.rest = rest;
                            input.skip_spaces();
                            Some(input.value()?)
                        }
                        _ => None,
                    };
                    extension.parameters.push((name, value));
                }
                Some(b',') | None => break,
                Some(_) => return None,
            }
        }
        extensions.push(extension);
    }
}

struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn skip_spaces(&mut self) {
        while let [b' ' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    fn token(&mut self) -> Option<&'a str> {
        let end = self.rest.iter().position(|byte| !is_token_byte(*byte)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        if token.is_empty() { None } else { std::str::from_utf8(token).ok() }
    }

    /// A token, or a quoted string that is one without its quotes and backslashes.
    fn value(&mut self) -> Option<String> {
        if self.rest.first() != Some(&b'"') {
            return self.token().map(str::to_owned);
        }
        self.next();
        let mut value = Vec::new();
        loop {
            match self.next()? {
                b'"' => break,
                b'\\' => value.push(self.next()?),
                byte => value.push(byte),
            }
        }
        is_token(&value).then(|| String::from_utf8(value).ok()).flatten()
    }
}
