//! Routes: a method and a path with places for values, such as `GET /v1/addresses/{address}?chain={chain}`.

use std::{fmt::Write as _, str::FromStr};

use reqwest::Method;

/// A declared method and path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    method: Method,
    /// As declared.
    path: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Fixed(String),
    Place(String),
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "a route reads `GET /path/{{place}}` or `POST ..`: visible ASCII, places with different names of `a-z`, `0-9` and `_`"
)]
pub struct RouteMalformed;

impl Route {
    pub fn method(&self) -> Method {
        self.method.clone()
    }

    pub fn is(&self, method: &str, path: &str) -> bool {
        self.method.as_str() == method && self.path == path
    }

    /// The path with a value in every place. Each value is encoded to the last reserved character (RFC 3986, section
    /// 2.3), so that none can end its segment or begin a query; what is left of `.` and `..` is refused.
    pub(super) fn fill(&self, values: &[(String, String)]) -> Result<String, String> {
        let places = self.pieces.iter().filter(|piece| matches!(piece, Piece::Place(_))).count();
        if places != values.len() {
            return Err(format!("{} values, where the route has {places} places", values.len()));
        }
        let mut filled = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Fixed(text) => filled.push_str(text),
                Piece::Place(place) => {
                    let value = values.iter().find(|(name, _)| name == place);
                    let (_, value) = value.ok_or_else(|| format!("no value for the place `{place}`"))?;
                    if value.is_empty() || value.bytes().all(|byte| byte == b'.') {
                        return Err(format!("the value for `{place}` is empty or consists of dots"));
                    }
                    encode(value, &mut filled);
                }
            }
        }
        Ok(filled)
    }
}

fn encode(value: &str, out: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

impl FromStr for Route {
    type Err = RouteMalformed;

    fn from_str(text: &str) -> Result<Self, RouteMalformed> {
        let (method, path) = text.split_once(' ').ok_or(RouteMalformed)?;
        let method = match method {
            "GET" => Method::GET,
            "POST" => Method::POST,
            _ => return Err(RouteMalformed),
        };
        let is_plain = path.bytes().all(|byte| matches!(byte, b'!'..=b'~') && !b"#%\\".contains(&byte));
        let has_dots = path.split(['/', '?']).any(|segment| matches!(segment, "." | ".."));
        if !path.starts_with('/') || path.starts_with("//") || !is_plain || has_dots {
            return Err(RouteMalformed);
        }
        Ok(Self { method, path: path.to_owned(), pieces: pieces(path)? })
    }
}

fn pieces(path: &str) -> Result<Vec<Piece>, RouteMalformed> {
    let mut pieces = Vec::new();
    let mut rest = path;
    while let Some((fixed, after)) = rest.split_once('{') {
        let (place, after) = after.split_once('}').ok_or(RouteMalformed)?;
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let place = Piece::Place(place.to_owned());
        let Piece::Place(name) = &place else { return Err(RouteMalformed) };
        if name.is_empty() || !name.bytes().all(allowed) || fixed.contains('}') || pieces.contains(&place) {
            return Err(RouteMalformed);
        }
        pieces.extend([Piece::Fixed(fixed.to_owned()), place]);
        rest = after;
    }
    if rest.contains('}') {
        return Err(RouteMalformed);
    }
    pieces.push(Piece::Fixed(rest.to_owned()));
    Ok(pieces)
}
